"""Methods and specs: what can be run, and whether a spec is good."""

from dataclasses import asdict

from django.http import Http404
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from training_core.methods.base import SelfPlay
from training_core.methods.registry import all_methods, find_method
from training_core.spec.io import dump_dict, dump_yaml
from training_core.spec.presets import preset
from webapp.api.serializers import ErrorAnswer, MethodDetailSerializer, MethodSerializer, ResolvedSpec, SpecInput
from webapp.api.views.base import Endpoint, valid_body


class Methods(Endpoint):
    serializer_class = MethodSerializer
    pagination_class = None

    @extend_schema(operation_id="methods_list", tags=["methods"], responses=MethodSerializer(many=True))
    def get(self, request: Request) -> Response:
        """Every self-play method of this installation."""
        return Response(MethodSerializer(all_methods(), many=True).data)


class MethodDetail(Endpoint):
    serializer_class = MethodDetailSerializer

    @extend_schema(operation_id="methods_read", tags=["methods"])
    def get(self, request: Request, slug: str) -> Response:
        """A method with its roles, presets and the JSON Schema of its knobs."""
        try:
            method = find_method(slug)
        except ValueError as error:
            raise Http404(str(error)) from error
        return Response(MethodDetailSerializer(_described(method)).data)


def _described(method: type[SelfPlay]) -> dict[str, object]:
    first = preset(method.slug, method.presets[0].slug).method
    return {
        "slug": method.slug,
        "title": method.title,
        "summary": method.summary,
        "group": method.group,
        "paper": method.paper,
        "headline_metric": method.headline_metric,
        "roles": [asdict(role) for role in method.roles(first)],
        "presets": [asdict(found) for found in method.presets],
        "knobs": method.Spec.model_json_schema(),
    }


class ValidateSpec(Endpoint):
    serializer_class = SpecInput

    @extend_schema(
        operation_id="specs_validate",
        tags=["methods"],
        request=SpecInput,
        responses={200: ResolvedSpec, 400: ErrorAnswer},
    )
    def post(self, request: Request) -> Response:
        """Check a spec without creating anything; answers it with every default written out, or says what is wrong."""
        spec = valid_body(SpecInput, request)["parsed"]
        return Response({"spec": dump_dict(spec), "yaml": dump_yaml(spec)})
