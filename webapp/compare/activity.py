"""What the team did last, in words that lead to what they are about."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.contrib.auth.models import AnonymousUser
from django.urls import reverse

from webapp.accounts.models import User
from webapp.compare.filters import read_uuid
from webapp.experiments.models import Experiment, Run
from webapp.pages.tags import audit_words
from webapp.workspaces.models import AuditEvent, Workspace
from webapp.workspaces.selectors import audit_for


@dataclass(frozen=True, kw_only=True)
class Deed:
    """``Deed(words="Ben stopped a run", about="First light #2", href="/runs/.../", at=...)``."""

    words: str
    about: str
    href: str
    at: datetime


def last_deeds(user: User | AnonymousUser, workspace: Workspace, limit: int) -> list[Deed]:
    """The newest lines of the workspace's audit trail with the names of their runs and experiments, in three queries."""
    events = list(audit_for(user, workspace)[:limit])
    runs = _named(
        Run.objects.visible_to(user).select_related("experiment").defer("spec", "experiment__spec"), events, "run"
    )
    experiments = _named(Experiment.objects.visible_to(user).defer("spec"), events, "experiment")
    return [_deed(event, runs, experiments) for event in events]


def _named(objects: Any, events: Sequence[AuditEvent], kind: str) -> dict[str, str]:
    ids: list[UUID] = [found for event in events if event.object_type == kind and (found := read_uuid(event.object_id))]
    return {str(pk): str(found) for pk, found in objects.in_bulk(ids).items()} if ids else {}


def _deed(event: AuditEvent, runs: dict[str, str], experiments: dict[str, str]) -> Deed:
    words = audit_words(event)
    if name := runs.get(event.object_id):
        return Deed(words=words, about=name, href=reverse("run", args=[event.object_id]), at=event.at)
    if name := experiments.get(event.object_id):
        about = "" if name in words else name
        return Deed(words=words, about=about, href=reverse("experiment", args=[event.object_id]), at=event.at)
    return Deed(words=words, about="", href="", at=event.at)
