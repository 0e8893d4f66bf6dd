"""Review: what to judge next, what one says of it, and the calibration sets that come of it."""

from typing import Any

from django.http import FileResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from webapp.accounts.models import User
from webapp.api.errors import refusals_as_errors
from webapp.api.serializers import ErrorAnswer, PersonSerializer
from webapp.api.views.base import Endpoint, valid_body, valid_query, workspace_in
from webapp.api.views.orders import OrderSerializer
from webapp.experiments.selectors import run_for
from webapp.library.datasets import version_for
from webapp.library.views import file_of
from webapp.review import selectors, services
from webapp.review.models import Label
from webapp.review.selectors import Item
from webapp.review.sets import calibration_sets


class WorkspaceQuery(serializers.Serializer[Any]):
    workspace = serializers.SlugField(required=False, default="", help_text="May be left out by members of only one.")


class QueueQuery(WorkspaceQuery):
    run = serializers.UUIDField(required=False, default=None, allow_null=True, help_text="Only this run's.")
    limit = serializers.IntegerField(required=False, default=10, min_value=1, max_value=selectors.MAX_QUEUE)


class ItemQuery(serializers.Serializer[Any]):
    run = serializers.UUIDField()
    episode = serializers.CharField(max_length=120)
    turn = serializers.IntegerField(min_value=0, max_value=999_999)


class AskedSerializer(serializers.Serializer[Any]):
    """A judged turn as it is shown before one has answered: the judge's word and the truth stay hidden."""

    run = serializers.UUIDField(source="run.pk")
    run_name = serializers.CharField()
    step = serializers.IntegerField()
    seq = serializers.IntegerField(help_text="The sample, to read it in full.")
    episode = serializers.CharField()
    turn = serializers.IntegerField(source="judged.turn")
    kind = serializers.CharField(source="judged.kind", help_text="answer or question: what is to be judged.")
    question = serializers.CharField(source="judged.question")
    text = serializers.CharField(source="judged.text", help_text="What the model wrote.")
    answer = serializers.CharField(source="judged.answer", help_text="What was read out of it.")
    other_answers = serializers.SerializerMethodField(help_text="To the same question in the same sample.")
    gain = serializers.FloatField(help_text="Bits that your answer is expected to bring.")
    truth_known = serializers.BooleanField(source="is_known", help_text="Whether a verifier knows.")

    def get_other_answers(self, item: Item) -> list[str]:
        return [each.answer for each in item.siblings]


class JudgeWordSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    value = serializers.FloatField(help_text="Mean of its scores, 0 to 1; it accepts from 1/2 on.")
    scores = serializers.ListField(child=serializers.FloatField())
    truth = serializers.BooleanField(allow_null=True, help_text="What a verifier knows.")


class VerdictSerializer(serializers.Serializer[Any]):
    label = serializers.ChoiceField(choices=Label.choices)  # type: ignore[assignment]
    note = serializers.CharField(allow_blank=True)
    saw_judge = serializers.BooleanField()
    overrules = serializers.BooleanField(help_text="Whether it says the opposite of the judge.")
    fate = serializers.CharField(help_text="What it did, in a sentence.")
    order = OrderSerializer(allow_null=True, help_text="The order to the run that it became.")
    at = serializers.DateTimeField()


class ItemSerializer(AskedSerializer):
    mine = VerdictSerializer(allow_null=True, help_text="What you said of it.")
    judge = JudgeWordSerializer(allow_null=True, help_text="null until you have answered.")


class VerdictInput(ItemQuery):
    label = serializers.ChoiceField(choices=Label.choices)  # type: ignore[assignment]
    note = serializers.CharField(required=False, default="", allow_blank=True, max_length=services.MAX_NOTE)
    saw_judge = serializers.BooleanField(default=False, help_text="Whether you knew the judge's word.")


