"""Writing reports. A save names the version it began from, so that nobody writes over what another person wrote meanwhile."""

import secrets
from collections.abc import Sequence
from uuid import UUID

from django.db import transaction
from django.http import Http404
from django.utils import timezone

from webapp.accounts.digests import digest_of
from webapp.accounts.models import User
from webapp.experiments.models import Run
from webapp.reports.blocks import (
    AnyBlock,
    ChartBlock,
    PassportBlock,
    ScoresBlock,
    SettingsBlock,
    TextBlock,
    dump_blocks,
)
from webapp.reports.models import Report, ReportLink
from webapp.telemetry.headline import headline_metric
from webapp.workspaces.models import Workspace
from webapp.workspaces.selectors import membership_of, require_edit
from webapp.workspaces.services import record

MAX_TITLE = 120


class ReportChanged(ValueError):
    """Somebody saved the report since it was opened."""


@transaction.atomic(durable=True)
def create_report(*, actor: User, workspace: Workspace, title: str, runs: Sequence[Run] = ()) -> Report:
    """A report; with runs it begins with their headline metric, scores, settings and passports."""
    if membership_of(actor, workspace) is None:
        raise Http404("There is no such workspace, or you are not a member of it.")
    require_edit(actor, workspace)
    if any(run.experiment.workspace_id != workspace.pk for run in runs):
        raise ValueError("A report holds runs of its own workspace. Switch to theirs first.")
    blocks = dump_blocks(_first_blocks(runs) if runs else [TextBlock()])
    report = Report.objects.create(workspace=workspace, title=_title(title), blocks=blocks, created_by=actor)
    record(actor=actor, action="report.created", obj=report, workspace=workspace, detail={"title": report.title})
    return report


def _first_blocks(runs: Sequence[Run]) -> list[AnyBlock]:
    ids = [run.pk for run in runs]
    metrics = dict.fromkeys(headline_metric(run.experiment.method) for run in runs)
    several: list[AnyBlock] = [SettingsBlock(runs=ids)] if len(ids) > 1 else []
    return [
        TextBlock(text="## What was tried, and what came of it\n"),
        *(ChartBlock(runs=ids, metric=metric) for metric in metrics if metric),
        ScoresBlock(runs=ids),
        *several,
        PassportBlock(runs=ids),
    ]


@transaction.atomic(durable=True)
def save_report(*, actor: User, report_id: UUID, version: int, title: str, blocks: Sequence[AnyBlock]) -> Report:
    """Write title and blocks; raises ``ReportChanged`` when somebody saved since ``version``."""
    report = _lock(actor, report_id)
    if report.version != version:
        raise ReportChanged(
            "Somebody saved this report since you opened it. What you wrote stands below; open the report in another "
            "tab, bring both together, and save again."
        )
    report.title, report.blocks, report.version = _title(title), dump_blocks(blocks), version + 1
    report.save(update_fields=["title", "blocks", "version", "updated_at"])
    record(actor=actor, action="report.saved", obj=report, workspace=report.workspace, detail={"title": report.title})
    return report


@transaction.atomic(durable=True)
def archive_report(*, actor: User, report_id: UUID) -> Report:
    """Take a report out of the list and its links back; doing it twice is not an error."""
    report = _lock(actor, report_id)
    if report.archived_at is None:
        report.archived_at = timezone.now()
        report.save(update_fields=["archived_at"])
        report.links.filter(revoked_at__isnull=True).update(revoked_at=timezone.now())
        detail = {"title": report.title}
        record(actor=actor, action="report.archived", obj=report, workspace=report.workspace, detail=detail)
    return report


@transaction.atomic(durable=True)
def create_report_link(*, actor: User, report_id: UUID) -> tuple[ReportLink, str]:
    """A link ``/r/<secret>/`` that shows the report to anybody who has it; the secret is returned once, never stored."""
    report = _lock(actor, report_id)
    secret = secrets.token_urlsafe(24)
    link = ReportLink.objects.create(report=report, digest=digest_of(secret), prefix=secret[:8], created_by=actor)
    detail = {"title": report.title, "link": link.prefix}
    record(actor=actor, action="report.shared", obj=report, workspace=report.workspace, detail=detail)
    return link, secret


@transaction.atomic(durable=True)
def revoke_report_link(*, actor: User, report_id: UUID, link_id: int) -> None:
    """Take a link back; doing it twice is not an error."""
    report = _lock(actor, report_id)
    link = ReportLink.objects.select_for_update().filter(report=report, pk=link_id).first()
    if link is None:
        raise Http404("This report has no such link.")
    if link.revoked_at is None:
        link.revoked_at = timezone.now()
        link.save(update_fields=["revoked_at"])
        detail = {"title": report.title, "link": link.prefix}
        record(actor=actor, action="report.share_revoked", obj=report, workspace=report.workspace, detail=detail)


def _lock(actor: User, report_id: UUID) -> Report:
    """The report, locked for change: 404 for outsiders, 403 for viewers."""
    found = Report.objects.visible_to(actor).select_related("workspace").select_for_update(of=("self",))
    report = found.filter(pk=report_id).first()
    if report is None:
        raise Http404("There is no such report, or it belongs to a workspace you are not a member of.")
    require_edit(actor, report.workspace)
    return report


def _title(title: str) -> str:
    title = " ".join(title.split())
    if not 0 < len(title) <= MAX_TITLE:
        raise ValueError(f"A report needs a title of 1 to {MAX_TITLE} characters.")
    return title
