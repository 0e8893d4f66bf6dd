"""Starting children that cannot outlive us, and recognising processes by more than their number."""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psutil

_PR_SET_PDEATHSIG = 1


def die_with_parent(death_signal: signal.Signals = signal.SIGKILL) -> Callable[[], None]:
    """For ``preexec_fn``: the kernel sends the child this signal when the thread that starts it ends."""
    parent_pid = os.getpid()
    if not sys.platform.startswith("linux"):
        return lambda: None
    libc = ctypes.CDLL(None)  # loaded before the fork, where it would not be safe

    def in_child() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, int(death_signal))
        if os.getppid() != parent_pid:  # the parent died before the request was in place
            os._exit(1)

    return in_child


def spawn(
    argv: Sequence[str | Path],
    *,
    log_path: Path,
    death_signal: signal.Signals,
    account: tuple[int, int] | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> subprocess.Popen[bytes]:
    """Start a child in its own session that receives ``death_signal`` when this process dies, however it dies.

    The kernel watches the thread that started the child, so call this from the main thread.
    """
    user, group = account or (None, None)
    with log_path.open("ab") as log:
        return subprocess.Popen(
            [str(part) for part in argv],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=dict(env) if env is not None else None,
            cwd=cwd,
            user=user,
            group=group,
            extra_groups=[] if account else None,
            start_new_session=True,  # Ctrl-C in the terminal reaches only the supervisor, which stops things in order
            preexec_fn=die_with_parent(death_signal),  # noqa: PLW1509
        )


def find(pid: int, *, name: str) -> psutil.Process | None:
    """The live process with this number if it is still the program we mean."""
    try:
        process = psutil.Process(pid)
        is_ours = process.status() != psutil.STATUS_ZOMBIE and name in process.name()
    except psutil.Error:
        return None
    return process if is_ours else None


def stop(process: psutil.Process | psutil.Popen, *, steps: Sequence[tuple[signal.Signals, float]]) -> bool:
    """Send each signal in turn and wait its seconds; true once the process is gone."""
    for step, patience_s in steps:
        try:
            process.send_signal(step)
            process.wait(patience_s)
        except psutil.TimeoutExpired:
            continue
        except psutil.NoSuchProcess:
            return True
        return True
    return False
