"""Runs: list, read, control, share."""

from dataclasses import asdict
from typing import ClassVar
from uuid import UUID

from django.db.models import Q
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from webapp.api.errors import refusals_as_errors
from webapp.api.filters import RunsQuery
from webapp.api.pagination import NewestFirst
from webapp.api.serializers import (
    ErrorAnswer,
    NewShareLinkSerializer,
    RunChange,
    RunDetailSerializer,
    RunSerializer,
    ShareLinkInput,
    ShareLinkSerializer,
)
from webapp.api.views.base import Endpoint, split_names, valid_body, valid_query
from webapp.compare.values import value_of
from webapp.experiments import services
from webapp.experiments.models import RunQuerySet
from webapp.experiments.queue_services import move_in_queue
from webapp.experiments.selectors import run_for, runs_visible_to, share_links_of
from webapp.telemetry.summary import Digest, digests


class Runs(Endpoint):
    serializer_class = RunSerializer
    pagination_class = NewestFirst

    def get_queryset(self) -> RunQuerySet:
        wanted = valid_query(RunsQuery, self.request)
        paths = {
            "experiment__workspace__slug": wanted["workspace"],
            "experiment_id": wanted["experiment"],
            "experiment__method": wanted["method"],
            "status": wanted["status"],
            "experiment__name__icontains": wanted["search"],
            "tags__contains": [wanted["tag"].lower()] if wanted["tag"] else None,
            "created_by_id": wanted["created_by"],
            "created_at__date__gte": wanted["since"],
            "created_at__date__lte": wanted["until"],
        }
        given = Q(**{path: value for path, value in paths.items() if value})
        found = runs_visible_to(self.person()).filter(given)
        if wanted["archived"] is None:
            return found
        archived = Q(archived_at__isnull=False) | Q(experiment__archived_at__isnull=False)
        return found.filter(archived if wanted["archived"] else ~archived)

    @extend_schema(operation_id="runs_list", tags=["runs"], parameters=[RunsQuery], responses=RunSerializer(many=True))
    def get(self, request: Request) -> Response:
        """Runs of your workspaces, newest first; with ``metric`` each has the named metrics in a few numbers."""
        page = self.paginate_queryset(self.get_queryset()) or []
        names = split_names(valid_query(RunsQuery, request)["metric"])
        if names:
            known = digests([run.pk for run in page])
            for run in page:
                of_run = known.get(run.pk, {})
                run.metric_digests = {name: _told(name, of_run[name]) for name in names if name in of_run}  # type: ignore[attr-defined]
        return self.get_paginated_response(RunSerializer(page, many=True).data)


def _told(name: str, digest: Digest) -> dict[str, float]:
    return {**asdict(digest), "best": value_of(digest, name, "best") or 0.0}


class RunDetail(Endpoint):
    serializer_class = RunDetailSerializer

    @extend_schema(operation_id="runs_read", tags=["runs"])
    def get(self, request: Request, run_id: UUID) -> Response:
        """A run: its state, its spec, and why it waits or failed."""
        return Response(RunDetailSerializer(run_for(self.person(), run_id)).data)

    @extend_schema(operation_id="runs_change", tags=["runs"], request=RunChange, responses=RunDetailSerializer)
    def patch(self, request: Request, run_id: UUID) -> Response:
        """Change the priority or the place in the queue (operators only)."""
        if not self.person().is_staff:
            run_for(self.person(), run_id)
        wanted = valid_body(RunChange, request)
        with refusals_as_errors():
            if "before" in wanted:
                run = move_in_queue(actor=self.person(), run_id=run_id, before=wanted["before"])
            else:
                run = services.change_priority(actor=self.person(), run_id=run_id, priority=wanted["priority"])
        return Response(RunDetailSerializer(run).data)


class RunControl(Endpoint):
    """One of pause, resume, checkpoint and stop; asking twice is not an error."""

    serializer_class = RunDetailSerializer
    actions: ClassVar = {
        "pause": services.request_pause,
        "resume": services.request_resume,
        "checkpoint": services.request_checkpoint,
        "stop": services.request_cancel,
    }
    action = ""

    @extend_schema(tags=["runs"], request=None, responses={200: RunDetailSerializer, 409: ErrorAnswer})
    def post(self, request: Request, run_id: UUID) -> Response:
        """Ask the run to do this after its present step. Asking twice is not an error."""
        with refusals_as_errors():
            run = self.actions[self.action](actor=self.person(), run_id=run_id)
        return Response(RunDetailSerializer(run).data)


class ShareLinks(Endpoint):
    serializer_class = ShareLinkSerializer
    pagination_class = None

    @extend_schema(operation_id="share_links_list", tags=["runs"], responses=ShareLinkSerializer(many=True))
    def get(self, request: Request, run_id: UUID) -> Response:
        """Links to this run that still work."""
        run = run_for(self.person(), run_id)
        return Response(ShareLinkSerializer(share_links_of(run), many=True).data)

    @extend_schema(
        operation_id="share_links_create",
        tags=["runs"],
        request=ShareLinkInput,
        responses={201: NewShareLinkSerializer},
    )
    def post(self, request: Request, run_id: UUID) -> Response:
        """Create a read-only link for people without an account."""
        wanted = valid_body(ShareLinkInput, request)
        with refusals_as_errors():
            link, secret = services.create_share_link(actor=self.person(), run_id=run_id, days=wanted["days"])
        url = request.build_absolute_uri(f"/s/{secret}/")
        return Response({**ShareLinkSerializer(link).data, "url": url}, status=status.HTTP_201_CREATED)


class ShareLinkDetail(Endpoint):
    serializer_class = ShareLinkSerializer

    @extend_schema(operation_id="share_links_revoke", tags=["runs"], responses={204: None})
    def delete(self, request: Request, run_id: UUID, link_id: int) -> Response:
        """Take a link back."""
        services.revoke_share_link(actor=self.person(), run_id=run_id, link_id=link_id)
        return Response(status=status.HTTP_204_NO_CONTENT)
