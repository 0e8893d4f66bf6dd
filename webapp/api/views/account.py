"""The person behind the token, their workspaces and their tokens."""

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from webapp.accounts.models import ApiToken
from webapp.accounts.selectors import tokens_of
from webapp.accounts.services import create_token, revoke_token
from webapp.api.errors import refusals_as_errors
from webapp.api.pagination import ByName, NewestFirst
from webapp.api.serializers import (
    MeSerializer,
    NewTokenSerializer,
    TokenInput,
    TokenSerializer,
    WorkspaceDetailSerializer,
    WorkspaceSerializer,
)
from webapp.api.views.base import Endpoint, valid_body
from webapp.workspaces.models import WorkspaceQuerySet
from webapp.workspaces.selectors import members_of, workspace_for, workspaces_for


class Me(Endpoint):
    serializer_class = MeSerializer

    @extend_schema(operation_id="me", tags=["account"])
    def get(self, request: Request) -> Response:
        """Who you are: a quick check that a token works."""
        return Response(MeSerializer(self.person()).data)


class Workspaces(Endpoint):
    serializer_class = WorkspaceSerializer
    pagination_class = ByName

    def get_queryset(self) -> WorkspaceQuerySet:
        return workspaces_for(self.person())

    @extend_schema(operation_id="workspaces_list", tags=["workspaces"], responses=WorkspaceSerializer(many=True))
    def get(self, request: Request) -> Response:
        """The workspaces you belong to."""
        page = self.paginate_queryset(self.get_queryset())
        return self.get_paginated_response(WorkspaceSerializer(page, many=True).data)


class WorkspaceDetail(Endpoint):
    serializer_class = WorkspaceDetailSerializer

    @extend_schema(operation_id="workspaces_read", tags=["workspaces"])
    def get(self, request: Request, slug: str) -> Response:
        """A workspace and its members."""
        workspace = workspace_for(self.person(), slug)
        values: dict[str, Any] = {"slug": workspace.slug, "name": workspace.name, "created_at": workspace.created_at}
        return Response(WorkspaceDetailSerializer({**values, "members": members_of(workspace)}).data)


class Tokens(Endpoint):
    serializer_class = TokenSerializer
    pagination_class = NewestFirst

    def get_queryset(self) -> QuerySet[ApiToken]:
        return tokens_of(self.person())

    @extend_schema(operation_id="tokens_list", tags=["account"], responses=TokenSerializer(many=True))
    def get(self, request: Request) -> Response:
        """Your tokens that still work."""
        page = self.paginate_queryset(self.get_queryset())
        return self.get_paginated_response(TokenSerializer(page, many=True).data)

    @extend_schema(
        operation_id="tokens_create", tags=["account"], request=TokenInput, responses={201: NewTokenSerializer}
    )
    def post(self, request: Request) -> Response:
        """Create a token. Its secret is in this answer and nowhere else."""
        wanted = valid_body(TokenInput, request)
        made_with = request.auth if isinstance(request.auth, ApiToken) else None
        with refusals_as_errors():
            token, secret = create_token(user=self.person(), made_with=made_with, **wanted)
        body = {**TokenSerializer(token).data, "secret": secret}
        return Response(body, status=status.HTTP_201_CREATED)


class TokenDetail(Endpoint):
    serializer_class = TokenSerializer

    @extend_schema(operation_id="tokens_revoke", tags=["account"], responses={204: None})
    def delete(self, request: Request, token_id: int) -> Response:
        """Revoke one of your tokens."""
        revoke_token(user=self.person(), token_id=token_id)
        return Response(status=status.HTTP_204_NO_CONTENT)
