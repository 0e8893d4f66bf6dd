"""Room for a run: slots of one worker, or of workers on several hosts at one moment."""

from webapp.experiments.models import Run
from webapp.fleet.models import Slot, SlotHealth, SlotKind, Worker


def free_slots(worker: Worker) -> list[Slot]:
    return list(Slot.objects.filter(worker=worker, run=None, health=SlotHealth.OK).order_by("index"))


def assemble(run: Run, worker: Worker, free: list[Slot]) -> list[list[Slot]] | None:
    """Slots for the run on each of its hosts, ``free`` ones of ``worker`` first; None if there are too few just now.

    Call inside a transaction: workers of other hosts are locked, so that they claim nothing meanwhile; one that is about
    to claim is passed by instead of waited for, so that two such calls never wait for each other.
    """
    mine = _taken(run, free)
    if not mine:
        return None
    hosts, seen = [mine], {(worker.host, worker.boot_id)}
    if run.num_hosts > 1:
        for other in _others(worker):
            if (other.host, other.boot_id) not in seen and (slots := _taken(run, free_slots(other))):
                hosts.append(slots)
                seen.add((other.host, other.boot_id))
    return hosts[: run.num_hosts] if len(hosts) >= run.num_hosts else None


def _others(worker: Worker) -> list[Worker]:
    ready = Worker.objects.living().filter(draining=False).exclude(pk=worker.pk)
    return list(ready.select_for_update(no_key=True, skip_locked=True).order_by("name"))


def _taken(run: Run, free: list[Slot]) -> list[Slot]:
    """The slots that the run would take on one host, or none if they do not suffice."""
    wanted, kind = (run.num_gpus, SlotKind.GPU) if run.num_gpus else (1, SlotKind.CPU)
    found = [slot for slot in free if slot.kind == kind][:wanted]
    return found if len(found) == wanted else []
