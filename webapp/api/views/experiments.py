"""Experiments: create from a spec, list, read, launch further runs."""

from typing import Any
from uuid import UUID

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from webapp.accounts.models import User
from webapp.api.errors import refusals_as_errors
from webapp.api.filters import ExperimentsQuery
from webapp.api.pagination import NewestFirst
from webapp.api.serializers import (
    ErrorAnswer,
    ExperimentDetailSerializer,
    ExperimentInput,
    ExperimentSerializer,
    LaunchInput,
    RunDetailSerializer,
)
from webapp.api.views.base import IDEMPOTENCY_HEADER, Endpoint, valid_body, valid_query, workspace_in
from webapp.experiments.models import Experiment, ExperimentQuerySet
from webapp.experiments.selectors import experiment_for, find_experiments, run_for, runs_visible_to
from webapp.experiments.services import create_experiment, launch_run
from webapp.workspaces.selectors import workspace_for

IDEMPOTENCY = OpenApiParameter(
    IDEMPOTENCY_HEADER,
    str,
    OpenApiParameter.HEADER,
    description="Any text of up to 80 characters. Sending it again gives back what it created the first time.",
)


class Experiments(Endpoint):
    serializer_class = ExperimentSerializer
    pagination_class = NewestFirst

    def get_queryset(self) -> ExperimentQuerySet:
        wanted = valid_query(ExperimentsQuery, self.request)
        slug = wanted.pop("workspace")
        workspace = workspace_for(self.person(), slug) if slug else None
        return find_experiments(self.person(), workspace=workspace, **wanted)

    @extend_schema(
        operation_id="experiments_list",
        tags=["experiments"],
        parameters=[ExperimentsQuery],
        responses=ExperimentSerializer(many=True),
    )
    def get(self, request: Request) -> Response:
        """Experiments of your workspaces, newest first."""
        page = self.paginate_queryset(self.get_queryset())
        return self.get_paginated_response(ExperimentSerializer(page, many=True).data)

    @extend_schema(
        operation_id="experiments_create",
        tags=["experiments"],
        parameters=[IDEMPOTENCY],
        request=ExperimentInput,
        responses={201: ExperimentDetailSerializer, 400: ErrorAnswer},
    )
    def post(self, request: Request) -> Response:
        """Create an experiment from a spec (JSON or YAML) and queue its runs: one, or those of seeds and a sweep."""
        wanted = valid_body(ExperimentInput, request)
        person = self.person()
        parent = run_for(person, wanted["parent"]) if "parent" in wanted else None
        with refusals_as_errors():
            experiment = create_experiment(
                actor=person,
                workspace=workspace_in(person, wanted.get("workspace")),
                spec=wanted["parsed"],
                parent=parent,
                idempotency_key=request.headers.get(IDEMPOTENCY_HEADER, ""),
                plan=wanted["plan"],
            )
        return Response(_detail(person, experiment), status=status.HTTP_201_CREATED)


class ExperimentDetail(Endpoint):
    serializer_class = ExperimentDetailSerializer

    @extend_schema(operation_id="experiments_read", tags=["experiments"])
    def get(self, request: Request, experiment_id: UUID) -> Response:
        """An experiment with its spec and runs."""
        return Response(_detail(self.person(), experiment_for(self.person(), experiment_id)))


class Launch(Endpoint):
    serializer_class = LaunchInput

    @extend_schema(
        operation_id="experiments_launch",
        tags=["experiments"],
        parameters=[IDEMPOTENCY],
        request=LaunchInput,
        responses={201: RunDetailSerializer, 400: ErrorAnswer},
    )
    def post(self, request: Request, experiment_id: UUID) -> Response:
        """Queue another run of the experiment, with another seed."""
        experiment = experiment_for(self.person(), experiment_id)
        wanted = valid_body(LaunchInput, request)
        key = request.headers.get(IDEMPOTENCY_HEADER, "")
        with refusals_as_errors():
            run = launch_run(actor=self.person(), experiment=experiment, idempotency_key=key, **wanted)
        return Response(RunDetailSerializer(run).data, status=status.HTTP_201_CREATED)


def _detail(person: User, experiment: Experiment) -> dict[str, Any]:
    runs = list(runs_visible_to(person).filter(experiment=experiment).order_by("-number")[:100])
    experiment.latest_status = runs[0].status if runs else None  # type: ignore[attr-defined]
    experiment.newest_runs = runs  # type: ignore[attr-defined]
    return ExperimentDetailSerializer(experiment).data
