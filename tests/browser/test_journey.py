"""A newcomer's whole way with a real worker and a model that learns while one watches; the way itself stands in ``bench/journey.py``."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from bench.journey import Journey, Plan
from tests.faults.conftest import Fleet, environment_of
from training_core.curricula.base import School
from training_core.curricula.registry import find_curriculum
from training_core.policies.recipe import starter_recipe
from training_core.policies.starter import ensure_recipe
from training_core.spec.tasks import ArithmeticTask
from webapp.orders.models import RunOrder
from webapp.reports.models import Report
from webapp.review.models import Verdict

EASY = Plan(
    steps=100_000,  # they are stopped, so no run is over before it is answered
    verifier_steps=2,
    is_endless=True,
    settings={
        "f-task-max_digits": "1",
        "f-method-batch_per_role": "8",
        "f-method-probe_items": "16",
        "f-method-min_judge_auc": "0",
        "f-evaluation-num_items": "16",
        "f-evaluation-every": "100",
    },
)


def teach_a_little(models_dir: Path) -> None:
    """A starter for sums of single digits that has seen a fifth of its lessons, where the taught one is looked for."""
    whole = starter_recipe(ArithmeticTask(max_digits=1), curriculum=find_curriculum("evolve"), seed=0)
    size = {"hidden_size": 64, "num_heads": 2, "intermediate_size": 96, "batch_size": 32}
    school: School = replace(whole.school, **size, num_steps=250, extra_steps=1, max_extra_courses=0, exam_items=8)  # type: ignore[arg-type]
    taught = ensure_recipe(replace(whole, school=school), models_dir=models_dir, progress=lambda fraction, text: None)
    taught.rename(models_dir / whole.name)


@pytest.fixture
def fleet(transactional_db: None, tmp_path: Path, settings: Any) -> Iterator[Fleet]:
    settings.ARTIFACTS_DIR = tmp_path / "artifacts"
    teach_a_little(tmp_path / "artifacts" / "models")
    fleet = Fleet(model=tmp_path, logs=tmp_path, environment=environment_of(tmp_path / "artifacts"))
    fleet.start_worker(KUMITE_CPU_SLOTS="1")
    yield fleet
    fleet.stop_all()


@pytest.mark.timeout(1200)  # four processes of training begin one after the other
def test_a_newcomer_overrules_the_judge_compares_and_shares(fleet: Fleet, browser: Browser, site: str) -> None:
    way = Journey(browser, site, EASY, out=None)
    way.walk()
    way.page.context.close()
    assert way.problems == []
    order, verdict = RunOrder.objects.get(), Verdict.objects.get()
    assert order.is_obeyed
    assert order.outcome["before"] != order.outcome["after"]
    assert verdict.order == order
    assert Report.objects.get().links.count() == 1
