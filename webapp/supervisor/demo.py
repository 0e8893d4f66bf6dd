"""The demo: the starter model is taught if need be, and Multi-Agent Evolve plays on it."""

import re
import subprocess
import sys
from collections import deque
from pathlib import Path

from django.conf import settings

from training_core.spec.presets import preset
from webapp.accounts.models import User
from webapp.embedded import EmbeddedServerError
from webapp.embedded.processes import die_with_parent
from webapp.experiments.choices import TERMINAL
from webapp.experiments.methods import FIRST_METHOD
from webapp.experiments.models import Run
from webapp.experiments.services import create_experiment
from webapp.supervisor.progress import Progress
from webapp.workspaces.models import Workspace

PRESET = "starter"


def make_starter(progress: Progress, *, cwd: Path) -> None:
    """Teach the starter model, or find it taught; the child tells how far it is."""
    models = Path(settings.ARTIFACTS_DIR) / "models"
    argv = [sys.executable, "-m", "training_core", "starter", "--models", str(models)]
    said: deque[str] = deque(maxlen=12)
    with subprocess.Popen(
        argv, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True, preexec_fn=die_with_parent(),  # noqa: PLW1509
    ) as child:  # fmt: skip
        assert child.stdout is not None
        try:
            for line in child.stdout:
                said.append(line.rstrip())
                if re.match(r"\s*\d+%", line):
                    progress.detail(line.strip())
        except BaseException:
            child.kill()
            raise
    if child.returncode != 0:
        raise EmbeddedServerError("The starter model could not be made:\n" + "\n".join(said))


def start_demo(*, user: User, workspace: Workspace) -> Run:
    """The demo's run: the one that is under way, or a new one."""
    mine = Run.objects.filter(experiment__workspace=workspace, experiment__method=FIRST_METHOD)
    if under_way := mine.exclude(status__in=TERMINAL).order_by("-created_at").first():
        return under_way
    experiment = create_experiment(actor=user, workspace=workspace, spec=preset(FIRST_METHOD, PRESET))
    return experiment.runs.latest("created_at")
