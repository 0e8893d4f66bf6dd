"""What you are told: your notices, the channels that carry them, and the lines you drew for metrics. Nobody sees anybody else's."""

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.pagination import CursorPagination
from rest_framework.request import Request
from rest_framework.response import Response

from webapp.api.errors import refusals_as_errors
from webapp.api.serializers import ErrorAnswer
from webapp.api.views.base import Endpoint, valid_body, valid_query
from webapp.experiments.selectors import run_for
from webapp.notices import rules, selectors, services
from webapp.notices.choices import ChannelKind, NoticeKind, Scope, Side
from webapp.notices.models import AlertRule, Channel, Notice


class NoticesQuery(serializers.Serializer[Any]):
    unread = serializers.BooleanField(required=False, default=False, help_text="Only what you have not read.")


class NoticeSerializer(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    kind = serializers.ChoiceField(choices=NoticeKind.choices)
    title = serializers.CharField()
    text = serializers.CharField()
    url = serializers.CharField(help_text="Where it leads, inside the site.")
    run = serializers.UUIDField(source="run_id", allow_null=True)
    created_at = serializers.DateTimeField()
    read_at = serializers.DateTimeField(allow_null=True)


class ReadInput(serializers.Serializer[Any]):
    up_to = serializers.IntegerField(min_value=1, max_value=2**63 - 1, help_text="Id of the newest one you have read.")


class ChannelInput(serializers.Serializer[Any]):
    kind = serializers.ChoiceField(choices=ChannelKind.choices)
    address = serializers.CharField(max_length=500, help_text="An e-mail address, or where a webhook listens.")
    kinds = serializers.ListField(
        child=serializers.ChoiceField(choices=[(kind, kind.label) for kind in services.CARRIED]),
        required=False,
        default=[str(kind) for kind in services.CARRIED],
        help_text="Kinds of notices it carries; without it all.",
    )
    scope = serializers.ChoiceField(choices=Scope.choices, required=False, default=Scope.MINE)


class ChannelSerializer(ChannelInput):
    id = serializers.IntegerField()
    created_at = serializers.DateTimeField()
    last_error = serializers.CharField(help_text="Why the newest message could not be sent; empty once one was.")


class NewChannelSerializer(ChannelSerializer):
    signing_key = serializers.CharField(
        source="secret", help_text="Signs what a webhook gets. In this answer, and on your page of notices."
    )


class RuleInput(serializers.Serializer[Any]):
    """A line that a metric must not cross."""

    metric = serializers.CharField(max_length=80, help_text="As its curve is named: eval/greedy_accuracy.")
    side = serializers.ChoiceField(choices=Side.choices, help_text="On which side of the line you want to be told.")
    threshold = serializers.FloatField()
    lasting = serializers.IntegerField(
        required=False,
        default=3,
        min_value=1,
        max_value=rules.MAX_LASTING,
        help_text="So many measurements in a row lie beyond the line.",
    )
    scope = serializers.ChoiceField(choices=Scope.choices, required=False, default=Scope.MINE)
    run = serializers.UUIDField(
        source="run_id", required=False, default=None, allow_null=True, help_text="The only run that is looked at."
    )


class RuleSerializer(RuleInput):
    id = serializers.IntegerField()
    created_at = serializers.DateTimeField()


class NewestNotices(CursorPagination):
    page_size = 50
    max_page_size = 200
    page_size_query_param = "limit"
    ordering = ("-pk",)


class Notices(Endpoint):
    serializer_class = NoticeSerializer
    pagination_class = NewestNotices

    def get_queryset(self) -> QuerySet[Notice]:
        found = selectors.notices_of(self.person())
        return found.filter(read_at=None) if valid_query(NoticesQuery, self.request)["unread"] else found

    @extend_schema(
        operation_id="notices_list", tags=["notices"], parameters=[NoticesQuery], responses=NoticeSerializer(many=True)
    )
    def get(self, request: Request) -> Response:
        """What you were told, newest first."""
        page = self.paginate_queryset(self.get_queryset())
        return self.get_paginated_response(NoticeSerializer(page, many=True).data)


class NoticesRead(Endpoint):
    serializer_class = ReadInput

    @extend_schema(operation_id="notices_read", tags=["notices"], request=ReadInput, responses={204: None})
    def post(self, request: Request) -> Response:
        """Everything up to this notice has been read."""
        services.mark_read(user=self.person(), up_to=valid_body(ReadInput, request)["up_to"])
        return Response(status=status.HTTP_204_NO_CONTENT)


class Channels(Endpoint):
    serializer_class = ChannelSerializer
    pagination_class = None

    def get_queryset(self) -> QuerySet[Channel]:
        return selectors.channels_of(self.person())

    @extend_schema(operation_id="channels_list", tags=["notices"], responses=ChannelSerializer(many=True))
    def get(self, request: Request) -> Response:
        """Where else you hear of it: your channels, and whether the newest message arrived."""
        return Response(ChannelSerializer(self.get_queryset(), many=True).data)

    @extend_schema(
        operation_id="channels_add",
        tags=["notices"],
        request=ChannelInput,
        responses={201: NewChannelSerializer, 400: ErrorAnswer},
    )
    def post(self, request: Request) -> Response:
        """Be told elsewhere too; a trial message is sent at once."""
        wanted = valid_body(ChannelInput, request)
        with refusals_as_errors():
            channel = services.add_channel(user=self.person(), **wanted)
        return Response(NewChannelSerializer(channel).data, status=status.HTTP_201_CREATED)


class ChannelDetail(Endpoint):
    serializer_class = ChannelSerializer

    @extend_schema(operation_id="channels_remove", tags=["notices"], responses={204: None})
    def delete(self, request: Request, channel_id: int) -> Response:
        """Be told there no more."""
        services.remove_channel(user=self.person(), channel_id=channel_id)
        return Response(status=status.HTTP_204_NO_CONTENT)


class Rules(Endpoint):
    serializer_class = RuleSerializer
    pagination_class = None

    def get_queryset(self) -> QuerySet[AlertRule]:
        return selectors.rules_of(self.person())

    @extend_schema(operation_id="alert_rules_list", tags=["notices"], responses=RuleSerializer(many=True))
    def get(self, request: Request) -> Response:
        """The lines you drew, by metric."""
        return Response(RuleSerializer(self.get_queryset(), many=True).data)

    @extend_schema(
        operation_id="alert_rules_add",
        tags=["notices"],
        request=RuleInput,
        responses={201: RuleSerializer, 400: ErrorAnswer},
    )
    def post(self, request: Request) -> Response:
        """Draw a line; a run that crosses it is told once, in your list and by your channels."""
        wanted, person = valid_body(RuleInput, request), self.person()
        run_id = wanted.pop("run_id")
        run = run_for(person, run_id) if run_id else None
        numbers = {name: str(wanted.pop(name)) for name in ("threshold", "lasting")}
        with refusals_as_errors():
            rule = rules.add_rule(user=person, run=run, **wanted, **numbers)
        return Response(RuleSerializer(rule).data, status=status.HTTP_201_CREATED)


class RuleDetail(Endpoint):
    serializer_class = RuleSerializer

    @extend_schema(operation_id="alert_rules_remove", tags=["notices"], responses={204: None})
    def delete(self, request: Request, rule_id: int) -> Response:
        """Be told of it no more."""
        rules.remove_rule(user=self.person(), rule_id=rule_id)
        return Response(status=status.HTTP_204_NO_CONTENT)
