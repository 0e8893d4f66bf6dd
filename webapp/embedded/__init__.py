"""Real Postgres and Redis for one machine: binaries from wheels, started, watched and stopped by us.

Nothing here imports Django, so that the settings, the tests and the supervisor can all use it.
"""

from webapp.embedded.errors import EmbeddedServerError
from webapp.embedded.postgres import EmbeddedPostgres
from webapp.embedded.redis import EmbeddedRedis

__all__ = ["EmbeddedPostgres", "EmbeddedRedis", "EmbeddedServerError"]
