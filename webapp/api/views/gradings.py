"""Grading again: answers that were given, judged by other weights or in other words, beside what was."""

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers, status
from rest_framework.pagination import CursorPagination
from rest_framework.request import Request
from rest_framework.response import Response

from webapp.accounts.models import User
from webapp.api.errors import refusals_as_errors
from webapp.api.serializers import ErrorAnswer, PersonSerializer
from webapp.api.views.base import Endpoint, valid_body, valid_query, workspace_in
from webapp.api.views.dry_runs import WordsInput, judge_in
from webapp.api.views.review import MeterSerializer
from webapp.experiments.selectors import run_for
from webapp.jobs.choices import JobStatus
from webapp.library.models import RubricVersion
from webapp.library.rubrics import numbered, rubric_for
from webapp.review.models import Regrading
from webapp.review.regrading import MAX_SHOWN, Findings, regrading_for, regradings_visible_to
from webapp.review.services import MAX_REGRADED_SAMPLES, grade_run_again, grade_set_again


class GradingsQuery(serializers.Serializer[Any]):
    workspace = serializers.SlugField(required=False, default="")
    run = serializers.UUIDField(required=False, default=None, allow_null=True, help_text="Only of this run's answers.")


class GradingInput(WordsInput):
    """Answers of ``run`` or of the calibration set ``subject``, in the words of ``rubric``, of ``text``, or the judge's own."""

    run = serializers.UUIDField(required=False, default=None, allow_null=True)
    subject = serializers.CharField(required=False, default="", allow_blank=True, max_length=120)
    workspace = serializers.SlugField(required=False, default="", help_text="Of the calibration set.")
    rubric = serializers.UUIDField(required=False, default=None, allow_null=True, help_text="One that grades answers.")
    samples = serializers.IntegerField(
        required=False, default=60, min_value=1, max_value=MAX_REGRADED_SAMPLES, help_text="Newest samples of the run."
    )
    n = serializers.IntegerField(
        required=False, default=1, min_value=1, max_value=16, help_text="Verdicts on each answer; their mean counts."
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if bool(attrs["run"]) == bool(attrs["subject"]):
            raise serializers.ValidationError("Give either run or subject: whose answers are graded again.")
        return attrs


class GradingSerializer(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    workspace = serializers.SlugField(source="workspace.slug")
    run = serializers.UUIDField(source="run_id", allow_null=True)
    subject = serializers.CharField(help_text="The calibration set; empty for a run.")
    judge = serializers.CharField()
    edited = serializers.BooleanField(help_text="Whether it was asked in other words than the method's own.")
    rubric = serializers.SerializerMethodField(help_text="Whose version the words are; empty for any other words.")
    num_items = serializers.IntegerField(help_text="Answers.")
    job = serializers.UUIDField(source="job_id", help_text="/jobs/<id>/cancel/ stops it.")
    status = serializers.ChoiceField(source="job.status", choices=JobStatus.choices)
    error = serializers.CharField(source="job.error")
    by = PersonSerializer(allow_null=True)
    at = serializers.DateTimeField()

    def get_rubric(self, found: Regrading) -> str:
        return str(found.rubric_version or "")


class PointSerializer(serializers.Serializer[Any]):
    """The answers of one step: means of the judge's values and of the rewards, as they were and would have been."""

    step = serializers.IntegerField()
    number = serializers.IntegerField()
    was = serializers.FloatField()
    would = serializers.FloatField()
    reward = serializers.FloatField(required=False)
    reward_would = serializers.FloatField(required=False)


class FlipSerializer(serializers.Serializer[Any]):
    """An answer that only one of the two judges accepts."""

    seq = serializers.IntegerField(source="given.seq", allow_null=True)
    step = serializers.IntegerField(source="given.step")
    question = serializers.CharField(source="given.question")
    answer = serializers.CharField(source="given.answer")
    truth = serializers.BooleanField(source="given.truth", allow_null=True)
    was = serializers.FloatField(source="given.value")
    would = serializers.FloatField(source="value")
    verdict = serializers.CharField()


class FindingsSerializer(serializers.Serializer[Any]):
    was = MeterSerializer(help_text="The judge as it was against the truth, where that is known.")
    would = MeterSerializer(help_text="The other judge against the same.")
    unreadable = serializers.FloatField(allow_null=True, help_text="Share of its verdicts.")
    curves = PointSerializer(many=True)
    num_flips = serializers.SerializerMethodField()
    flips = FlipSerializer(many=True, source="shown_flips", help_text=f"The {MAX_SHOWN} widest apart.")

    def get_num_flips(self, found: Findings) -> int:
        return len(found.flips)


class GradingDetailSerializer(GradingSerializer):
    findings = serializers.SerializerMethodField(help_text="null until it has succeeded.")

    @extend_schema_field(FindingsSerializer(allow_null=True))
    def get_findings(self, found: Regrading) -> Any:
        return FindingsSerializer(Findings(found)).data if found.job.status == JobStatus.SUCCEEDED else None


class NewestGradings(CursorPagination):
    page_size = 50
    max_page_size = 200
    page_size_query_param = "limit"
    ordering = ("-at", "-pk")


class Gradings(Endpoint):
    serializer_class = GradingSerializer
    pagination_class = NewestGradings

    def get_queryset(self) -> QuerySet[Regrading]:
        wanted = valid_query(GradingsQuery, self.request)
        paths = {"workspace__slug": wanted["workspace"], "run": wanted["run"]}
        return regradings_visible_to(self.person()).filter(**{path: value for path, value in paths.items() if value})

    @extend_schema(
        operation_id="gradings_list",
        tags=["review"],
        parameters=[GradingsQuery],
        responses=GradingSerializer(many=True),
    )
    def get(self, request: Request) -> Response:
        """What was graded again in your workspaces, newest first."""
        page = self.paginate_queryset(self.get_queryset())
        return self.get_paginated_response(GradingSerializer(page, many=True).data)

    @extend_schema(
        operation_id="gradings_make",
        tags=["review"],
        request=GradingInput,
        responses={201: GradingDetailSerializer, 400: ErrorAnswer},
    )
    def post(self, request: Request) -> Response:
        """Grade the newest answers of a run, or a calibration set, again; a worker does it, and nothing in the run changes."""
        made = self._grade(valid_body(GradingInput, request))
        return Response(GradingDetailSerializer(made).data, status=status.HTTP_201_CREATED)

    def _grade(self, wanted: dict[str, Any]) -> Regrading:
        person = self.person()
        run = run_for(person, wanted["run"]) if wanted["run"] else None
        with refusals_as_errors():
            judge, version = judge_in(person, wanted["judge"], run), _version(person, wanted)
            template = wanted["text"] or (version.text if version else "")
            words: dict[str, Any] = {"judge": judge, "template": template, "version": version, "n": wanted["n"]}
            if run is not None:
                return grade_run_again(actor=person, run=run, num_samples=wanted["samples"], **words)
            workspace = workspace_in(person, wanted["workspace"])
            return grade_set_again(actor=person, workspace=workspace, subject=wanted["subject"], **words)


def _version(person: User, wanted: dict[str, Any]) -> RubricVersion | None:
    """The version whose words are used, if a rubric is named; raises ``ValueError`` for one that grades no answers."""
    if wanted["rubric"] is None:
        return None
    rubric = rubric_for(person, wanted["rubric"])
    if rubric.kind != "answer":
        raise ValueError(f"{rubric.name} does not grade answers; only rubrics of the kind answer grade again.")
    return numbered(rubric, wanted["version"])


class GradingDetail(Endpoint):
    serializer_class = GradingDetailSerializer

    @extend_schema(operation_id="gradings_read", tags=["review"], responses=GradingDetailSerializer)
    def get(self, request: Request, regrading_id: int) -> Response:
        """One of them with what came of it: both judges against the truth, values by step, answers that flip."""
        return Response(GradingDetailSerializer(regrading_for(self.person(), regrading_id)).data)
