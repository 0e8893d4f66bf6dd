"""Processes that must not outlive the one that started them: vLLM's servers and their workers."""

import ctypes
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

MARK = "KUMITE_ENGINE"
"""Environment variable that all processes of one server carry: ``<pid of the run>/<a random word>``."""

_PR_SET_PDEATHSIG = 1
_PATIENCE_S = 10


def die_with_parent() -> None:
    """In a process of a server: ask the kernel to kill this process when its parent dies. Elsewhere nothing happens."""
    if MARK not in os.environ:
        return
    parent = os.getppid()
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    run_pid = int(os.environ[MARK].partition("/")[0])
    if os.getppid() != parent or not Path(f"/proc/{run_pid}").exists():  # it died before the request was in place
        os._exit(1)


def kill_marked(mark: str) -> None:
    """End every process that carries the mark, also those whose parent is gone already, and wait until none is left."""
    deadline = time.monotonic() + _PATIENCE_S
    while pids := list(_marked(mark)):
        for pid in pids:
            if time.monotonic() < deadline and _tidies_up(pid):
                continue
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        if time.monotonic() > 2 * _PATIENCE_S + deadline:
            return
        time.sleep(0.02)


def _tidies_up(pid: int) -> bool:
    """Python's resource tracker ends by itself after the others and removes what they left in shared memory."""
    try:
        return b"multiprocessing.resource_tracker" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def _marked(mark: str) -> Iterator[int]:
    wanted = f"{MARK}={mark}".encode()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if wanted in (folder / "environ").read_bytes().split(b"\0"):
                yield int(folder.name)
        except OSError:  # it ended, or belongs to somebody else
            continue