class VersionSerializer(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    name = serializers.CharField(source="dataset.name")
    version = serializers.IntegerField(source="number")
    num_lines = serializers.IntegerField()
    digest = serializers.CharField(help_text="sha256 of the file.")
    by = PersonSerializer(source="created_by", allow_null=True)
    at = serializers.DateTimeField(source="created_at")


class ShareSerializer(serializers.Serializer[Any]):
    value = serializers.FloatField()
    low = serializers.FloatField(help_text="Ends of the 95 % interval.")
    high = serializers.FloatField()


class MeterSerializer(serializers.Serializer[Any]):
    agreement = ShareSerializer(allow_null=True)
    kappa = ShareSerializer(allow_null=True)
    false_accept = ShareSerializer(allow_null=True)
    false_reject = ShareSerializer(allow_null=True)


class CalibrationSerializer(serializers.Serializer[Any]):
    subject = serializers.CharField(help_text="What was judged: mae/answer.")
    num_items = serializers.SerializerMethodField()
    num_right = serializers.IntegerField()
    judges = MeterSerializer(source="meter", help_text="The judges as they were against most people.")
    versions = VersionSerializer(many=True, help_text="Files made of it, newest first.")

    def get_num_items(self, made: Any) -> int:
        return len(made.items)


class CalibrationInput(serializers.Serializer[Any]):
    workspace = serializers.SlugField(required=False, default="")
    subject = serializers.CharField(max_length=120)


class Queue(Endpoint):
    serializer_class = AskedSerializer
    pagination_class = None

    @extend_schema(
        operation_id="review_queue", tags=["review"], parameters=[QueueQuery], responses=AskedSerializer(many=True)
    )
    def get(self, request: Request) -> Response:
        """Judged turns you have not answered, the most instructive first; without what the judge said of them."""
        wanted, person = valid_query(QueueQuery, request), self.person()
        run = run_for(person, wanted["run"]) if wanted["run"] else None
        workspace = run.experiment.workspace if run else workspace_in(person, wanted["workspace"])
        items = selectors.queue(person, workspace, run=run)[: wanted["limit"]]
        return Response(AskedSerializer(items, many=True).data)


class ReviewItem(Endpoint):
    serializer_class = ItemSerializer

    @extend_schema(operation_id="review_item", tags=["review"], parameters=[ItemQuery], responses=ItemSerializer)
    def get(self, request: Request) -> Response:
        """One judged turn; once you have answered, also what the judge said and what your answer did."""
        wanted = valid_query(ItemQuery, request)
        return Response(_item(self.person(), wanted))

    @extend_schema(
        operation_id="review_answer",
        tags=["review"],
        request=VerdictInput,
        responses={200: ItemSerializer, 400: ErrorAnswer},
    )
    def post(self, request: Request) -> Response:
        """Say right, wrong or unclear; it takes the place of what you said before. Saying the same again changes nothing."""
        wanted, person = valid_body(VerdictInput, request), self.person()
        with refusals_as_errors():
            services.give_verdict(
                actor=person,
                run_id=wanted["run"],
                episode=wanted["episode"],
                turn=wanted["turn"],
                label=wanted["label"],
                saw_judge=wanted["saw_judge"],
                note=wanted["note"],
            )
        return Response(_item(person, wanted))

    @extend_schema(operation_id="review_take_back", tags=["review"], parameters=[ItemQuery], responses={204: None})
    def delete(self, request: Request) -> Response:
        """Take back what you said of it, and what it made the run do."""
        wanted = valid_query(ItemQuery, request)
        services.withdraw_verdict(
            actor=self.person(), run_id=wanted["run"], episode=wanted["episode"], turn=wanted["turn"]
        )
        return Response(status=status.HTTP_204_NO_CONTENT)


class CalibrationSets(Endpoint):
    serializer_class = CalibrationSerializer
    pagination_class = None

    @extend_schema(
        operation_id="calibration_sets_list",
        tags=["review"],
        parameters=[WorkspaceQuery],
        responses=CalibrationSerializer(many=True),
    )
    def get(self, request: Request) -> Response:
        """What people said, by subject, with how the judges did and the versions made of it."""
        workspace = workspace_in(self.person(), valid_query(WorkspaceQuery, request)["workspace"])
        return Response(CalibrationSerializer(calibration_sets(workspace), many=True).data)

    @extend_schema(
        operation_id="calibration_sets_make",
        tags=["review"],
        request=CalibrationInput,
        responses={201: VersionSerializer, 400: ErrorAnswer},
    )
    def post(self, request: Request) -> Response:
        """Freeze what people say of a subject as a version; without news since the newest, that one is given back."""
        wanted, person = valid_body(CalibrationInput, request), self.person()
        with refusals_as_errors():
            made = services.make_calibration_set(
                actor=person, workspace=workspace_in(person, wanted["workspace"]), subject=wanted["subject"]
            )
        return Response(VersionSerializer(made).data, status=status.HTTP_201_CREATED)


class CalibrationFile(Endpoint):
    serializer_class = VersionSerializer

    @extend_schema(
        operation_id="calibration_sets_file",
        tags=["review"],
        responses={(200, "application/jsonl"): OpenApiTypes.BINARY},
    )
    def get(self, request: Request, version_id: int) -> FileResponse:
        """A version as JSON lines."""
        return file_of(version_for(self.person(), version_id))


def _item(person: User, wanted: dict[str, Any]) -> dict[str, Any]:
    """The judge's word and the truth are told to whoever has answered."""
    found = selectors.item_for(person, wanted["run"], wanted["episode"], wanted["turn"])
    mine, judged = selectors.verdict_of(person, found), found.judged
    word = {
        "name": selectors.judge_of(found.run, found.step),
        "value": judged.value,
        "scores": list(judged.scores),
        "truth": judged.truth,
    }
    said = VerdictSerializer(mine).data if mine else None
    return {**AskedSerializer(found).data, "mine": said, "judge": word if mine else None}
