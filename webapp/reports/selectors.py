"""Which reports a person may read."""

from uuid import UUID

from django.contrib.auth.models import AnonymousUser
from django.db.models import QuerySet
from django.http import Http404

from webapp.accounts.digests import digest_of
from webapp.accounts.models import User
from webapp.experiments.models import Run
from webapp.experiments.selectors import runs_visible_to
from webapp.reports.models import Report, ReportLink, ReportQuerySet
from webapp.workspaces.models import Workspace

MAX_OFFERED = 100


def reports_visible_to(user: User | AnonymousUser) -> ReportQuerySet:
    found = Report.objects.visible_to(user).filter(archived_at__isnull=True)
    return found.select_related("workspace", "created_by").order_by("-updated_at", "pk")


def report_for(user: User | AnonymousUser, report_id: UUID) -> Report:
    """The report, an archived one as well, or 404 for those who may not see it."""
    report = Report.objects.visible_to(user).select_related("workspace", "created_by").filter(pk=report_id).first()
    if report is None:
        raise Http404("There is no such report, or it belongs to a workspace you are not a member of.")
    return report


def report_for_link(secret: str) -> Report:
    """The report a link shows, or 404 for links that never were or were taken back."""
    link = ReportLink.objects.filter(digest=digest_of(secret), revoked_at__isnull=True).select_related(
        "report__workspace"
    )
    found = link.first()
    if found is None:
        raise Http404("This link does not lead anywhere. It may have been taken back.")
    return found.report


def links_of(report: Report) -> QuerySet[ReportLink]:
    return (
        ReportLink.objects.filter(report=report, revoked_at__isnull=True).select_related("created_by").order_by("-pk")
    )


def runs_offered(user: User | AnonymousUser, workspace: Workspace) -> list[Run]:
    """The newest runs of the workspace, to choose from."""
    found = runs_visible_to(user).filter(experiment__workspace=workspace)
    return list(found.defer("spec", "headline", "traceback", "experiment__spec")[:MAX_OFFERED])
