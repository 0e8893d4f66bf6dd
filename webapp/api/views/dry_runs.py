"""Dry runs: ten stored samples of a run, or ten pairs, judged anew in the words of a rubric, beside what was."""

from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from training_core.spec.rubrics import MAX_TEXT
from webapp.accounts.models import User
from webapp.api.errors import refusals_as_errors
from webapp.api.serializers import ErrorAnswer
from webapp.api.views.base import Endpoint, valid_body
from webapp.experiments.models import Run
from webapp.experiments.selectors import run_for
from webapp.jobs.choices import JobStatus
from webapp.jobs.selectors import job_state
from webapp.jobs.weights import Moment, moment_of
from webapp.library.rubrics import numbered, rubric_for
from webapp.review.dry_run_results import DryRun, dry_run_for
from webapp.review.dry_run_services import start_dry_run


class WeightsInput(serializers.Serializer[Any]):
    """A policy of a run at one of its checkpoints."""

    run = serializers.UUIDField()
    step = serializers.IntegerField(
        required=False, default=None, allow_null=True, min_value=0, help_text="0 is the start; without it the newest."
    )
    policy = serializers.CharField(required=False, default="", allow_blank=True, max_length=80)


class WordsInput(serializers.Serializer[Any]):
    """The words of a rubric's version, or words that nobody has saved."""

    version = serializers.IntegerField(
        required=False, default=None, allow_null=True, min_value=1, help_text="Of the rubric; without it the newest."
    )
    text = serializers.CharField(
        required=False, default="", allow_blank=True, max_length=MAX_TEXT, help_text="In place of a version's words."
    )
    judge = WeightsInput(
        required=False, default=None, allow_null=True, help_text="Who judges; without it the newest weights of the run."
    )


class DryRunInput(WordsInput):
    run = serializers.UUIDField(help_text="Whose stored samples are tried on.")


class LineSerializer(serializers.Serializer[Any]):
    """A stored answer, what the judge said of it and what it says now; it accepts from 1/2 on."""

    seq = serializers.IntegerField(source="stored.seq", help_text="The sample, to read it in full.")
    step = serializers.IntegerField(source="stored.step")
    question = serializers.CharField(source="stored.question")
    answer = serializers.CharField(source="stored.answer", help_text="Empty where the question itself is judged.")
    truth = serializers.BooleanField(source="stored.truth", allow_null=True, help_text="Whether it is right, if known.")
    by_people = serializers.BooleanField(source="stored.by_people", help_text="The truth is most people's word.")
    value_before = serializers.FloatField(source="stored.value", allow_null=True, help_text="0 to 1.")
    value = serializers.FloatField(allow_null=True, help_text="Now; null where its verdict cannot be read.")
    flips = serializers.BooleanField()
    verdict = serializers.CharField(help_text="What the judge wrote now.")
    reward_before = serializers.FloatField(source="stored.sum.reward", allow_null=True, default=None)
    reward = serializers.FloatField(allow_null=True)


class OutcomeSerializer(serializers.Serializer[Any]):
    lines = LineSerializer(many=True)
    num_known = serializers.IntegerField(help_text="Lines whose truth is known.")
    agreed = serializers.IntegerField(help_text="Of those, in line with the truth before.")
    agree = serializers.IntegerField(help_text="And now.")
    num_flips = serializers.IntegerField()
    num_unread = serializers.IntegerField()
    reward_mean_before = serializers.FloatField(source="mean_before", allow_null=True)
    reward_mean = serializers.FloatField(source="mean_after", allow_null=True)


