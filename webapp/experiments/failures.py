"""Why a run ended or waits, in words: what happened, what it means, what to do."""

from webapp.experiments.choices import FailureKind, RunStatus
from webapp.experiments.models import Run

FAILURE_SENTENCES: dict[FailureKind, str] = {
    FailureKind.LOST_WORKER: (
        "The worker of this run stopped answering, as often as the run may be tried again. "
        "Everything up to the last checkpoint is kept. "
        "Look at the Fleet page whether the machine is up, then launch the run again."
    ),
    FailureKind.OUT_OF_MEMORY: (
        "The run needed more memory than its slot has and was ended. "
        "Trying the same settings again would end the same way. "
        "Lower engine.max_batch or method.optimizer.micro_batch_tokens, shorten completions, or train with LoRA."
    ),
    FailureKind.CRASH: (
        "The training process ended with an error. "
        "The checkpoints before it are good. "
        "The traceback and the end of the log say where it happened; launch the run again once the cause is gone."
    ),
    FailureKind.DIVERGED: (
        "A loss or a gradient was no longer a finite number, so learning stopped before it could spoil the weights. "
        "The last checkpoint is from before that. "
        "Lower the step size (method.optimizer.lr) or the gradient clip, then launch the run again."
    ),
    FailureKind.JUDGE: (
        "The judge could no longer tell right answers from wrong ones, so the run stopped "
        "before it would ruin the Solver. "
        "The last checkpoint is from before that. "
        "Use a frozen judge, lower the step size, or accept a lower method.min_judge_auc."
    ),
    FailureKind.SPEC: (
        "The spec cannot be carried out as it stands, and nothing was trained. "
        "The message below names the field. Clone the run into the form, correct it there and launch again."
    ),
    FailureKind.MODEL: (
        "The model cannot be loaded, and nothing was trained. "
        "It must be a folder on the worker's machine, or a hub id it can reach, with safetensors weights; "
        "pickle weights are refused because loading them runs code. Correct model.source and launch again."
    ),
    FailureKind.DATA: (
        "The task's data cannot be read, and nothing was trained. "
        "The message below names the file and the line. Correct the file or task.path and launch again."
    ),
    FailureKind.HANG: (
        "The run made no progress for so long that it was ended. "
        "Everything up to the last checkpoint is kept. "
        "The log shows where each thread stood; if it happens again, lower the batch or try another worker."
    ),
    FailureKind.DISK_FULL: (
        "The disk of the worker is full, so nothing more could be saved. "
        "Everything up to the last checkpoint is kept. "
        "Free space there or keep fewer checkpoints (checkpoint.keep), then launch the run again."
    ),
}


def failure_sentence(kind: str) -> str:
    """What a failure kind means for a person; unknown kinds read as a crash."""
    known = FailureKind(kind) if kind in FailureKind.values else FailureKind.CRASH
    return FAILURE_SENTENCES[known]


def explain(run: Run) -> str:
    """Why the run is where it is, or an empty string where its state says everything."""
    if run.status == RunStatus.FAILED:
        return failure_sentence(run.failure_kind)
    if run.status == RunStatus.TIMED_OUT:
        hours = run.spec["resources"]["max_hours"]
        limit = f" of {hours:g} hours" if hours else ""
        return (
            f"The run reached its time limit{limit} and stopped with a checkpoint. "
            "Clone it with a higher resources.max_hours to go further."
        )
    return ""
