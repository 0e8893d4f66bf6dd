"""What binds the processes of a run to the launcher that started them: they die with it and tell it why they failed.

Torch-free. The launcher and its ranks share the run's folder, on several hosts as well.
"""

import ctypes
import json
import os
import shutil
import signal
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

LAUNCHER_PID = "KUMITE_LAUNCHER_PID"
LOST = "lost_worker"
"""The kind of a failure that only says that another process of the run went away."""
_FOLDER = ".failures"
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, kw_only=True)
class RankFailure:
    """Example: ``RankFailure(rank=3, kind="out_of_memory", text="The run needed more memory than there is. ...")``."""

    rank: int
    kind: str
    text: str
    traceback: str | None = None


def is_rank() -> bool:
    """Whether torchrun started this process."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def die_with_launcher() -> None:
    """Let the kernel kill this process when its launcher dies. Ranks live in sessions of their own, so no signal to a group
    would reach them."""
    launcher = os.environ.get(LAUNCHER_PID)
    if launcher is None:
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(launcher):  # it died before the request was in place
        os._exit(1)


def tell(folder: Path, failure: RankFailure) -> None:
    """Leave word of a failure for the launchers of the run."""
    place = folder / _FOLDER
    place.mkdir(exist_ok=True)
    path = place / f"rank-{failure.rank:05d}.json"
    aside = path.with_suffix(".tmp")
    aside.write_text(json.dumps(asdict(failure)), encoding="utf-8")
    aside.rename(path)


def told(folder: Path) -> Iterator[RankFailure]:
    """What was told, by rank."""
    for path in sorted((folder / _FOLDER).glob("rank-*.json")):
        yield RankFailure(**json.loads(path.read_text(encoding="utf-8")))


def forget(folder: Path) -> None:
    """Start afresh."""
    shutil.rmtree(folder / _FOLDER, ignore_errors=True)