class PairSerializer(serializers.Serializer[Any]):
    """Two stored answers to one question, how they were compared and how the judge compares them now.

    Numbers are the chance that the first beats the second; the judge sees the two in both orders.
    """

    seq = serializers.IntegerField(source="stored.seq", help_text="The sample, to read it in full.")
    step = serializers.IntegerField(source="stored.step")
    question = serializers.CharField(source="stored.question")
    first = serializers.CharField(source="stored.first")
    second = serializers.CharField(source="stored.second")
    first_read = serializers.CharField(source="stored.first_read", help_text="What was read out of it.")
    second_read = serializers.CharField(source="stored.second_read")
    truth = serializers.BooleanField(
        source="stored.truth", allow_null=True, help_text="Whether the first is the better one, if known."
    )
    by_people = serializers.BooleanField(source="stored.by_people", help_text="The truth is most people's word.")
    value_before = serializers.FloatField(
        source="stored.value", allow_null=True, help_text="null where nobody compared them."
    )
    value = serializers.FloatField(allow_null=True, help_text="Now, over both orders; null where nothing can be read.")
    orders = serializers.ListField(
        child=serializers.FloatField(), help_text="Now: with the first shown first, and with it shown second."
    )
    flips = serializers.BooleanField()
    contradicts = serializers.BooleanField(help_text="It prefers another answer when the two change places.")
    verdict = serializers.CharField(help_text="What the judge wrote now with the first shown first.")
    turned = serializers.CharField(help_text="And with it shown second.")


class PairOutcomeSerializer(serializers.Serializer[Any]):
    lines = PairSerializer(many=True)
    num_known = serializers.IntegerField(help_text="Pairs whose better answer is known.")
    num_compared = serializers.IntegerField(help_text="Of those, compared before.")
    agreed = serializers.IntegerField(help_text="Of those, in line with the truth.")
    agree = serializers.IntegerField(help_text="Of the known ones, in line with the truth now.")
    num_flips = serializers.IntegerField()
    num_contradict = serializers.IntegerField(help_text="Pairs whose verdict turns with the order.")
    num_unread = serializers.IntegerField()
    first_shown = serializers.FloatField(
        allow_null=True,
        help_text="Share of the verdicts for the answer shown first; 1/2 where its place does not count.",
    )


class DryRunSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField(source="job.pk", help_text="It is a job; /jobs/<id>/cancel/ stops it.")
    kind = serializers.CharField(help_text="The kind of rubric.")
    run = serializers.UUIDField(source="run.pk")
    run_name = serializers.CharField(source="run")
    judge = serializers.CharField()
    status = serializers.ChoiceField(source="job.status", choices=JobStatus.choices)
    text = serializers.SerializerMethodField(help_text="How far it is, or why it waits.")
    error = serializers.CharField(source="job.error", help_text="Why it failed, in a sentence.")
    outcome = OutcomeSerializer(allow_null=True, help_text="null until it has succeeded, and of pairs.")
    pairs = PairOutcomeSerializer(allow_null=True, help_text="The same of a rubric that compares two answers.")

    def get_text(self, found: DryRun) -> str:
        return str(job_state(found.job)["text"])


def judge_in(person: User, wanted: dict[str, Any] | None, run: Run | None) -> Moment:
    """The weights a body names, else the newest of the run; raises ``ValueError``."""
    if wanted is None and run is None:
        raise ValueError("Say whose weights judge.")
    if wanted is None:
        assert run is not None
        return moment_of(run, None)
    return moment_of(run_for(person, wanted["run"]), wanted["step"], wanted["policy"])


class DryRuns(Endpoint):
    serializer_class = DryRunSerializer

    @extend_schema(
        operation_id="rubrics_dry_run",
        tags=["rubrics"],
        request=DryRunInput,
        responses={201: DryRunSerializer, 400: ErrorAnswer},
    )
    def post(self, request: Request, rubric_id: UUID) -> Response:
        """Try a version, or words that are not saved, on ten stored samples of a run; a worker judges them in seconds."""
        person = self.person()
        rubric = rubric_for(person, rubric_id)
        wanted = valid_body(DryRunInput, request)
        run = run_for(person, wanted["run"])
        with refusals_as_errors():
            job = start_dry_run(
                actor=person,
                run=run,
                judge=judge_in(person, wanted["judge"], run),
                kind=rubric.kind,
                template=wanted["text"] or numbered(rubric, wanted["version"]).text,
            )
        return Response(DryRunSerializer(dry_run_for(person, job.pk)).data, status=status.HTTP_201_CREATED)


class DryRunDetail(Endpoint):
    serializer_class = DryRunSerializer

    @extend_schema(operation_id="dry_runs_read", tags=["rubrics"], responses=DryRunSerializer)
    def get(self, request: Request, job_id: UUID) -> Response:
        """How far it is, and what came of it line by line."""
        return Response(DryRunSerializer(dry_run_for(self.person(), job_id)).data)
