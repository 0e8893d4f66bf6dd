"""The programs of one machine: web, worker, beat."""

import signal
import sys
from collections.abc import Mapping

from webapp.supervisor.children import Program

WORKER_PATIENCE_S = 90.0
"""A stopping worker lets its run write a checkpoint first."""


def web(*, host: str, port: int, env: Mapping[str, str]) -> Program:
    argv = [sys.executable, "-m", "uvicorn", "webapp.asgi:application", "--host", host, "--port", str(port)]
    argv += [
        "--ws-max-size",
        "65536",
        "--ws-ping-interval",
        "20",
        "--timeout-graceful-shutdown",
        "5",
        "--no-access-log",
    ]
    return Program(name="web", argv=argv, death_signal=signal.SIGKILL, patience_s=10.0, env=env)


def worker(*, env: Mapping[str, str]) -> Program:
    argv = [sys.executable, "-m", "workers", "worker"]
    return Program(name="worker", argv=argv, death_signal=signal.SIGKILL, patience_s=WORKER_PATIENCE_S, env=env)


def beat(*, env: Mapping[str, str]) -> Program:
    argv = [sys.executable, "-m", "workers", "beat"]
    return Program(name="beat", argv=argv, death_signal=signal.SIGKILL, patience_s=10.0, env=env)
