"""Only one supervisor for one ``var/``: a lock the kernel gives back however its holder dies."""

import fcntl
import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self


def _lock(descriptor: int, *, tries: int) -> bool:
    """Several tries, because somebody who only looks takes the lock for an instant too."""
    for attempt in range(tries):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.1 if attempt < tries - 1 else 0)
        else:
            return True
    return False


class AlreadyRunning(RuntimeError):
    """Another ``kumite up`` holds this installation."""

    def __init__(self, holder: "Holder | None") -> None:
        self.holder = holder
        where = f" at {holder.address}" if holder and holder.address else " and is still starting"
        who = f" (process {holder.pid})" if holder and holder.pid else ""
        super().__init__(f"Kumite already runs here{where}{who}. Use that one, or end it with 'make down'.")


@dataclass(frozen=True, kw_only=True)
class Holder:
    """Who holds the lock: ``Holder(pid=4711, address="http://127.0.0.1:8000")``; no address while starting."""

    pid: int
    address: str = ""


class SupervisorLock:
    def __init__(self, var_dir: Path) -> None:
        self._path = var_dir / "supervisor.lock"
        self._file: int | None = None

    def acquire(self) -> Self:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if not _lock(descriptor, tries=5):
            os.close(descriptor)
            raise AlreadyRunning(self.holder())
        self._file = descriptor
        self.note(Holder(pid=os.getpid()))
        return self

    def note(self, holder: Holder) -> None:
        assert self._file is not None, "only the holder of the lock may write into it"
        content = json.dumps(asdict(holder)).encode()
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, content, 0)

    def holder(self) -> Holder | None:
        """Who runs here now; None if nobody does."""
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            if _lock(descriptor, tries=1):
                return None
            return Holder(**json.loads(os.pread(descriptor, 4096, 0)))
        except ValueError:  # it took the lock this very moment and has written nothing yet
            return Holder(pid=0)
        finally:
            os.close(descriptor)

    def release(self) -> None:
        if self._file is not None:
            os.ftruncate(self._file, 0)
            os.close(self._file)
            self._file = None
