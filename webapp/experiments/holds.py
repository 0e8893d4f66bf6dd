"""Checkpoints that their run must keep whatever its limit says: forks that have not ended begin from them, or people promoted them.

The run itself deletes its old checkpoints and knows nothing of others, so a file in its folder tells it. Whoever makes such a
reference writes the file at once; the supervisor of the run writes it anew while it runs, which also lets go.
"""

import json
import logging
from uuid import UUID, uuid4

from training_core.spec.holds import HOLDS, held_steps
from webapp.experiments.choices import TERMINAL
from webapp.experiments.models import Run
from webapp.fleet.folders import run_folder

logger = logging.getLogger(__name__)


def steps_to_hold(run_id: UUID) -> set[int]:
    """Steps of the run's checkpoints that somebody counts on."""
    forks = Run.objects.filter(experiment__parent=run_id, experiment__fork_step__isnull=False)
    waited_for = forks.exclude(status__in=TERMINAL).values_list("experiment__fork_step", flat=True)
    promoted = Run.objects.filter(pk=run_id, checkpoint_names__isnull=False).values_list(
        "checkpoint_names__step", flat=True
    )
    return {step for step in (*waited_for, *promoted) if step is not None}


def write_holds(run_id: UUID) -> None:
    """Tell the run, where its folder is on this machine. Raises ``OSError``."""
    folder, steps = run_folder(run_id), steps_to_hold(run_id)
    if not folder.is_dir() or held_steps(folder) == steps:
        return
    aside = folder / f".{HOLDS}.{uuid4().hex}"
    aside.write_text(json.dumps(sorted(steps)), encoding="utf-8")
    aside.replace(folder / HOLDS)


def hold_at_once(run_id: UUID) -> None:
    """The same from a web process; what it cannot write, the run's supervisor writes a moment later."""
    try:
        write_holds(run_id)
    except OSError:
        logger.warning("holds.unwritten", extra={"run": str(run_id)}, exc_info=True)
