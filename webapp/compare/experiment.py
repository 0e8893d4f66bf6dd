"""What an experiment's page says of its seeds: their mean with a band, and whether they differ from what it was made from."""

from collections.abc import Sequence
from urllib.parse import urlencode
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_GET

from webapp.accounts.models import User
from webapp.compare.arms import MAX_RUNS, Arm, arms_of
from webapp.compare.configs import differing_blocks
from webapp.compare.headlines import headline_of
from webapp.compare.verdicts import verdicts
from webapp.experiments.models import Run
from webapp.experiments.selectors import experiment_for, runs_visible_to
from webapp.telemetry.summary import digests


@require_GET
@login_required
def seeds(request: HttpRequest, experiment_id: UUID) -> HttpResponse:
    """The part of the page that its script asks for."""
    experiment = experiment_for(request.user, experiment_id)
    own = _runs_of(request.user, experiment.pk)
    parent = runs_visible_to(request.user).filter(pk=experiment.parent_id).first() if experiment.parent_id else None
    before = _like(parent, _runs_of(request.user, parent.experiment_id)) if parent else []
    headline = headline_of(experiment.method)
    arms = arms_of([*own, *before])
    base = next((arm for arm in arms if parent and arm.experiment_id == parent.experiment_id), None)
    numbers = digests([run.pk for run in (*own, *before)])
    context = {
        "experiment": experiment,
        "parent": parent,
        "headline": headline,
        "verdicts": verdicts(arms, base, numbers, headline.metric, "last") if base and own else [],
        "blocks": differing_blocks([parent.spec, {**experiment.spec, "seed": parent.spec["seed"]}]) if parent else [],
        "compare": f"{reverse('compare')}?{urlencode([('run', str(run.pk)) for run in (*own, *before)][:MAX_RUNS])}",
        "has_points": any(headline.metric in of_run for of_run in numbers.values()),
        "config": {"series": reverse("compare_lines"), "metric": headline.metric, "lines": _lines(arms)},
    }
    return render(request, "compare/_seeds.html", context)


def _runs_of(user: User | AnonymousUser, experiment_id: UUID) -> list[Run]:
    found = runs_visible_to(user).filter(experiment_id=experiment_id, archived_at=None)
    return list(found.defer("spec", "traceback", "experiment__spec").order_by("number")[: MAX_RUNS // 2])


def _like(parent: Run, runs: Sequence[Run]) -> list[Run]:
    """The parent with the runs that differ from it by their seed alone."""
    return [run for run in runs if run.overrides == parent.overrides]


def _lines(arms: Sequence[Arm]) -> list[dict[str, object]]:
    return [
        {
            "key": ",".join(str(run.pk) for run in arm.runs),
            "label": f"{arm.label} ({arm.num_seeds} seeds)" if arm.num_seeds > 1 else arm.label,
            "single": arm.num_seeds == 1,
            "tint": arm.tint,
            "dash": arm.dash,
        }
        for arm in arms
    ]
