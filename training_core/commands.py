"""What is asked of a run while it runs: by people through its folder, by signals, by its time limit."""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from training_core.distributed.parallel import Alone, Parallel
from training_core.run_folder import Control
from training_core.spec.events import Command, RunPhase
from training_core.spec.orders import Order

_ALONE = Alone()


class Commands:
    """Collects what is asked; the loop looks between steps. What rank 0 hears counts for all processes of a run."""

    def __init__(self, folder: Path, *, max_hours: float | None, parallel: Parallel = _ALONE) -> None:
        self.ending: tuple[RunPhase, str] | None = None
        """How the run is to end, as of the last ``read``; the first to ask decides."""
        self.wants_checkpoint = False
        self.orders: list[Order] = []
        """Orders that came with the last ``read``."""
        self.playing = False
        """Whether the loop has begun, so that a request to stop will be seen soon."""
        self._asked: tuple[RunPhase, str] | None = None
        self._control = Control(folder)
        self._max_hours = max_hours
        self._parallel = parallel
        self._started_at = time.monotonic()

    def read(self) -> None:
        """Take in new commands and look at the clock."""
        heard = self._listen() if self._parallel.rank == 0 else []
        # A signal may come at any moment; all processes go by what was known at this one.
        known = (self._asked, self.wants_checkpoint, heard)
        self.ending, self.wants_checkpoint, self.orders = self._parallel.broadcast(known)

    def _listen(self) -> list[Order]:
        orders: list[Order] = []
        for command in self._control.new_commands():
            if not isinstance(command, Command):
                orders.append(command)
                continue
            match command.command:
                case "checkpoint":
                    self.wants_checkpoint = True
                case "pause":
                    self._end(RunPhase.PAUSED, command.reason or "Paused.")
                case "stop":
                    self._end(RunPhase.STOPPED, command.reason or "Stopped on request.")
        if self._max_hours is not None and time.monotonic() - self._started_at > self._max_hours * 3600:
            self._end(RunPhase.STOPPED, f"Reached the time limit of {self._max_hours:g} hours.")
        return orders

    @contextmanager
    def signals(self) -> Iterator[None]:
        """Meanwhile SIGTERM, and Ctrl-C once the loop has begun, ask for an end; a second Ctrl-C breaks off at once."""
        before = {
            signal.SIGTERM: _on(signal.SIGTERM, lambda: self._end(RunPhase.STOPPED, "Stopped by the system.")),
            signal.SIGINT: _on(signal.SIGINT, self._interrupted),
        }
        try:
            yield
        finally:
            for number, handler in before.items():
                if handler is not None:
                    signal.signal(number, handler)

    def clear(self) -> None:
        """Forget the commands in the folder, so that the next process of this run does not obey them again."""
        if self._parallel.rank == 0:
            self._control.clear()

    def _interrupted(self) -> None:
        if self._asked or not self.playing:
            raise KeyboardInterrupt
        self._end(RunPhase.STOPPED, "Stopped with Ctrl-C.")

    def _end(self, phase: RunPhase, text: str) -> None:
        self._asked = self._asked or (phase, text)


def _on(number: signal.Signals, callback: Callable[[], None]) -> Any:
    try:
        return signal.signal(number, lambda *_: callback())
    except ValueError:  # not in the main thread: whoever embeds the run handles signals
        return None
