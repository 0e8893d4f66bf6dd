"""``python -m training_core job FOLDER``: carry out the job of a folder; with ``--stay`` those of the folders named on stdin too.

A folder holds ``job.json``: ``{"kind", "payload", "root"}``. Afterwards it holds ``outcome.json``: ``{"result": {...}}`` or
``{"error": "one sentence", "kind": "model"}``. Meanwhile ``progress.json`` says how far it is.
"""

import json
import sys
import traceback
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter, ValidationError
from transformers.utils.logging import disable_progress_bar

from training_core.failures import PERSON_CAN_FIX, failure_of
from training_core.jobs.desk import Desk, write_json
from training_core.jobs.registry import RUNNERS
from training_core.jobs.shelf import Shelf
from training_core.spec.jobs import MAX_RESULT_BYTES, AnyJob

OUTCOME, PROGRESS, JOB = "outcome.json", "progress.json", "job.json"
_MEMORY = "The job needed more memory than the worker has. Choose a smaller model, fewer tokens or fewer games."


def serve(folders: Iterable[Path], *, models_dir: Path, threads: int) -> int:
    """Carry out the jobs one after the other, keeping weights at hand; the exit code of the last one."""
    torch.set_num_threads(threads)
    disable_progress_bar()
    shelf, code = Shelf(models_dir=models_dir), 0
    for folder in folders:
        outcome = carry_out(folder, shelf)
        code = 0 if "result" in outcome else 2 if outcome["kind"] in PERSON_CAN_FIX else 1
        write_json(folder / OUTCOME, outcome)
    return code


def carry_out(folder: Path, shelf: Shelf) -> dict[str, Any]:
    """The outcome of the job in a folder; whatever goes wrong becomes a sentence."""
    try:
        told = json.loads((folder / JOB).read_text(encoding="utf-8"))
        job = TypeAdapter[Any](AnyJob).validate_python({**told["payload"], "kind": told["kind"]})
        desk = Desk(folder=folder, root=Path(told["root"]), shelf=shelf)
        outcome = {"result": RUNNERS[job.kind](job, desk)}
    except ValidationError as error:
        return {"error": f"This job cannot be read: {error.errors()[0]['msg']}.", "kind": "spec"}
    except Exception as error:  # whatever a job runs into, the process stays for the next one
        return _failure(error)
    num_bytes = len(json.dumps(outcome, ensure_ascii=False).encode())
    if num_bytes > MAX_RESULT_BYTES:
        sentence = (
            f"The result has {num_bytes / 2**20:.1f} MiB, more than the {MAX_RESULT_BYTES >> 20} MiB that are kept."
        )
        return {"error": f"{sentence} Ask for fewer items or shorter texts.", "kind": "spec"}
    return outcome


def _failure(error: Exception) -> dict[str, Any]:
    kind, sentence = failure_of(error)
    if kind == "crash" and isinstance(error, ValueError):
        return {"error": str(error), "kind": "spec"}
    if kind == "crash":
        sys.stderr.write(traceback.format_exc())
        return {
            "error": f"The job stopped on an unexpected error: {type(error).__name__}: {error}"[:1000],
            "kind": kind,
        }
    return {"error": _MEMORY if kind == "out_of_memory" else sentence, "kind": kind}
