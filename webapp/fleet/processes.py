"""Processes named so that a recycled pid is never mistaken for them. Linux only: everything is read from /proc."""

import os
import signal
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from webapp.env import env_str

PROC = Path("/proc")
MARK = "KUMITE_LEASE"
"""Environment variable that every process of a run inherits: ``<run id>/<lease token>/<host rank>``."""
_POLL_S = 0.02


@dataclass(frozen=True, kw_only=True)
class Machine:
    """One boot of one host, and inside it one pid namespace: pids and start ticks mean nothing elsewhere."""

    host: str
    boot_id: str


@dataclass(frozen=True, kw_only=True)
class ProcessId:
    """A pid with the clock ticks since boot at which it started; together they name exactly one process of a boot."""

    pid: int
    start_ticks: int

    @property
    def is_alive(self) -> bool:
        """Whether the process still runs; a zombie that waits to be reaped counts as gone."""
        fields = _stat(self.pid)
        return fields is not None and fields[0] != "Z" and int(fields[19]) == self.start_ticks


@cache
def this_machine() -> Machine:
    """The host's name is ``KUMITE_HOST`` or what the system calls it."""
    boot = (PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    namespace = (PROC / "self/ns/pid").stat().st_ino  # two containers of one host may share the host name
    return Machine(host=env_str("KUMITE_HOST", socket.gethostname())[:120], boot_id=f"{boot}/{namespace}")


def identify(pid: int) -> ProcessId | None:
    """The identity of a living process, or None when there is none with this pid."""
    fields = _stat(pid)
    return ProcessId(pid=pid, start_ticks=int(fields[19])) if fields else None


def lease_mark(run_id: object, token: int, host_rank: int = 0) -> str:
    return f"{run_id}/{token}/{host_rank}"


def kill_run(run_id: object, token: int, child: ProcessId | None, *, host_rank: int = 0, wait_s: float = 5.0) -> bool:
    """Kill every process of one attempt on this host and wait until none is left; False if some would not die.

    The child is killed with its process group. Whatever left the group (daemons, inference servers) is found by the
    lease mark in its environment.
    """
    return kill_marked(lease_mark(run_id, token, host_rank), child, wait_s=wait_s)


def kill_marked(mark: str, child: ProcessId | None, *, wait_s: float = 5.0) -> bool:
    """The same for whatever carries this mark."""
    deadline = time.monotonic() + wait_s
    while True:
        left = list(_members(mark, child))
        if not left:
            return True
        for process in left:
            _kill(process, group=process == child)
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_S)


def _members(mark: str, child: ProcessId | None) -> Iterator[ProcessId]:
    if child is not None and child.is_alive:
        yield child
    wanted = f"{MARK}={mark}".encode()
    for entry in PROC.iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            environment = (entry / "environ").read_bytes()
        except OSError:  # ended meanwhile, or belongs to another user
            continue
        if wanted in environment.split(b"\0"):
            process = identify(int(entry.name))
            if process is not None and process != child and process.is_alive:
                yield process


def _kill(process: ProcessId, *, group: bool) -> None:
    try:
        if group and os.getpgid(process.pid) == process.pid:
            os.killpg(process.pid, signal.SIGKILL)
        else:
            os.kill(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def _stat(pid: int) -> list[str] | None:
    """Fields of /proc/<pid>/stat from the state on; the name before them may contain anything."""
    try:
        text = (PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return text.rpartition(")")[2].split()
