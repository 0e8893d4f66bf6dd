"""The processes a supervisor keeps alive, each with its log, restarted with growing patience when it dies."""

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from webapp.embedded.processes import spawn

_BACKOFF_S = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
_HEALTHY_AFTER_S = 60.0
_KEPT_LOGS = 3


@dataclass(frozen=True, kw_only=True)
class Program:
    """What to run: ``Program(name="web", argv=("uvicorn", ...), death_signal=SIGTERM, patience_s=10)``."""

    name: str
    argv: Sequence[str]
    death_signal: signal.Signals = signal.SIGTERM
    """What the kernel sends it when the supervisor is killed."""
    patience_s: float = 10.0
    """How long it may take to end after SIGTERM."""
    env: Mapping[str, str] = field(default_factory=dict)


class Child:
    def __init__(self, program: Program, *, log_dir: Path, cwd: Path) -> None:
        self.program = program
        self.log_path = log_dir / f"{program.name}.log"
        self._cwd = cwd
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0
        self._failures = 0
        self._restart_at = 0.0
        self._descendants: list[psutil.Process] = []

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def start(self) -> None:
        self._process = spawn(
            self.program.argv,
            log_path=self.log_path,
            death_signal=self.program.death_signal,
            env={**os.environ, **self.program.env},
            cwd=self._cwd,
        )
        self._started_at = time.monotonic()

    def is_alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def tend(self) -> str | None:
        """Restart a child that died, once its pause is over; returns a sentence when there is something to tell."""
        now = time.monotonic()
        if self._process is None:
            if now < self._restart_at:
                return None
            self.start()
            return f"{self.program.name} runs again (process {self.pid})."
        if (code := self._process.poll()) is None:
            return None
        if now - self._started_at > _HEALTHY_AFTER_S:
            self._failures = 0
        pause = _BACKOFF_S[min(self._failures, len(_BACKOFF_S) - 1)]
        self._failures += 1
        self._process, self._restart_at = None, now + pause
        return (
            f"{self.program.name} {_how_it_ended(code)}; starting it again in {pause:.0f} s. Its log: {self.log_path}"
        )

    def ask_to_stop(self) -> None:
        """SIGTERM; also remembers its descendants, because they live in sessions of their own."""
        if self._process is None or self._process.poll() is not None:
            return
        try:
            self._descendants = psutil.Process(self._process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            pass
        self._process.terminate()

    def finish(self) -> None:
        """Whatever is left of the child and of its descendants ends now."""
        if self._process is not None:
            try:
                os.killpg(self._process.pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                pass
            self._process.wait()
            self._process = None
        for process in self._descendants:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        psutil.wait_procs(self._descendants, timeout=5)


def _how_it_ended(code: int) -> str:
    if code >= 0:
        return f"ended with code {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"


def rotate_logs(log_dir: Path) -> None:
    """A fresh log for each start; the last three stay: ``web.log``, ``web.log.1``, ``web.log.2``, ``web.log.3``."""
    log_dir.mkdir(parents=True, exist_ok=True)
    log_dir.chmod(0o700)
    for log in log_dir.glob("*.log"):
        for number in range(_KEPT_LOGS, 0, -1):
            older = log.with_name(f"{log.name}.{number}")
            newer = log if number == 1 else log.with_name(f"{log.name}.{number - 1}")
            if newer.exists():
                newer.replace(older)
