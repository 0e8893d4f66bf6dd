"""The tabs of the run page. Each is a part of its own, asked for when somebody first opens it.

To add one: a line in ``TABS``, a template, and where it needs a script a module below ``static/`` that exports
``mount(element, page)``; ``page`` is described in ``static/run/hub.js``. The address of a tab is ``<page>#<slug>``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import yaml

from webapp.arena.run_tab import league_tab
from webapp.experiments.forks import kept_checkpoints
from webapp.experiments.models import EXTERNAL
from webapp.experiments.selectors import share_links_of, transitions_of
from webapp.orders.steering import steering
from webapp.review.notes import marks_by_name, threads_of
from webapp.telemetry import selectors
from webapp.telemetry.comparison import compared_suites
from webapp.telemetry.doctor import findings
from webapp.telemetry.lens import Lens
from webapp.telemetry.rows import is_judge
from webapp.telemetry.sample_views import groups_tab, makes_questions, questions_tab
from webapp.telemetry.viewing import Viewing


def _nothing(seen: Viewing) -> dict[str, Any]:
    return {}


@dataclass(frozen=True, kw_only=True)
class Tab:
    """``Tab(slug="log", title="Log", template="runs/_log.html", module="run/log.js")``."""

    slug: str
    title: str
    template: str
    context: Callable[[Viewing], dict[str, Any]] = _nothing
    """What the template reads beside what every part gets."""
    for_shared: bool = True
    """Whether whoever holds a share link may open it."""
    module: str = ""
    """Address below ``static/`` of its script."""
    refresh: tuple[str, ...] = ()
    """News after which the part is rendered anew: kinds of events, or "status" for a change of state."""
    applies: Callable[[Lens], bool] = lambda lens: True
    """Whether runs of this method have it."""


def _evaluation(seen: Viewing) -> dict[str, Any]:
    return {"evaluations": compared_suites(seen.run)}


def _doctor(seen: Viewing) -> dict[str, Any]:
    return {"findings": findings(seen.run, seen.root)}


def _spec(seen: Viewing) -> dict[str, Any]:
    text = yaml.safe_dump(seen.run.spec, sort_keys=False, allow_unicode=True, width=100)
    return {"spec": text, "code_version": "" if seen.is_shared else seen.run.code.get("version", "")}


def _checkpoints(seen: Viewing) -> dict[str, Any]:
    forkable = kept_checkpoints(seen.run) if seen.may_edit else []
    return {"checkpoints": selectors.checkpoints(seen.run), "forkable": forkable}


def _history(seen: Viewing) -> dict[str, Any]:
    return {"transitions": transitions_of(seen.run), "share_links": share_links_of(seen.run)}


def _notes(seen: Viewing) -> dict[str, Any]:
    return {"threads": threads_of(seen.run), "marked": marks_by_name(seen.run)}


def _steer(seen: Viewing) -> dict[str, Any]:
    return steering(seen.run)


def _has_judge(lens: Lens) -> bool:
    """Whether somebody judges: a role, charts that say so, or what a hidden audit looks over."""
    audited = any(name == "audit/judge_score" for chart in lens.charts for name, _ in chart.series)
    return audited or any(is_judge(role.name) for role in lens.roles) or any(c.group == "Judge" for c in lens.charts)


TABS: tuple[Tab, ...] = (
    Tab(
        slug="judge",
        title="Judge",
        template="runs/_judge.html",
        module="run/judge.js",
        applies=_has_judge,
    ),
    Tab(
        slug="league",
        title="League",
        template="arena/_run_league.html",
        context=league_tab,
        refresh=("evaluation", "checkpoint"),
    ),
    Tab(
        slug="evaluation",
        title="Evaluation",
        template="runs/_evaluation.html",
        context=_evaluation,
        refresh=("evaluation",),
    ),
    Tab(
        slug="steer",
        title="Steer",
        template="orders/_steer.html",
        context=_steer,
        for_shared=False,
        refresh=("change", "status"),
    ),
    Tab(
        slug="doctor",
        title="Doctor",
        template="runs/_doctor.html",
        context=_doctor,
        refresh=("evaluation", "checkpoint"),
    ),
    Tab(slug="rewards", title="Rewards", template="runs/_rewards.html", module="run/rewards.js"),
    Tab(slug="timeline", title="Timeline", template="runs/_timeline.html", module="run/timeline.js"),
    Tab(
        slug="questions",
        title="Questions",
        template="runs/_questions.html",
        context=questions_tab,
        applies=makes_questions,
    ),
    Tab(slug="groups", title="Groups", template="runs/_groups.html", context=groups_tab),
    Tab(slug="log", title="Log", template="runs/_log.html", module="run/log.js"),
    Tab(slug="spec", title="Spec", template="runs/_spec.html", context=_spec),
    Tab(
        slug="checkpoints",
        title="Checkpoints",
        template="runs/_checkpoints.html",
        context=_checkpoints,
        refresh=("checkpoint",),
    ),
    Tab(slug="notes", title="Notes", template="review/_notes.html", context=_notes, for_shared=False),
    Tab(
        slug="history",
        title="History",
        template="runs/_history.html",
        context=_history,
        for_shared=False,
        refresh=("status",),
    ),
)


OUTSIDE = frozenset({"spec", "notes", "history"})
"""Tabs of a run that happens elsewhere and tells only numbers."""


def tabs_of(seen: Viewing, lens: Lens) -> list[Tab]:
    """The tabs this viewer finds beside the live one, in order."""
    tabs = [tab for tab in TABS if lens.slug != EXTERNAL or tab.slug in OUTSIDE]
    return [tab for tab in tabs if tab.applies(lens) and (tab.for_shared or not seen.is_shared)]
