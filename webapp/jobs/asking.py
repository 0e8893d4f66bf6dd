"""From what a person sends to a job: runs and steps become weights, and only those the person may see."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.utils.text import slugify
from pydantic import TypeAdapter, ValidationError

from training_core.spec.jobs import AnyJob, ExportJob
from webapp.accounts.models import User
from webapp.experiments.models import Run
from webapp.experiments.selectors import run_for
from webapp.jobs.cards import model_card
from webapp.jobs.weights import Moment, moment_of

_REFERENCE = frozenset({"run", "step", "policy"})


@dataclass(kw_only=True)
class Asked:
    """A job with the runs whose weights it asks; the first of them is what it is about."""

    job: AnyJob
    runs: list[Run] = field(default_factory=list)


def read_job(user: User, kind: str, payload: Mapping[str, Any]) -> Asked:
    """The job a person describes, with ``{"run", "step", "policy"}`` where weights stand; raises ``ValueError``."""
    moments: list[Moment] = []

    def resolved(value: Any) -> Any:
        if isinstance(value, list | tuple):
            return [resolved(each) for each in value]
        if not isinstance(value, Mapping):
            return value
        if "run" in value and value.keys() <= _REFERENCE:
            moments.append(_moment(user, value))
            return moments[-1].weights().model_dump(mode="json")
        if "checkpoint" in value:
            raise ValueError("Name weights by run and step, not by the place of a checkpoint.")
        return {key: each if key == "values" else resolved(each) for key, each in value.items()}

    job = parse_job(kind, resolved(payload))
    runs = [moment.run for moment in moments]
    if not runs:
        raise ValueError("This job asks nobody: name at least one run whose weights take part.")
    if isinstance(job, ExportJob):
        job = job.model_copy(update=_named(job, moments[0]))
    if len({run.experiment.workspace_id for run in runs}) > 1:
        raise ValueError("All runs of a job belong to one workspace.")
    return Asked(job=job, runs=runs)


def parse_job(kind: str, payload: Any) -> AnyJob:
    """A job from its payload; raises ``ValueError`` with a sentence that names what is wrong."""
    try:
        return TypeAdapter[AnyJob](AnyJob).validate_python({**payload, "kind": kind})
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"][1:])
        words = first["msg"].removeprefix("Value error, ")
        raise ValueError(f"{place}: {words}" if place else words) from error


def _named(job: ExportJob, moment: Moment) -> dict[str, str]:
    """An export without a name or a card gets those of its checkpoint."""
    name = f"{slugify(moment.run.experiment.name)[:60] or 'run'}-{moment.run.number}-{slugify(moment.short)}"
    given = job.model_fields_set
    return {
        "file_name": job.file_name if "file_name" in given else name,
        "card": job.card if "card" in given else model_card(moment),
    }


def _moment(user: User, reference: Mapping[str, Any]) -> Moment:
    try:
        run_id = UUID(str(reference["run"]))
    except ValueError as error:
        raise ValueError(f"{str(reference['run'])[:60]!r} is not the id of a run.") from error
    step = reference.get("step")
    if step is not None and (isinstance(step, bool) or not isinstance(step, int) or step < 0):
        raise ValueError(f"A step is a whole number, 0 for the start, not {str(step)[:20]!r}.")
    return moment_of(run_for(user, run_id), step, str(reference.get("policy") or ""))
