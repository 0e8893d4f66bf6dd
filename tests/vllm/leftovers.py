"""What a server leaves on the machine while it runs, and must not leave after it."""

import os
from pathlib import Path

import psutil

from training_core.engines.descent import MARK


def processes_of_servers(run_pid: int | None = None) -> list[psutil.Process]:
    """Processes of servers that a run, this process by default, has started."""
    wanted = f"{run_pid or os.getpid()}/"
    return [process for process in psutil.process_iter() if _mark(process).startswith(wanted)]


def folders_in_memory() -> list[Path]:
    """Folders of this process' engines."""
    return sorted(Path("/dev/shm").glob(f"kumite-vllm-{os.getpid()}-*"))


def _mark(process: psutil.Process) -> str:
    try:
        return process.environ().get(MARK, "")
    except psutil.Error:
        return ""
