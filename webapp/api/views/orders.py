"""Orders to a run at work: give one, read what became of each."""

from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.http import Http404
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.pagination import CursorPagination
from rest_framework.request import Request
from rest_framework.response import Response

from webapp.accounts.models import User
from webapp.api.errors import refusals_as_errors
from webapp.api.serializers import ErrorAnswer, PersonSerializer
from webapp.api.views.base import IDEMPOTENCY_HEADER, Endpoint, valid_body
from webapp.api.views.experiments import IDEMPOTENCY
from webapp.experiments.selectors import run_for
from webapp.orders import services
from webapp.orders.models import OrderKind, RunOrder
from webapp.orders.selectors import orders_of


class OrderSerializer(serializers.Serializer[Any]):
    number = serializers.IntegerField(help_text="1, 2, 3 inside the run.")
    command = serializers.ChoiceField(source="kind", choices=OrderKind.choices)
    payload = serializers.DictField(help_text="What was ordered.")
    by = PersonSerializer(allow_null=True)
    at = serializers.DateTimeField()
    waiting = serializers.BooleanField(source="is_waiting", help_text="Whether the run has not answered yet.")
    obeyed = serializers.BooleanField(source="is_obeyed")
    fate = serializers.CharField(help_text="What became of it, in a sentence.")
    answer_seq = serializers.IntegerField(
        source="acked_seq", allow_null=True, help_text="The run's event that answered it."
    )
    answer = serializers.DictField(
        source="outcome", allow_null=True, help_text="That event: what, before, after, from which update on."
    )


class OrderInput(serializers.Serializer[Any]):
    """``overrule`` takes episode, turn and value; ``knob`` path and value; ``question`` action, question and answer."""

    command = serializers.ChoiceField(choices=OrderKind.choices)
    episode = serializers.CharField(required=False, max_length=120, help_text="Of the sample whose verdict is wrong.")
    turn = serializers.IntegerField(
        required=False, min_value=0, max_value=100_000, help_text="The judged turn, or a verdict on it, by its place."
    )
    path = serializers.CharField(required=False, max_length=120, help_text="A live field, method.optimizer.lr.")
    value = serializers.JSONField(
        required=False,
        allow_null=True,
        help_text="What the turn is worth, 0 to 1, null to take that back; or the field's new value.",
    )
    action = serializers.ChoiceField(choices=["add", "remove"], required=False)
    question = serializers.CharField(required=False, max_length=20_000)
    answer = serializers.CharField(
        required=False, allow_null=True, max_length=20_000, help_text="To an added question, where it is known."
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        needed = NEEDED[attrs["command"]]
        if missing := [name for name in needed if name not in attrs]:
            raise serializers.ValidationError(dict.fromkeys(missing, "This field is required."))
        if foreign := sorted(attrs.keys() - {"command", *needed, *ALSO.get(attrs["command"], ())}):
            raise serializers.ValidationError(
                dict.fromkeys(foreign, f"An order to {attrs['command']} has no such field.")
            )
        return attrs


NEEDED = {
    OrderKind.OVERRULE: ("episode", "turn", "value"),
    OrderKind.KNOB: ("path", "value"),
    OrderKind.QUESTION: ("action", "question"),
}
ALSO = {OrderKind.QUESTION: ("answer",)}


class LastFirst(CursorPagination):
    page_size = 50
    max_page_size = 200
    page_size_query_param = "limit"
    ordering = ("-number",)


class Orders(Endpoint):
    serializer_class = OrderSerializer
    pagination_class = LastFirst

    def get_queryset(self) -> QuerySet[RunOrder]:
        return orders_of(run_for(self.person(), self.kwargs["run_id"]))

    @extend_schema(operation_id="orders_list", tags=["orders"], responses=OrderSerializer(many=True))
    def get(self, request: Request, run_id: UUID) -> Response:
        """Orders to the run, newest first, each with the run's answer."""
        page = self.paginate_queryset(self.get_queryset())
        return self.get_paginated_response(OrderSerializer(page, many=True).data)

    @extend_schema(
        operation_id="orders_give",
        tags=["orders"],
        parameters=[IDEMPOTENCY],
        request=OrderInput,
        responses={201: OrderSerializer, 400: ErrorAnswer},
    )
    def post(self, request: Request, run_id: UUID) -> Response:
        """Overrule a verdict, turn a live knob, or change the pool; the run obeys before its next step and answers."""
        run_for(self.person(), run_id)
        wanted, key = valid_body(OrderInput, request), request.headers.get(IDEMPOTENCY_HEADER, "")
        with refusals_as_errors():
            order = _give(self.person(), run_id, wanted, key)
        return Response(OrderSerializer(order).data, status=status.HTTP_201_CREATED)


class OrderDetail(Endpoint):
    serializer_class = OrderSerializer

    @extend_schema(operation_id="orders_read", tags=["orders"])
    def get(self, request: Request, run_id: UUID, number: int) -> Response:
        """One order with the run's answer, once it has come."""
        order = orders_of(run_for(self.person(), run_id)).filter(number=number).first()
        if order is None:
            raise Http404("This run has no such order.")
        return Response(OrderSerializer(order).data)


def _give(person: User, run_id: UUID, wanted: dict[str, Any], key: str) -> RunOrder:
    given = {name: value for name, value in wanted.items() if name != "command"}
    match wanted["command"]:
        case OrderKind.OVERRULE:
            return services.overrule(actor=person, run_id=run_id, idempotency_key=key, **given)
        case OrderKind.KNOB:
            return services.turn_knob(actor=person, run_id=run_id, idempotency_key=key, **given)
    return services.change_pool(actor=person, run_id=run_id, idempotency_key=key, **given)
