"""Rubrics of the library: list, make, read with every version, save a version, retire."""

from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from training_core.spec.rubrics import MAX_TEXT, RUBRICS
from webapp.accounts.models import User
from webapp.api.errors import refusals_as_errors
from webapp.api.pagination import ByName
from webapp.api.serializers import ErrorAnswer, PersonSerializer
from webapp.api.views.base import Endpoint, valid_body, valid_query, workspace_in
from webapp.library.models import Rubric
from webapp.library.rubric_services import MAX_NAME, MAX_NOTE, create_rubric, retire_rubric, save_version
from webapp.library.rubrics import kind_words, rubric_for, rubrics_visible_to, shown_versions, uses_of

KINDS = tuple(RUBRICS)


class RubricsQuery(serializers.Serializer[Any]):
    workspace = serializers.SlugField(required=False, default="")
    kind = serializers.ChoiceField(choices=KINDS, required=False, default="")
    name = serializers.CharField(
        required=False, default="", max_length=MAX_NAME, help_text="Only the one of this name."
    )
    retired = serializers.BooleanField(required=False, default=False, help_text="Those that are offered no more.")


class RubricSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    name = serializers.CharField()
    kind = serializers.ChoiceField(choices=KINDS, help_text="What it does: grade an answer, compare a pair, ...")
    workspace = serializers.SlugField(source="workspace.slug")
    newest = serializers.IntegerField(help_text="Number of the newest version.")
    created_by = PersonSerializer(allow_null=True)
    created_at = serializers.DateTimeField()
    retired_at = serializers.DateTimeField(allow_null=True)


class RubricVersionSerializer(serializers.Serializer[Any]):
    number = serializers.IntegerField(source="version.number")
    text = serializers.CharField(source="version.text")
    digest = serializers.CharField(source="version.digest", help_text="sha256 of the text; specs hold it too.")
    note = serializers.CharField(source="version.note")
    hints = serializers.ListField(child=serializers.CharField(), help_text="What is probably forgotten.")
    num_uses = serializers.IntegerField(help_text="Runs and gradings of your workspace with this text.")
    created_by = PersonSerializer(source="version.created_by", allow_null=True)
    created_at = serializers.DateTimeField(source="version.created_at")


class RubricDetailSerializer(RubricSerializer):
    title = serializers.CharField(help_text="What its kind does, in words.")
    places = serializers.ListField(child=serializers.CharField(), help_text="What may stand in braces.")
    reads = serializers.CharField(help_text="The tag its verdict is read from.")
    verdict = serializers.CharField(help_text="What stands in that tag.")
    versions = RubricVersionSerializer(many=True, help_text="Newest first; they never change.")


class VersionInput(serializers.Serializer[Any]):
    text = serializers.CharField(max_length=MAX_TEXT, help_text="{question}, {answer} and the like are filled in.")
    note = serializers.CharField(required=False, default="", allow_blank=True, max_length=MAX_NOTE, help_text="Why.")


class RubricInput(VersionInput):
    workspace = serializers.SlugField(required=False, default="", help_text="May be left out by members of only one.")
    name = serializers.CharField(max_length=MAX_NAME)
    kind = serializers.ChoiceField(choices=KINDS)


class RubricChange(serializers.Serializer[Any]):
    retired = serializers.BooleanField(help_text="Whether it is no longer offered.")


def rubric_body(person: User, rubric_id: UUID) -> dict[str, Any]:
    """A rubric with its versions, as the API tells it."""
    found = rubric_for(person, rubric_id)
    kind = kind_words(found.kind)
    told = {key: kind[key] for key in ("title", "places", "reads", "verdict")}
    versions = shown_versions(found, uses_of(found))
    return {**RubricSerializer(found).data, **told, "versions": RubricVersionSerializer(versions, many=True).data}


class Rubrics(Endpoint):
    serializer_class = RubricSerializer
    pagination_class = ByName

    def get_queryset(self) -> QuerySet[Rubric]:
        wanted = valid_query(RubricsQuery, self.request)
        paths = {"workspace__slug": wanted["workspace"], "kind": wanted["kind"], "name": wanted["name"]}
        found = rubrics_visible_to(self.person()).filter(retired_at__isnull=not wanted["retired"])
        return found.filter(**{path: value for path, value in paths.items() if value})

    @extend_schema(
        operation_id="rubrics_list", tags=["rubrics"], parameters=[RubricsQuery], responses=RubricSerializer(many=True)
    )
    def get(self, request: Request) -> Response:
        """Rubrics of your workspaces, by name."""
        page = self.paginate_queryset(self.get_queryset())
        return self.get_paginated_response(RubricSerializer(page, many=True).data)

    @extend_schema(
        operation_id="rubrics_make",
        tags=["rubrics"],
        request=RubricInput,
        responses={201: RubricDetailSerializer, 400: ErrorAnswer},
    )
    def post(self, request: Request) -> Response:
        """Keep a text as the first version of a new rubric."""
        wanted, person = valid_body(RubricInput, request), self.person()
        workspace = workspace_in(person, wanted.pop("workspace"))
        with refusals_as_errors():
            version = create_rubric(actor=person, workspace=workspace, **wanted)
        return Response(rubric_body(person, version.rubric_id), status=status.HTTP_201_CREATED)


class RubricDetail(Endpoint):
    serializer_class = RubricDetailSerializer

    @extend_schema(operation_id="rubrics_read", tags=["rubrics"], responses=RubricDetailSerializer)
    def get(self, request: Request, rubric_id: UUID) -> Response:
        """A rubric with every version and how often each is used."""
        return Response(rubric_body(self.person(), rubric_id))

    @extend_schema(
        operation_id="rubrics_change",
        tags=["rubrics"],
        request=RubricChange,
        responses={200: RubricDetailSerializer, 400: ErrorAnswer},
    )
    def patch(self, request: Request, rubric_id: UUID) -> Response:
        """Retire a rubric, or offer it again."""
        person = self.person()
        rubric_for(person, rubric_id)
        wanted = valid_body(RubricChange, request)
        with refusals_as_errors():
            retire_rubric(actor=person, rubric_id=rubric_id, retired=wanted["retired"])
        return Response(rubric_body(person, rubric_id))


class RubricVersions(Endpoint):
    serializer_class = RubricDetailSerializer

    @extend_schema(
        operation_id="rubrics_save_version",
        tags=["rubrics"],
        request=VersionInput,
        responses={201: RubricDetailSerializer, 400: ErrorAnswer},
    )
    def post(self, request: Request, rubric_id: UUID) -> Response:
        """Keep an edited text as the next version; a text that equals the newest version makes none."""
        person = self.person()
        rubric_for(person, rubric_id)
        wanted = valid_body(VersionInput, request)
        with refusals_as_errors():
            save_version(actor=person, rubric_id=rubric_id, **wanted)
        return Response(rubric_body(person, rubric_id), status=status.HTTP_201_CREATED)
