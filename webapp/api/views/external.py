"""Runs that happen elsewhere: begun, fed and ended by a program with a token. ``kumite.init`` and ``kumite.log`` use this."""

from typing import Any
from uuid import UUID, uuid4

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from webapp.api.errors import refusals_as_errors
from webapp.api.throttling import ValuesThrottle
from webapp.api.views.base import IDEMPOTENCY_HEADER, Endpoint, valid_body
from webapp.external import services
from webapp.workspaces.selectors import workspace_for, workspaces_for


class BeginInput(serializers.Serializer[Any]):
    project = serializers.CharField(max_length=60)
    name = serializers.CharField(max_length=59, required=False, default="", allow_blank=True)
    workspace = serializers.CharField(
        required=False, default="", allow_blank=True, help_text="Slug; needed if you may edit several."
    )
    config = serializers.DictField(required=False, default=dict, help_text="Settings to compare by, up to 100.")
    code = serializers.DictField(
        child=serializers.CharField(allow_blank=True, trim_whitespace=False),
        required=False,
        default=dict,
        help_text="Files to keep with the run, by path; up to 500 of 800,000 bytes together.",
    )


class RowInput(serializers.Serializer[Any]):
    step = serializers.IntegerField(min_value=0, max_value=2**62)
    t = serializers.FloatField(required=False, help_text="Unix time; now if left out.")
    values = serializers.DictField(child=serializers.FloatField(allow_null=True))


class ValuesInput(serializers.Serializer[Any]):
    seq = serializers.IntegerField(
        min_value=1, help_text="Number of the first row; rows are numbered 1, 2, 3 in a run."
    )
    rows = serializers.ListField(
        child=serializers.DictField(), max_length=5000, help_text="step, t and values each; none: a sign of life"
    )


class FinishInput(serializers.Serializer[Any]):
    failed = serializers.BooleanField(default=False)


class ExternalRunSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    last_seq = serializers.IntegerField(help_text="Rows 1..last_seq are stored; go on behind them.")


class ExternalRuns(Endpoint):
    serializer_class = ExternalRunSerializer

    @extend_schema(operation_id="external_runs_begin", tags=["external runs"], request=BeginInput)
    def post(self, request: Request) -> Response:
        """Begin a run that happens elsewhere. The same Idempotency-Key gives back the same run."""
        wanted, person = valid_body(BeginInput, request), self.person()
        with refusals_as_errors():
            workspace = workspace_for(person, wanted["workspace"]) if wanted["workspace"] else _only_workspace(person)
            run = services.begin_external_run(
                actor=person,
                workspace=workspace,
                project=wanted["project"],
                name=wanted["name"],
                config=wanted["config"],
                code=wanted["code"],
                key=request.headers.get(IDEMPOTENCY_HEADER, "") or uuid4().hex,
            )
        return Response({"id": run.pk, "last_seq": run.last_seq}, status=201)


class ExternalValues(Endpoint):
    serializer_class = ExternalRunSerializer
    throttle_classes = (ValuesThrottle,)

    @extend_schema(operation_id="external_runs_values", tags=["external runs"], request=ValuesInput)
    def post(self, request: Request, run_id: UUID) -> Response:
        """Add rows of values. Rows that are stored already change nothing; a gap is refused."""
        wanted = valid_body(ValuesInput, request)
        with refusals_as_errors():
            rows = [_row(row) for row in wanted["rows"]]
            last_seq = services.add_values(actor=self.person(), run_id=run_id, seq=wanted["seq"], rows=rows)
        return Response({"id": run_id, "last_seq": last_seq})


class ExternalFinish(Endpoint):
    serializer_class = ExternalRunSerializer

    @extend_schema(operation_id="external_runs_finish", tags=["external runs"], request=FinishInput)
    def post(self, request: Request, run_id: UUID) -> Response:
        """End the run. Asking twice is not an error."""
        wanted = valid_body(FinishInput, request)
        with refusals_as_errors():
            run = services.finish_external_run(actor=self.person(), run_id=run_id, failed=wanted["failed"])
        return Response({"id": run.pk, "last_seq": run.last_seq})


def _row(row: dict[str, Any]) -> dict[str, Any]:
    """A row checked by hand: thousands of them come at once."""
    step, values = row.get("step"), row.get("values")
    if not isinstance(step, int) or isinstance(step, bool) or not 0 <= step < 2**62 or not isinstance(values, dict):
        raise ValueError("A row needs a whole step from 0 on and values by name.")
    return {"step": step, "t": row.get("t"), "values": values}


def _only_workspace(person: Any) -> Any:
    found = list(workspaces_for(person)[:2])
    if len(found) != 1:
        raise ValueError("Say in which workspace: you are a member of several, or of none.")
    return found[0]
