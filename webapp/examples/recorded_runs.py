"""The example: real runs that were recorded on another machine and travel with the package; ``python -m bench.example`` packs them anew."""

import gzip
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training_core.spec.experiment import ExperimentSpec
from training_core.spec.io import dump_dict, parse_spec

FOLDER = Path(__file__).parent / "recorded"
_SUFFIX = ".jsonl.gz"


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """One run: ``Recorded(key="1-judge-seed-0", experiment="Example: ...", spec=..., num_events=1514, seconds=96.0, ...)``."""

    key: str
    experiment: str
    """Runs with the same are seeds of one experiment."""
    spec: ExperimentSpec
    num_events: int
    seconds: float
    """From its first event to its last."""
    path: Path

    def events(self) -> Iterator[dict[str, Any]]:
        with gzip.open(self.path, "rt", encoding="utf-8") as file:
            next(file)
            yield from map(json.loads, file)


def recorded_runs() -> list[Recorded]:
    """What the package holds, in the order in which it is shown; reads the head of each file alone."""
    return [_read(path) for path in sorted(FOLDER.glob(f"*{_SUFFIX}"))]


def _read(path: Path) -> Recorded:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        head = json.loads(next(file))
    spec = parse_spec({**head["spec"], "name": head["experiment"]})
    told = {name: head[name] for name in ("experiment", "num_events", "seconds")}
    return Recorded(key=path.name.removesuffix(_SUFFIX), spec=spec, path=path, **told)


def write(key: str, *, experiment: str, spec: ExperimentSpec, events: Sequence[dict[str, Any]]) -> Path:
    """Pack a run; the same run gives the same bytes."""
    head = {
        "experiment": experiment,
        "num_events": len(events),
        "seconds": round(events[-1]["t"] - events[0]["t"], 1),
        "spec": dump_dict(spec),
    }
    lines = "".join(json.dumps(each, ensure_ascii=False, separators=(",", ":")) + "\n" for each in (head, *events))
    path = FOLDER / f"{key}{_SUFFIX}"
    path.write_bytes(gzip.compress(lines.encode(), compresslevel=9, mtime=0))
    return path
