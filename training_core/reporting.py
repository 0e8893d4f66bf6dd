"""What a run says: numbered events in its folder, and to whoever listens."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel

from training_core.checkpoints import Checkpoint
from training_core.evaluate.held_out import Evaluation
from training_core.run_folder import EventLog, SilentLog
from training_core.spec.events import (
    ChangeData,
    CheckpointData,
    EvaluationData,
    EventKind,
    LogData,
    MetricData,
    RunPhase,
    SampleData,
    StateData,
)

Listener = Callable[[dict[str, Any]], None]


class Reporter:
    """Writes the events of a run under its present ``step``."""

    def __init__(self, folder: Path, listener: Listener | None, *, speaks: bool = True) -> None:
        """Of the processes of a run one ``speaks``; the others' reports go nowhere."""
        self.step = 0
        self.log = EventLog(folder) if speaks else SilentLog()
        self._folder = folder
        self._listener = listener if speaks else None

    def state(
        self,
        phase: RunPhase,
        text: str,
        *,
        fraction: float | None = None,
        failure: str | None = None,
        traceback: str | None = None,
    ) -> None:
        """Where the process is, in words a person reads."""
        data = StateData(phase=phase, text=text, fraction=fraction, failure=failure, traceback=traceback)
        self._write(EventKind.STATE, data)

    def metrics(self, values: Mapping[str, float]) -> None:
        self._write(EventKind.METRIC, MetricData(values={name: float(values[name]) for name in sorted(values)}))

    def samples(self, samples: list[SampleData], *, limit: int | None) -> None:
        """All samples, or at most ``limit`` of them, evenly over the list."""
        chosen = samples
        if limit is not None and len(samples) > limit:
            chosen = [samples[place * len(samples) // limit] for place in range(limit)]
        for sample in chosen:
            self._write(EventKind.SAMPLE, sample)

    def evaluation(self, found: Evaluation) -> None:
        data = EvaluationData(
            suite="held_out",
            num_items=found.num_items,
            scores=found.scores,
            items=found.items,
            league=found.league,
        )
        self._write(EventKind.EVALUATION, data)

    def checkpoint(self, saved: Checkpoint) -> None:
        path = str(saved.path.relative_to(self._folder))
        self._write(EventKind.CHECKPOINT, CheckpointData(path=path, num_bytes=saved.num_bytes, digest=saved.digest))

    def change(self, made: ChangeData) -> None:
        """The answer to a person's order."""
        self._write(EventKind.CHANGE, made)

    def note(
        self,
        level: Literal["debug", "info", "warning", "error"],
        text: str,
        *,
        facts: Mapping[str, str] | None = None,
    ) -> None:
        self._write(EventKind.LOG, LogData(level=level, text=text, facts=dict(facts or {})))

    def _write(self, kind: EventKind, data: BaseModel) -> None:
        event = self.log.write(kind, self.step, data)
        if self._listener:
            self._listener(event)
