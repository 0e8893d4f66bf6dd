"""Starters for tests: taught once per machine and kept under ``var/test-models``."""

from pathlib import Path

import pytest

from training_core.policies.starter import ensure_starter
from training_core.spec.tasks import ArithmeticTask

TEACHING_LIMIT_S = 1200
MODELS_DIR = Path(__file__).resolve().parents[2] / "var" / "test-models"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whoever teaches the starter takes longer than other tests may."""
    for item in items:
        if "arithmetic_starter" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.timeout(TEACHING_LIMIT_S))


@pytest.fixture(scope="session")
def models_dir() -> Path:
    """Where tests find starters and leave the ones they make."""
    return MODELS_DIR


@pytest.fixture(scope="session")
def arithmetic_starter(models_dir: Path) -> Path:
    """The folder of the arithmetic starter; the first test on a machine waits about two CPU minutes for it."""
    return ensure_starter(task=ArithmeticTask(), models_dir=models_dir, progress=lambda fraction, text: None)
