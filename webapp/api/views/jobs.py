"""Jobs: ask weights something short, wait for the outcome, stop, download."""

from typing import Any
from uuid import UUID

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from webapp.api.errors import refusals_as_errors
from webapp.api.pagination import NewestFirst
from webapp.api.serializers import ErrorAnswer, PersonSerializer
from webapp.api.views.base import Endpoint, valid_body
from webapp.jobs import services
from webapp.jobs.asking import read_job
from webapp.jobs.choices import JobKind, JobStatus
from webapp.jobs.models import JobQuerySet
from webapp.jobs.selectors import job_for, jobs_visible_to, waiting_words
from webapp.jobs.views import file_of


class JobSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    kind = serializers.ChoiceField(choices=JobKind.choices)
    workspace = serializers.SlugField(source="workspace.slug")
    run = serializers.UUIDField(source="run_id", allow_null=True)
    status = serializers.ChoiceField(choices=JobStatus.choices)
    progress = serializers.FloatField(allow_null=True)
    text = serializers.SerializerMethodField(help_text="How far it is, or why it waits.")
    error = serializers.CharField(help_text="Why it failed, in a sentence.")
    created_by = PersonSerializer(allow_null=True)
    created_at = serializers.DateTimeField()
    finished_at = serializers.DateTimeField(allow_null=True)

    def get_text(self, job: Any) -> str:
        return str(job.progress_text or waiting_words(job))


class JobDetailSerializer(JobSerializer):
    result = serializers.JSONField(allow_null=True, help_text="What came of it; its shape depends on the kind.")


class JobInput(serializers.Serializer[Any]):
    kind = serializers.ChoiceField(choices=JobKind.choices)
    payload = serializers.DictField(
        help_text='What is asked. Weights are named {"run": id, "step": 20, "policy": "main"}; without a step the newest '
        "checkpoint is taken, 0 is the start."
    )


class Jobs(Endpoint):
    serializer_class = JobSerializer
    pagination_class = NewestFirst

    def get_queryset(self) -> JobQuerySet:
        return jobs_visible_to(self.person()).filter(created_by=self.person())

    @extend_schema(operation_id="jobs_list", tags=["jobs"], responses=JobSerializer(many=True))
    def get(self, request: Request) -> Response:
        """Jobs you asked for, newest first."""
        page = self.paginate_queryset(self.get_queryset().defer("payload", "result"))
        return self.get_paginated_response(JobSerializer(page, many=True).data)

    @extend_schema(
        operation_id="jobs_create",
        tags=["jobs"],
        request=JobInput,
        responses={201: JobDetailSerializer, 400: ErrorAnswer},
    )
    def post(self, request: Request) -> Response:
        """Ask weights something short: say, match, rejudge or export."""
        wanted = valid_body(JobInput, request)
        person = self.person()
        with refusals_as_errors():
            asked = read_job(person, wanted["kind"], wanted["payload"])
            run = asked.runs[0]
            job = services.ask(actor=person, workspace=run.experiment.workspace, job=asked.job, run=run)
        return Response(JobDetailSerializer(job).data, status=status.HTTP_201_CREATED)


class JobDetail(Endpoint):
    serializer_class = JobDetailSerializer

    @extend_schema(operation_id="jobs_read", tags=["jobs"], responses={200: JobDetailSerializer})
    def get(self, request: Request, job_id: UUID) -> Response:
        """A job with its result; exports are downloaded from ``/jobs/<id>/file/`` of the site or the API."""
        return Response(JobDetailSerializer(job_for(self.person(), job_id)).data)


class JobCancel(Endpoint):
    serializer_class = JobDetailSerializer

    @extend_schema(operation_id="jobs_cancel", tags=["jobs"], request=None, responses={200: JobDetailSerializer})
    def post(self, request: Request, job_id: UUID) -> Response:
        """Stop a job; a running one ends within a second. Asking twice is not an error."""
        services.request_cancel(actor=self.person(), job_id=job_id)
        return Response(JobDetailSerializer(job_for(self.person(), job_id)).data)


class JobFile(Endpoint):
    serializer_class = JobDetailSerializer

    @extend_schema(operation_id="jobs_file", tags=["jobs"], responses={(200, "application/zip"): OpenApiTypes.BINARY})
    def get(self, request: Request, job_id: UUID) -> Any:
        """The file an export made."""
        return file_of(job_for(self.person(), job_id))
