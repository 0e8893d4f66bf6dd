"""Team templates: list, save, read, rename, retire."""

from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from webapp.api.errors import refusals_as_errors
from webapp.api.pagination import NewestFirst
from webapp.api.serializers import (
    ErrorAnswer,
    TemplateChange,
    TemplateDetailSerializer,
    TemplateInput,
    TemplateSerializer,
)
from webapp.api.views.base import Endpoint, valid_body, workspace_in
from webapp.experiments.models import TemplateQuerySet
from webapp.experiments.team_templates import template_for, templates_visible_to
from webapp.experiments.template_services import rename_template, retire_template, save_template


class Templates(Endpoint):
    serializer_class = TemplateSerializer
    pagination_class = NewestFirst

    def get_queryset(self) -> TemplateQuerySet:
        return templates_visible_to(self.person()).order_by("-created_at", "pk")

    @extend_schema(operation_id="templates_list", tags=["templates"], responses=TemplateSerializer(many=True))
    def get(self, request: Request) -> Response:
        """Team templates of your workspaces, newest first."""
        page = self.paginate_queryset(self.get_queryset())
        return self.get_paginated_response(TemplateSerializer(page, many=True).data)

    @extend_schema(
        operation_id="templates_save",
        tags=["templates"],
        request=TemplateInput,
        responses={201: TemplateDetailSerializer, 400: ErrorAnswer},
    )
    def post(self, request: Request) -> Response:
        """Keep a spec under a name: a new template, or the next version of the one that has the name."""
        wanted, person = valid_body(TemplateInput, request), self.person()
        with refusals_as_errors():
            version = save_template(
                actor=person,
                workspace=workspace_in(person, wanted.get("workspace")),
                name=wanted["name"],
                note=wanted["note"],
                spec=wanted["parsed"],
            )
        saved = template_for(person, version.template_id)
        return Response(TemplateDetailSerializer(saved).data, status=status.HTTP_201_CREATED)


class TemplateDetail(Endpoint):
    serializer_class = TemplateDetailSerializer

    @extend_schema(operation_id="templates_read", tags=["templates"], responses=TemplateDetailSerializer)
    def get(self, request: Request, template_id: UUID) -> Response:
        """A template with every version."""
        return Response(TemplateDetailSerializer(template_for(self.person(), template_id)).data)

    @extend_schema(
        operation_id="templates_change",
        tags=["templates"],
        request=TemplateChange,
        responses={200: TemplateDetailSerializer, 400: ErrorAnswer},
    )
    def patch(self, request: Request, template_id: UUID) -> Response:
        """Rename a template, retire it, or offer it again."""
        wanted, person = valid_body(TemplateChange, request), self.person()
        template_for(person, template_id)
        with refusals_as_errors():
            if "name" in wanted:
                rename_template(actor=person, template_id=template_id, name=wanted["name"])
            if "retired" in wanted:
                retire_template(actor=person, template_id=template_id, retired=wanted["retired"])
        return Response(TemplateDetailSerializer(template_for(person, template_id)).data)
