"""The code runs were carried out with."""

from typing import Any
from uuid import UUID

from django.http import Http404, HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from webapp.api.views.base import Endpoint, valid_query
from webapp.experiments.models import Run
from webapp.experiments.selectors import run_for
from webapp.sources import selectors
from webapp.sources.differences import unified
from webapp.sources.models import CodeVersion


class CodeQuery(serializers.Serializer[Any]):
    against = serializers.UUIDField(required=False, help_text="Another run: what became of the code there.")


class PatchSerializer(serializers.Serializer[Any]):
    path = serializers.CharField()
    patch = serializers.CharField(help_text="The change as a unified diff.")


class CodeSerializer(serializers.Serializer[Any]):
    version = serializers.CharField(help_text="Runs of the same version were carried out with the same files.")
    files = serializers.DictField(child=serializers.CharField(), help_text="sha256 of each file, by path.")
    differences = PatchSerializer(many=True, help_text="Files that are not the same in the other run.")


class Code(Endpoint):
    serializer_class = CodeSerializer

    @extend_schema(operation_id="runs_code", tags=["runs"], parameters=[CodeQuery])
    def get(self, request: Request, run_id: UUID) -> Response:
        """Which files the run was carried out with and, with ``against``, what differs in another run."""
        version, against = _version(run_for(self.person(), run_id)), valid_query(CodeQuery, request).get("against")
        patches = _patches(version, _version(run_for(self.person(), against))) if against else []
        body = {"version": version.digest, "files": version.files, "differences": patches}
        return Response(CodeSerializer(body).data)


class CodeZip(Endpoint):
    serializer_class = CodeSerializer

    @extend_schema(
        operation_id="runs_code_zip", tags=["runs"], responses={(200, "application/zip"): OpenApiTypes.BINARY}
    )
    def get(self, request: Request, run_id: UUID) -> HttpResponse:
        """The files themselves."""
        return HttpResponse(selectors.zipped(_version(run_for(self.person(), run_id))), content_type="application/zip")


def _version(run: Run) -> CodeVersion:
    version = selectors.version_of(run)
    if version is None:
        raise Http404(
            f"No code was kept of run {str(run.pk)[:8]}: it has not started, or it is older than code that is kept."
        )
    return version


def _patches(before: CodeVersion, after: CodeVersion) -> list[dict[str, str]]:
    left, right = selectors.differing_texts(before, after)
    return [
        {"path": path, "patch": unified(path, left.get(path), right.get(path))}
        for path in sorted(left.keys() | right.keys())
    ]
