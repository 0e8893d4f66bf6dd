"""Failures of a run, each with the sentence a person reads."""

import errno

import torch

from training_core.spec.io import SpecError

PERSON_CAN_FIX = frozenset({"spec", "model", "data", "judge"})
"""Kinds that would fail again in the same way; the process exits with 2."""


class Diverged(RuntimeError):
    """The numbers of the update are no longer finite."""


class JudgeUnreliable(RuntimeError):
    """The judge's agreement with the truth fell below the limit the spec sets."""


class EngineError(ValueError):
    """An engine that cannot be used here, or not with this model or these settings; the message is one sentence."""


class EngineLost(RuntimeError):
    """A process or server of the engine died or stopped answering; another try may go well."""


def failure_of(error: Exception) -> tuple[str, str]:
    """Kind and sentence of a failure."""
    from training_core.policies.load import ModelError
    from training_core.tasks.base import DataError

    kinds: dict[type[Exception], str] = {
        SpecError: "spec",
        ModelError: "model",
        DataError: "data",
        JudgeUnreliable: "judge",
        Diverged: "diverged",
        EngineError: "spec",
        EngineLost: "lost_worker",
    }
    if kind := kinds.get(type(error)):
        return kind, str(error)
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return "disk_full", "The disk is full. Free some space and resume the run; it goes on from its last checkpoint."
    if isinstance(error, MemoryError | torch.OutOfMemoryError) or "allocate memory" in str(error):
        return "out_of_memory", (
            "The run needed more memory than there is. Lower method.optimizer.micro_batch_tokens, engine.max_batch or "
            "method.batch_per_role, or use a smaller model or LoRA."
        )
    return "crash", f"The run stopped on an unexpected error: {type(error).__name__}: {error}"
