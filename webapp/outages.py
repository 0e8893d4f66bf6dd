"""What a program meets whose connection to the database is gone."""

from django.db import InterfaceError, InternalError, OperationalError

DATABASE_AWAY = (OperationalError, InterfaceError, InternalError)
"""``InternalError`` is how Postgres tells a process that was frozen in a transaction that its connection was ended meanwhile."""
