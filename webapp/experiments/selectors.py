"""What a person may see of experiments and runs; ``visible_to`` comes first, 404 for everything else."""

from collections.abc import Sequence
from uuid import UUID

from django.contrib.auth.models import AnonymousUser
from django.db.models import OuterRef, Q, QuerySet, Subquery
from django.http import Http404
from django.utils import timezone

from training_core.spec.estimate import Estimate, estimate
from training_core.spec.experiment import ExperimentSpec
from webapp.accounts.digests import digest_of
from webapp.accounts.models import User
from webapp.experiments.choices import RunStatus
from webapp.experiments.models import Experiment, ExperimentQuerySet, Run, RunQuerySet, RunTransition, ShareLink
from webapp.fleet import quota
from webapp.fleet.models import SlotKind, Worker
from webapp.workspaces.models import Workspace

ESTIMATE_TOLERANCE = 1.5
"""The estimate of memory is a rule of thumb; only what is clearly too large is refused."""


def experiments_visible_to(user: User | AnonymousUser) -> ExperimentQuerySet:
    """What lists show: everything but rehearsals."""
    found = Experiment.objects.visible_to(user).filter(is_rehearsal=False)
    return found.select_related("workspace", "created_by").order_by("-created_at", "pk")


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
    """What lists show and count: everything but rehearsals."""
    return _with_names(Run.objects.visible_to(user).filter(experiment__is_rehearsal=False))


def _with_names(runs: RunQuerySet) -> RunQuerySet:
    return runs.select_related("experiment__workspace", "created_by", "worker").order_by("-created_at", "pk")


def experiment_for(user: User | AnonymousUser, experiment_id: UUID | str) -> Experiment:
    """The experiment, or 404 for those who may not see it."""
    experiment = experiments_visible_to(user).filter(pk=experiment_id).first()
    if experiment is None:
        raise Http404("There is no such experiment, or it belongs to a workspace you are not a member of.")
    return experiment


def run_for(user: User | AnonymousUser, run_id: UUID | str) -> Run:
    """The run, a rehearsal as well, or 404 for those who may not see it."""
    run = _with_names(Run.objects.visible_to(user)).filter(pk=run_id).first()
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
    return waiting_reasons([run])[run.pk]


def waiting_reasons(runs: Sequence[Run]) -> dict[UUID, str]:
    """The same for many runs in four queries."""
    queued = [run for run in runs if run.status == RunStatus.QUEUED]
    if not queued:
        return {run.pk: "" for run in runs}
    workers = living_workers()
    in_order = Run.objects.filter(status=RunStatus.QUEUED).in_queue_order()
    full = set(quota.people_at_their_limit())
    places = {pk: place for place, pk in enumerate(in_order.values_list("pk", flat=True))}
    return {run.pk: "" for run in runs} | {
        run.pk: _delay(run)
        or _never_fits(run, workers)
        or (quota.sentence() if run.created_by_id in full and not run.experiment.is_rehearsal else "")
        or _place_in_queue(places.get(run.pk, 0))
        for run in queued
    }


def memory_refusal(spec: ExperimentSpec) -> str:
    """A sentence if the spec needs far more memory than any worker has; empty if it fits or nobody can tell."""
    needed, num_gpus = memory_per_slot(spec, estimate(spec)), spec.resources.num_gpus
    offers = [offered_memory(worker, on_gpu=num_gpus > 0) for worker in living_workers()]
    largest = max(offers, default=0)
    if needed is None or not largest:
        return ""
    if needed <= largest * ESTIMATE_TOLERANCE:
        return ""
    what = "GPU" if num_gpus else "worker"
    return (
        f"This spec needs about {needed / 1e9:.0f} GB of memory{' on each GPU' if num_gpus else ''}; "
        f"the largest {what} here has {largest / 1e9:.0f} GB. Choose a smaller model, bfloat16, LoRA or a lower "
        "engine.max_batch."
    )


def memory_per_slot(spec: ExperimentSpec, cost: Estimate) -> float | None:
    """Bytes that a spec needs on each GPU, or on the machine where it runs on none; None where nobody can tell."""
    if cost.memory_bytes is None:
        return None
    return cost.memory_bytes / (max(spec.resources.num_gpus, 1) * spec.resources.hosts)


def living_workers() -> list[Worker]:
    """Workers that were heard of lately, with their slots."""
    return list(Worker.objects.living().prefetch_related("slots"))


def offered_memory(worker: Worker, *, on_gpu: bool) -> int:
    """Bytes of a worker's largest GPU, or of its machine; 0 where they are unknown."""
    if on_gpu:
        return max((slot.memory_mib for slot in worker.slots.all() if slot.kind == SlotKind.GPU), default=0) * 2**20
    return int(worker.facts.get("memory_mib", 0)) * 2**20


def _delay(run: Run) -> str:
    left = (run.not_before - timezone.now()).total_seconds() if run.not_before else 0
    return f"waits {int(left) + 1} s before it is tried again" if left > 0 else ""


def _never_fits(run: Run, workers: list[Worker]) -> str:
    if not workers:
        return "waits for a worker; none is running"
    if all(worker.draining for worker in workers):
        return "waits for a worker; all of them are draining and take nothing new"
    kind = SlotKind.GPU if run.num_gpus else SlotKind.CPU
    offers = [sum(slot.kind == kind for slot in worker.slots.all()) for worker in workers]
    needed = max(run.num_gpus, 1)
    if max(offers) >= needed:
        fitting = {worker.host for worker, offer in zip(workers, offers, strict=True) if offer >= needed}
        return "" if len(fitting) >= run.num_hosts else _too_few_hosts(run, len(fitting))
    if kind == SlotKind.CPU:
        return "waits for a CPU slot; this installation has none"
    what = "a GPU" if needed == 1 else f"{needed} GPUs"
    if not any(offers):
        return f"waits for {what}; this installation has none"
    return f"waits for {what} on one machine; the largest worker has {max(offers)}"


def _too_few_hosts(run: Run, num_fitting: int) -> str:
    each = f"{run.num_gpus} GPU{'s' * (run.num_gpus > 1)}" if run.num_gpus else "a CPU slot"
    have = "one" if num_fitting == 1 else str(num_fitting)
    return f"waits for {run.num_hosts} hosts with {each} each; this installation has {have}"


def _place_in_queue(ahead: int) -> str:
    if not ahead:
        return "waits for a free slot"
    return f"waits for a free slot; {ahead} {'run is' if ahead == 1 else 'runs are'} before it"


def _usable_links() -> QuerySet[ShareLink]:
    unexpired = Q(expires_at=None) | Q(expires_at__gt=timezone.now())
    return ShareLink.objects.filter(unexpired, revoked_at=None)
