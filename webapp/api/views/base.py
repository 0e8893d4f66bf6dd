"""What all endpoints share."""

from typing import Any, cast

from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request

from webapp.accounts.models import User
from webapp.workspaces.models import Workspace
from webapp.workspaces.selectors import workspace_for, workspaces_for

IDEMPOTENCY_HEADER = "Idempotency-Key"


class Endpoint(GenericAPIView[Any]):
    """An endpoint for signed-in people."""

    def person(self) -> User:
        """Who asks; the permission classes have made sure that it is somebody."""
        return cast(User, self.request.user)


def valid_body(serializer: type[serializers.Serializer[Any]], request: Request) -> dict[str, Any]:
    """The request's JSON, checked."""
    checked = serializer(data=request.data)
    checked.is_valid(raise_exception=True)
    return cast(dict[str, Any], checked.validated_data)


def valid_query(serializer: type[serializers.Serializer[Any]], request: Request) -> dict[str, Any]:
    """The request's query parameters, checked."""
    checked = serializer(data=request.query_params)
    checked.is_valid(raise_exception=True)
    return cast(dict[str, Any], checked.validated_data)


def workspace_in(person: User, slug: str | None) -> Workspace:
    """The workspace a body names; members of only one need not name it."""
    if slug:
        return workspace_for(person, slug)
    mine = list(workspaces_for(person)[:20])
    if len(mine) == 1:
        return mine[0]
    names = ", ".join(workspace.slug for workspace in mine) or "none yet, create one on the site"
    raise ValidationError({"workspace": f"Say which workspace it belongs to. Yours: {names}."})


def split_names(text: str) -> list[str]:
    """``"a, b"`` as ``["a", "b"]``."""
    return [part.strip() for part in text.split(",") if part.strip()]
