"""Where the embedded servers' sockets stand; settings and servers must agree on it."""

import hashlib
import os
from pathlib import Path

MAX_SOCKET_PATH = 100
"""A unix socket's path may have 107 bytes on Linux and 103 on macOS."""


def digest(path: Path) -> str:
    return hashlib.sha256(str(path).encode()).hexdigest()[:12]


def socket_dir(server_dir: Path) -> Path:
    """The folder of the server's socket: its own, or a short one under /tmp when the path would be too long."""
    server_dir = Path(os.path.abspath(server_dir))  # noqa: PTH100  -- resolve() would follow a link and change the answer
    if len(str(server_dir / ".s.PGSQL.5432")) <= MAX_SOCKET_PATH:
        return server_dir
    return Path(f"/tmp/kumite-{os.geteuid()}-{digest(server_dir)}")  # noqa: S108  -- created 0700 and its owner checked


def postgres_dir(var_dir: Path) -> Path:
    return var_dir / "postgres"


def redis_dir(var_dir: Path) -> Path:
    return var_dir / "redis"


def database_url(var_dir: Path) -> str:
    return f"postgresql://kumite@/kumite?host={socket_dir(postgres_dir(var_dir))}"


def redis_url(var_dir: Path) -> str:
    return f"unix://{socket_dir(redis_dir(var_dir)) / 'redis.sock'}"
