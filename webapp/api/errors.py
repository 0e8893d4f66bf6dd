"""Every error of the API has one shape.

``{"error": {"message": "...", "fields": [{"path": "task.max_digits", "message": "..."}]}}``
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from rest_framework import status
from rest_framework.exceptions import APIException, ValidationError
from rest_framework.response import Response
from rest_framework.views import exception_handler

from training_core.spec.io import SpecError
from webapp.experiments.services import TransitionRefused


class Conflict(APIException):
    """The object is in a state that does not allow what was asked."""

    status_code = status.HTTP_409_CONFLICT


class TooLarge(APIException):
    """The body has more bytes than the site reads."""

    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_detail = f"A request body has at most {settings.DATA_UPLOAD_MAX_MEMORY_SIZE // 1024} KiB."


@contextmanager
def refusals_as_errors() -> Iterator[None]:
    """Wraps a call of a service: what it refuses with a ``ValueError`` becomes an answer a client can show."""
    try:
        yield
    except SpecError:
        raise
    except TransitionRefused as error:
        raise Conflict(str(error)) from error
    except ValueError as error:
        raise ValidationError(str(error)) from error


def answer_with_error(error: Exception, context: dict[str, Any]) -> Response | None:
    """DRF's exception handler; an unforeseen exception is not handled here and rises to Django."""
    if isinstance(error, SpecError):
        fields = [{"path": found.path, "message": found.message} for found in error.errors]
        return Response(_body("This spec cannot be used.", fields), status=status.HTTP_400_BAD_REQUEST)
    if isinstance(error, RequestDataTooBig):
        error = TooLarge()
    response = exception_handler(error, context)
    if response is not None:
        fields = _fields(response.data) if isinstance(error, ValidationError) else []
        response.data = _body(_message(response.data, fields), fields)
    return response


def _body(message: str, fields: list[dict[str, str]]) -> dict[str, Any]:
    return {"error": {"message": message, "fields": fields}}


def _message(data: Any, fields: list[dict[str, str]]) -> str:
    if isinstance(data, dict) and "detail" in data:
        return str(data["detail"])
    general = [field["message"] for field in fields if not field["path"]]
    return " ".join(general) or "Some fields are not valid."


def _fields(data: Any, path: str = "") -> list[dict[str, str]]:
    """Flattens DRF's nested errors: ``{"a": {"b": ["x"]}}`` becomes ``[{"path": "a.b", "message": "x"}]``."""
    if isinstance(data, dict):
        found = [
            (path if key == "non_field_errors" else f"{path}.{key}".strip("."), value) for key, value in data.items()
        ]
        return [field for inner, value in found for field in _fields(value, inner)]
    if isinstance(data, list):
        return [field for value in data for field in _fields(value, path)]
    return [{"path": path, "message": str(data)}]
