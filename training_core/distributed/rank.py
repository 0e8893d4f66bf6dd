"""One of the processes of a run, as torchrun starts it."""

import os
import sys
import traceback
from pathlib import Path

from training_core.assembly import device_of
from training_core.distributed.lifeline import RankFailure, tell
from training_core.distributed.torch_parallel import TorchParallel
from training_core.failures import failure_of
from training_core.reporting import Listener
from training_core.runner import Run
from training_core.spec.events import RunPhase
from training_core.spec.experiment import ExperimentSpec


def run_rank(
    spec: ExperimentSpec, folder: Path, *, models_dir: Path | None, resume: bool, listener: Listener | None
) -> int:
    """Take part in a run; the status is 0 when it ended in order, however, and 1 when the launcher must end the others."""
    parallel = _join(spec, folder)
    phase = Run(spec, folder, models_dir=models_dir, listener=listener, parallel=parallel).execute(resume=resume)
    if phase is RunPhase.FAILED:
        # There may be nobody left to take leave of, which an orderly exit would wait for.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(1)
    parallel.barrier()  # the last event is written when the first process ends
    parallel.close()
    return 0


def _join(spec: ExperimentSpec, folder: Path) -> TorchParallel:
    try:
        return TorchParallel(device_of(spec))
    except Exception as error:
        kind, text = failure_of(error)
        rank = int(os.environ["RANK"])
        tell(folder, RankFailure(rank=rank, kind=kind, text=text, traceback=traceback.format_exc()))
        raise
