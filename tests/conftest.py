"""Every invocation of pytest has its own Postgres and Redis, on unix sockets in a temporary folder.

Set ``DATABASE_URL`` to use a Postgres of your own instead. Under xdist the controller starts Postgres, where every
worker makes a database of its own; folder and Redis are each worker's own, because rows of different databases share
their numbers: requests are counted by the number of a user, and publish/subscribe knows no databases.
"""

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from webapp.embedded import EmbeddedPostgres, EmbeddedRedis

if TYPE_CHECKING:
    from webapp.accounts.models import User
    from webapp.workspaces.models import Workspace

_PREFIX = "kumite-test-"
_WORKER = os.environ.get("PYTEST_XDIST_WORKER", "")
_SERVERS: list[EmbeddedPostgres | EmbeddedRedis] = []


def _new_folder() -> Path:
    """A folder named after its owner, so that folders of killed invocations can be told and removed."""
    root = Path(tempfile.gettempdir())
    for old in root.glob(f"{_PREFIX}*"):
        pid = old.name.removeprefix(_PREFIX).split("-")[0]
        if pid.isdigit() and not psutil.pid_exists(int(pid)):
            shutil.rmtree(old, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=root))
    folder.chmod(0o711)  # Postgres may run as another account than the tests
    return folder


# Names only; the servers start in pytest_configure. Django reads its settings as soon as a test module is imported.
if not _WORKER:
    os.environ["KUMITE_TEST_DIR"] = str(_new_folder())
    os.environ["KUMITE_TEST_DATABASE_URL"] = os.environ.get("DATABASE_URL", "")
_DIR = Path(os.environ["KUMITE_TEST_DIR"])
_VAR = _DIR / _WORKER if _WORKER else _DIR
(_VAR / "static").mkdir(parents=True, exist_ok=True)
_POSTGRES = EmbeddedPostgres(_DIR, is_durable=False)
_REDIS = EmbeddedRedis(_VAR, is_durable=False)
os.environ["KUMITE_VAR"] = str(_VAR)
os.environ["DATABASE_URL"] = os.environ["KUMITE_TEST_DATABASE_URL"] or _POSTGRES.url
os.environ["REDIS_URL"] = _REDIS.url
os.environ["DJANGO_SETTINGS_MODULE"] = "webapp.settings"
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["KUMITE_IDLE_TRANSACTION_S"] = "300"  # a test is one transaction, however slow the machine

import django  # noqa: E402
from django.conf import settings  # noqa: E402

if settings.configured:
    raise pytest.UsageError("Django's settings were read before these were made; unset DJANGO_SETTINGS_MODULE.")
django.setup()

from django.contrib.auth.hashers import Argon2PasswordHasher  # noqa: E402

# The cheapest settings: most tests create people, and a hash says how it was made, so servers elsewhere can check it.
Argon2PasswordHasher.time_cost, Argon2PasswordHasher.memory_cost, Argon2PasswordHasher.parallelism = 1, 8, 1


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    if not _WORKER and not os.environ["KUMITE_TEST_DATABASE_URL"]:
        _SERVERS.append(_POSTGRES)
    _SERVERS.append(_REDIS)
    for server in _SERVERS:
        server.start()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes() -> None:
    """Workers inherit the controller's environment; pytest-django would read its settings there before this file."""
    del os.environ["DJANGO_SETTINGS_MODULE"]


# Tests that share something costly stay on one worker. By name, because this version of pytest hides the marker
# ``xdist_group`` from xdist.
_TOGETHER = {
    "tests/vllm/": "vllm",
    "tests/faults/test_up.py": "up",
    "tests/core/test_starter.py::test_the_taught_": "starter",
}
_BY_FILE = "tests/core/"
"""Modules there share models and runs among their tests."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    from xdist.scheduler import LoadScopeScheduling

    class Together(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            alone = nodeid.partition("::")[0] if nodeid.startswith(_BY_FILE) else nodeid
            return next((group for start, group in _TOGETHER.items() if nodeid.startswith(start)), alone)

    return Together(config, log)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    while _SERVERS:
        _SERVERS.pop().stop()
    if not _WORKER:
        shutil.rmtree(_DIR, ignore_errors=True)


# The cast of every test: ada owns the workspace, ben may look, cyn is an outsider. Their password is PASSWORD.
PASSWORD = "correct horse battery"


def make_person(name: str) -> "User":
    from webapp.accounts.models import User

    return User.objects.create_user(f"{name}@example.org", PASSWORD, display_name=name.capitalize())


@pytest.fixture
def ada(db: None) -> "User":
    return make_person("ada")


@pytest.fixture
def ben(db: None) -> "User":
    return make_person("ben")


@pytest.fixture
def cyn(db: None) -> "User":
    return make_person("cyn")


def make_workspace(owner: "User", viewer: "User") -> "Workspace":
    from webapp.workspaces.models import Membership, Workspace

    workspace = Workspace.objects.create(name="Dojo", slug="dojo")
    Membership.objects.create(workspace=workspace, user=owner, role="owner")
    Membership.objects.create(workspace=workspace, user=viewer, role="viewer")
    return workspace


@pytest.fixture
def workspace(ada: "User", ben: "User") -> "Workspace":
    """Ada's workspace, in which ben is a viewer."""
    return make_workspace(ada, ben)
