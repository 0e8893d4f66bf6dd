"""Rows for Postgres' COPY in text format, several times faster than INSERT."""

from django.db import connection


def copy_rows(statement: str, rows: str) -> None:
    """Carry out ``COPY ... FROM STDIN`` with lines of fields separated by tabs; nothing to copy is no statement."""
    if rows:
        with connection.cursor() as cursor, cursor.copy(statement) as copy:
            copy.write(rows)


def escape(text: str) -> str:
    """Text as one field."""
    escaped = text.replace("\\", "\\\\")
    return escaped.replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r")
