"""Which runs a list shows, as its address says it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any, Self
from uuid import UUID

from django.db.models import Q
from django.utils import timezone

from webapp.experiments.choices import RunStatus
from webapp.experiments.contact import has_lost_contact
from webapp.experiments.models import RunQuerySet

STATUS_GROUPS: dict[str, tuple[str, tuple[RunStatus, ...]]] = {
    "active": (
        "At work",
        (RunStatus.CLAIMED, RunStatus.STARTING, RunStatus.RUNNING, RunStatus.PAUSING, RunStatus.CANCELLING),
    ),
    "lost": ("Lost contact", (RunStatus.RUNNING,)),
    "queued": ("Queued", (RunStatus.QUEUED,)),
    "paused": ("Paused", (RunStatus.PAUSED,)),
    "succeeded": ("Succeeded", (RunStatus.SUCCEEDED,)),
    "failed": ("Failed", (RunStatus.FAILED, RunStatus.TIMED_OUT)),
    "stopped": ("Stopped", (RunStatus.CANCELLED,)),
}
MAX_TEXT = 200


@dataclass(frozen=True, kw_only=True)
class RunFilter:
    """``RunFilter(search="light", method="mae", status="active", tag="paper")``; empty values do not filter."""

    search: str = ""
    method: str = ""
    status: str = ""
    """A name of ``STATUS_GROUPS``."""
    person: int | None = None
    tag: str = ""
    since: date | None = None
    until: date | None = None
    experiment: UUID | None = None
    archived: bool = False

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> Self:
        """The filter of an address; what cannot be understood does not filter."""
        status = data.get("status", "")
        return cls(
            search=data.get("q", "").strip()[:MAX_TEXT],
            method=data.get("method", "")[:40],
            status=status if status in STATUS_GROUPS else "",
            person=_number(data.get("by", "")),
            tag=data.get("tag", "").strip().lower()[:40],
            since=_date(data.get("since", "")),
            until=_date(data.get("until", "")),
            experiment=read_uuid(data.get("experiment", "")),
            archived=data.get("archived", "") == "1",
        )

    @property
    def parameters(self) -> dict[str, str]:
        """The same as parameters of an address, without what is empty."""
        given = {
            "q": self.search,
            "method": self.method,
            "status": self.status,
            "by": self.person,
            "tag": self.tag,
            "since": self.since,
            "until": self.until,
            "experiment": self.experiment,
            "archived": "1" if self.archived else "",
        }
        return {name: str(value) for name, value in given.items() if value not in {None, ""}}

    @property
    def is_narrow(self) -> bool:
        """Whether it leaves runs out."""
        return bool(self.parameters)

    def apply(self, runs: RunQuerySet) -> RunQuerySet:
        return runs.filter(self._conditions())

    def _conditions(self) -> Q:
        found = Q(archived_at=None, experiment__archived_at=None)
        if self.archived:
            found = ~found
        if self.search:
            found &= Q(experiment__name__icontains=self.search) | Q(created_by__display_name__icontains=self.search)
        if self.status:
            found &= Q(status__in=STATUS_GROUPS[self.status][1])
        if self.status == "lost":
            found &= has_lost_contact()
        if self.tag:
            found &= Q(tags__contains=[self.tag])
        if self.since:
            found &= Q(created_at__gte=_midnight(self.since))
        if self.until:
            found &= Q(created_at__lt=_midnight(self.until + timedelta(days=1)))
        exact = {"experiment__method": self.method, "created_by_id": self.person, "experiment_id": self.experiment}
        return found & Q(**{path: value for path, value in exact.items() if value})


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time.min, tzinfo=timezone.get_current_timezone())


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


def _date(text: str) -> date | None:
    try:
        found = date.fromisoformat(text)
    except ValueError:
        return None
    return found if found.year < 9000 else None


def read_uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
