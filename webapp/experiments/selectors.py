"""What a person may see of experiments and runs; ``visible_to`` comes first, 404 for everything else."""

from datetime import timedelta
from uuid import UUID

from django.contrib.auth.models import AnonymousUser
from django.db.models import OuterRef, Q, QuerySet, Subquery
from django.http import Http404
from django.utils import timezone

from webapp.accounts.digests import digest_of
from webapp.accounts.models import User
from webapp.experiments.choices import RunStatus
from webapp.experiments.models import Experiment, ExperimentQuerySet, Run, RunQuerySet, RunTransition, ShareLink
from webapp.fleet import timing
from webapp.fleet.models import SlotKind, Worker
from webapp.workspaces.models import Workspace


def experiments_visible_to(user: User | AnonymousUser) -> ExperimentQuerySet:
    return Experiment.objects.visible_to(user).select_related("workspace", "created_by").order_by("-created_at", "pk")


def find_experiments(
    user: User | AnonymousUser,
    *,
    workspace: Workspace | None = None,
    method: str = "",
    status: str = "",
    search: str = "",
    archived: bool = False,
) -> ExperimentQuerySet:
    """Experiments for a list, newest first, each with ``latest_status`` of its newest run (None without any)."""
    newest = Run.objects.filter(experiment=OuterRef("pk")).order_by("-number")
    found = experiments_visible_to(user).annotate(latest_status=Subquery(newest.values("status")[:1]))
    found = found.filter(archived_at__isnull=not archived)
    if workspace:
        found = found.filter(workspace=workspace)
    if method:
        found = found.filter(method=method)
    if status:
        found = found.filter(latest_status=status)
    if search:
        found = found.filter(Q(name__icontains=search) | Q(method__icontains=search))
    return found


def runs_visible_to(user: User | AnonymousUser) -> RunQuerySet:
    return (
        Run.objects.visible_to(user)
        .select_related("experiment__workspace", "created_by", "worker")
        .order_by("-created_at", "pk")
    )


def experiment_for(user: User | AnonymousUser, experiment_id: UUID | str) -> Experiment:
    """The experiment, or 404 for those who may not see it."""
    experiment = experiments_visible_to(user).filter(pk=experiment_id).first()
    if experiment is None:
        raise Http404("There is no such experiment, or it belongs to a workspace you are not a member of.")
    return experiment


def run_for(user: User | AnonymousUser, run_id: UUID | str) -> Run:
    """The run, or 404 for those who may not see it."""
    run = runs_visible_to(user).filter(pk=run_id).first()
    if run is None:
        raise Http404("There is no such run, or it belongs to a workspace you are not a member of.")
    return run


def run_for_share(secret: str) -> Run:
    """The run a share link shows, or 404 for links that never were, have expired or were taken back."""
    link = _usable_links().filter(digest=digest_of(secret)).select_related("run__experiment__workspace").first()
    if link is None:
        raise Http404("This link does not lead anywhere. It may have expired or been taken back.")
    return link.run


def share_links_of(run: Run) -> QuerySet[ShareLink]:
    """Links to the run that still work, newest first."""
    return _usable_links().filter(run=run).select_related("created_by").order_by("-created_at")


def transitions_of(run: Run) -> QuerySet[RunTransition]:
    return run.transitions.select_related("actor").order_by("version")


def waiting_reason(run: Run) -> str:
    """Why a queued run does not run yet, in words; empty for a run that does not wait."""
    if run.status != RunStatus.QUEUED:
        return ""
    now = timezone.now()
    if run.not_before and run.not_before > now:
        wait_s = int((run.not_before - now).total_seconds()) + 1
        return f"waits {wait_s} s before it is tried again"
    fresh = Worker.objects.filter(stopped_at=None, last_beat_at__gt=now - timedelta(seconds=timing.LEASE_S))
    workers = list(fresh.prefetch_related("slots"))
    if not workers:
        return "waits for a worker; none is running"
    if all(worker.draining for worker in workers):
        return "waits for a worker; all of them are draining and take nothing new"
    return _never_fits(run, workers) or _place_in_queue(run)


def _place_in_queue(run: Run) -> str:
    ahead = Run.objects.filter(Q(status=RunStatus.QUEUED) & _before(run)).count()
    if ahead:
        return f"waits for a free slot; {ahead} {'run is' if ahead == 1 else 'runs are'} before it"
    return "waits for a free slot"


def _before(run: Run) -> Q:
    return Q(priority__gt=run.priority) | Q(priority=run.priority, created_at__lt=run.created_at)


def _never_fits(run: Run, workers: list[Worker]) -> str:
    kind = SlotKind.GPU if run.num_gpus else SlotKind.CPU
    offers = [sum(slot.kind == kind for slot in worker.slots.all()) for worker in workers]
    needed = max(run.num_gpus, 1)
    if max(offers) >= needed:
        return ""
    if kind == SlotKind.CPU:
        return "waits for a CPU slot; this installation has none"
    what = "a GPU" if needed == 1 else f"{needed} GPUs"
    if not any(offers):
        return f"waits for {what}; this installation has none"
    return f"waits for {what} on one machine; the largest worker has {max(offers)}"


def _usable_links() -> QuerySet[ShareLink]:
    unexpired = Q(expires_at=None) | Q(expires_at__gt=timezone.now())
    return ShareLink.objects.filter(unexpired, revoked_at=None)
