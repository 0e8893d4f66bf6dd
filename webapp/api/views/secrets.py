"""Secrets of a workspace: owners list their names, set and forget them. No answer ever holds a value."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from webapp.api.errors import refusals_as_errors
from webapp.api.serializers import ErrorAnswer, PersonSerializer
from webapp.api.views.base import Endpoint, valid_body
from webapp.workspaces import vault
from webapp.workspaces.selectors import require_manage, secrets_of, workspace_for


class SecretSerializer(serializers.Serializer[Any]):
    name = serializers.CharField(help_text="The environment variable that holds it.")
    readable = serializers.BooleanField(help_text="False where the installation's key was exchanged: set it again.")
    set_by = PersonSerializer(allow_null=True)
    set_at = serializers.DateTimeField()


class SecretInput(serializers.Serializer[Any]):
    value = serializers.CharField(max_length=4096, write_only=True, help_text="Never told again.")


class Secrets(Endpoint):
    serializer_class = SecretSerializer
    pagination_class = None

    @extend_schema(operation_id="secrets_list", tags=["workspaces"], responses=SecretSerializer(many=True))
    def get(self, request: Request, slug: str) -> Response:
        """The names of a workspace's secrets, for its owners."""
        workspace = workspace_for(self.person(), slug)
        require_manage(self.person(), workspace)
        opens = vault.readable(workspace)
        rows = [
            {"name": each.name, "readable": opens[each.name], "set_by": each.set_by, "set_at": each.set_at}
            for each in secrets_of(workspace)
        ]
        return Response(SecretSerializer(rows, many=True).data)


class SecretDetail(Endpoint):
    serializer_class = SecretInput

    @extend_schema(
        operation_id="secrets_set",
        tags=["workspaces"],
        request=SecretInput,
        responses={204: None, 400: ErrorAnswer},
    )
    def put(self, request: Request, slug: str, name: str) -> Response:
        """Keep a secret, or put another value in its place; runs that start from now on get it."""
        person = self.person()
        workspace = workspace_for(person, slug)
        require_manage(person, workspace)
        value = valid_body(SecretInput, request)["value"]
        with refusals_as_errors():
            vault.set_secret(workspace=workspace, actor=person, name=name, value=value)
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(operation_id="secrets_remove", tags=["workspaces"], responses={204: None})
    def delete(self, request: Request, slug: str, name: str) -> Response:
        """Forget a secret; runs at work still know it."""
        person = self.person()
        vault.remove_secret(workspace=workspace_for(person, slug), actor=person, name=name)
        return Response(status=status.HTTP_204_NO_CONTENT)
