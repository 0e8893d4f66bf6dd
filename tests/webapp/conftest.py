from collections.abc import Callable

import pytest

from tests.factories import make_experiment, make_run
from training_core.spec.experiment import ExperimentSpec
from training_core.spec.io import parse_spec
from webapp.accounts.models import User
from webapp.experiments.models import Experiment, Run
from webapp.workspaces.models import Workspace

SPEC = {"name": "First light", "method": {"name": "mae"}, "steps": 60}


@pytest.fixture
def spec() -> ExperimentSpec:
    return parse_spec(SPEC)


@pytest.fixture
def experiment(workspace: Workspace, ada: User) -> Experiment:
    return make_experiment(workspace, ada)


@pytest.fixture
def run_in(experiment: Experiment) -> Callable[..., Run]:
    """A run in the given state: ``run_in("paused")``."""
    return lambda status, **fields: make_run(experiment, status, **fields)


@pytest.fixture
def olga(db: None) -> User:
    """An operator of the installation who belongs to no workspace."""
    return User.objects.create_user("olga@example.org", "correct horse battery", display_name="Olga", is_staff=True)
