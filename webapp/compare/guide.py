"""First steps: the way from signing in to a shared finding, ticked off by what the person has really done."""

from dataclasses import dataclass
from urllib.parse import urlencode

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import require_POST

from webapp.accounts.models import User
from webapp.experiments.methods import FIRST_METHOD
from webapp.experiments.models import Experiment, Run
from webapp.reports.models import Report
from webapp.review.models import Verdict
from webapp.workspaces.models import Workspace

COOKIE = "first-steps"
YEAR_S = 365 * 24 * 3600


@dataclass(frozen=True, kw_only=True)
class Step:
    """``Step(title="Watch it learn", text="…", url="/runs/…/", action="Open the run", is_done=False)``"""

    title: str
    text: str
    url: str
    """Where it is done; empty while it is not due."""
    action: str
    is_done: bool


def first_steps(user: User, workspace: Workspace) -> list[Step]:
    """The steps in order; none once all are done."""
    ours = Experiment.objects.filter(workspace=workspace, is_rehearsal=False, is_example=False)
    own = Run.objects.filter(experiment__in=ours, created_by=user)
    runs = list(own.order_by("-created_at").only("pk", "last_step", "experiment_id")[:10])
    learnt = [run for run in runs if run.last_step > 0]
    has_two = len({run.experiment_id for run in learnt}) > 1
    steps = [
        Step(
            title="Launch an experiment",
            text="A model asks, answers and judges itself. The starter needs no download and learns within a minute.",
            url=f"{reverse('compose')}?method={FIRST_METHOD}",
            action="Compose",
            is_done=ours.filter(created_by=user).exists(),
        ),
        Step(
            title="Watch it learn",
            text="Curves on the left, every question with its answers and verdicts on the right; a click on a point leads to its samples.",
            url=reverse("run", args=[runs[0].pk]) if runs else "",
            action="Open the run",
            is_done=bool(learnt),
        ),
        Step(
            title="Say what you think of the judge",
            text="Answer the most disputed verdicts with one key each. Of a run at work it counts in the next update.",
            url=reverse("review") if learnt else "",
            action="Review",
            is_done=Verdict.objects.filter(by=user, run__experiment__workspace=workspace).exists(),
        ),
        Step(
            title="Change one thing and compare",
            text="Clone the run, swap its judge, and lay both side by side with what differs between them.",
            url=_comparison(learnt, has_two=has_two),
            action="Compare" if has_two else "Clone",
            is_done=has_two,
        ),
        Step(
            title="Share what you found",
            text="A report holds curves, scores and words; a link shows it to anybody.",
            url=reverse("reports") if learnt else "",
            action="Reports",
            is_done=Report.objects.filter(workspace=workspace, created_by=user).exists(),
        ),
    ]
    return [] if all(step.is_done for step in steps) else steps


def _comparison(learnt: list[Run], *, has_two: bool) -> str:
    if has_two:
        return f"{reverse('compare')}?{urlencode([('run', str(run.pk)) for run in learnt[:6]])}"
    return f"{reverse('compose')}?clone={learnt[0].pk}" if learnt else ""


@require_POST
@login_required
def hide(request: HttpRequest) -> HttpResponse:
    """Put the first steps away in this browser, or bring them back."""
    response = redirect("home")
    if request.POST.get("show"):
        response.delete_cookie(COOKIE, samesite="Lax")
    else:
        response.set_cookie(COOKIE, "off", max_age=YEAR_S, samesite="Lax", secure=request.is_secure(), httponly=True)
    return response
