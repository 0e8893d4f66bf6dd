"""The example of a workspace: finished runs that were recorded elsewhere."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from webapp.api.errors import refusals_as_errors
from webapp.api.views.base import Endpoint
from webapp.examples import services
from webapp.workspaces.selectors import workspace_for


class ExampleSerializer(serializers.Serializer[Any]):
    runs = serializers.ListField(child=serializers.UUIDField())


class Example(Endpoint):
    serializer_class = ExampleSerializer

    @extend_schema(operation_id="example_add", tags=["workspaces"], request=None, responses={201: ExampleSerializer})
    def post(self, request: Request, slug: str) -> Response:
        """Add the finished example runs to the workspace. Asking twice adds nothing."""
        with refusals_as_errors():
            workspace = workspace_for(self.person(), slug)
            runs = services.add_example(actor=self.person(), workspace=workspace)
        return Response({"runs": [run.pk for run in runs]}, status=status.HTTP_201_CREATED)

    @extend_schema(operation_id="example_remove", tags=["workspaces"], responses={204: None})
    def delete(self, request: Request, slug: str) -> Response:
        """Delete them with all that was said of them."""
        with refusals_as_errors():
            workspace = workspace_for(self.person(), slug)
            services.remove_example(actor=self.person(), workspace=workspace)
        return Response(status=status.HTTP_204_NO_CONTENT)
