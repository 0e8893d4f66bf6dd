"""What a run said: metrics, events, samples, evaluations, checkpoints, logs."""

from typing import Any
from uuid import UUID

from django.http import HttpResponse, StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from webapp.api.serializers import (
    MAX_OFFSET,
    CheckpointSerializer,
    EvaluationSerializer,
    EventSerializer,
    EventsQuery,
    EventsSerializer,
    ExportQuery,
    LogsQuery,
    LogsSerializer,
    MetricsQuery,
    MetricsSerializer,
    SamplesQuery,
    SamplesSerializer,
    SearchQuery,
    SearchSerializer,
    filter_in,
)
from webapp.api.views.base import Endpoint, split_names, valid_query
from webapp.experiments.selectors import run_for
from webapp.exports.services import export, response
from webapp.telemetry import selectors
from webapp.telemetry.found import found_in, searched_runs


class Metrics(Endpoint):
    serializer_class = MetricsSerializer

    @extend_schema(operation_id="runs_metrics", tags=["telemetry"], parameters=[MetricsQuery])
    def get(self, request: Request, run_id: UUID) -> Response:
        """Lines for charts; a line with more points than asked for is the means of its stretches, with their extremes."""
        run = run_for(self.person(), run_id)
        wanted = valid_query(MetricsQuery, request)
        names, ends = split_names(wanted["names"]), {"x_from": wanted["x_from"], "x_to": wanted["x_to"]}
        series = selectors.metric_series(run, names, wanted["max_points"], **ends)
        return Response(MetricsSerializer({"names": selectors.metric_names(run), "series": series}).data)


class Export(Endpoint):
    serializer_class = ExportQuery

    @extend_schema(
        operation_id="runs_export",
        tags=["telemetry"],
        parameters=[ExportQuery],
        responses={(200, "application/octet-stream"): OpenApiTypes.BINARY},
    )
    def get(self, request: Request, run_id: UUID) -> StreamingHttpResponse | HttpResponse:
        """All metrics of the run, or its samples that fit, as a file, made while it is sent. TensorBoard's files hold metrics."""
        run, wanted = run_for(self.person(), run_id), valid_query(ExportQuery, request)
        try:
            return response(export([run], what=wanted["what"], form=wanted["form"], wanted=filter_in(wanted)))
        except ValueError as error:
            raise ValidationError({"form": [str(error)]}) from None


class Events(Endpoint):
    serializer_class = EventsSerializer

    @extend_schema(operation_id="runs_events", tags=["telemetry"], parameters=[EventsQuery])
    def get(self, request: Request, run_id: UUID) -> Response:
        """Events in order, in full. A later attempt may replace what came after its checkpoint: watch ``attempt``."""
        run = run_for(self.person(), run_id)
        wanted = valid_query(EventsQuery, request)
        limit = wanted["limit"]
        events = selectors.events_after(run, wanted["after"], limit, kinds=split_names(wanted["kinds"]))
        body = {
            "results": EventSerializer(events, many=True).data,
            "next_after": events[-1].seq if events else wanted["after"],
            "more": len(events) == limit,
        }
        return Response(body)


class Samples(Endpoint):
    serializer_class = SamplesSerializer

    @extend_schema(operation_id="runs_samples", tags=["telemetry"], parameters=[SamplesQuery])
    def get(self, request: Request, run_id: UUID) -> Response:
        """Sampled episodes that fit; read one in full by its seq."""
        run = run_for(self.person(), run_id)
        wanted = valid_query(SamplesQuery, request)
        chosen, limit = filter_in(wanted), wanted["limit"]
        if wanted["order"] == "newest":
            rows = selectors.samples(run, chosen, before=wanted["before"], limit=limit)
            return Response({**_page(rows, limit), "next_offset": None})
        offset = wanted["offset"]
        rows = selectors.samples_in_order(run, chosen, order=wanted["order"], offset=offset, limit=limit)
        more = offset + limit if len(rows) == limit and offset + limit <= MAX_OFFSET else None
        return Response({"results": rows, "next_before": None, "next_offset": more})


class Search(Endpoint):
    serializer_class = SearchSerializer
    pagination_class = None

    @extend_schema(operation_id="samples_search", tags=["telemetry"], parameters=[SearchQuery])
    def get(self, request: Request) -> Response:
        """Samples that fit in the newest runs of your workspaces, those of the newest run first."""
        wanted = valid_query(SearchQuery, request)
        chosen = filter_in(wanted)
        if chosen.is_open:
            raise ValidationError("Say what you look for: words in search, or another filter.")
        runs = searched_runs(self.person(), wanted["workspace"])
        return Response(SearchSerializer(found_in(runs, chosen, order=wanted["order"], page=wanted["page"])).data)


class SampleDetail(Endpoint):
    serializer_class = EventSerializer

    @extend_schema(operation_id="runs_sample", tags=["telemetry"])
    def get(self, request: Request, run_id: UUID, seq: int) -> Response:
        """One episode with every text, reward term and verdict."""
        return Response(EventSerializer(selectors.sample(run_for(self.person(), run_id), seq)).data)


class Evaluations(Endpoint):
    serializer_class = EvaluationSerializer
    pagination_class = None

    @extend_schema(operation_id="runs_evaluations", tags=["telemetry"], responses=EvaluationSerializer(many=True))
    def get(self, request: Request, run_id: UUID) -> Response:
        """Every held-out measurement, in order."""
        run = run_for(self.person(), run_id)
        return Response(EvaluationSerializer(selectors.all_evaluations(run), many=True).data)


class Checkpoints(Endpoint):
    serializer_class = CheckpointSerializer
    pagination_class = None

    @extend_schema(operation_id="runs_checkpoints", tags=["telemetry"], responses=CheckpointSerializer(many=True))
    def get(self, request: Request, run_id: UUID) -> Response:
        """Checkpoints, newest first."""
        run = run_for(self.person(), run_id)
        return Response(CheckpointSerializer(selectors.checkpoints(run), many=True).data)


class Logs(Endpoint):
    serializer_class = LogsSerializer

    @extend_schema(operation_id="runs_logs", tags=["telemetry"], parameters=[LogsQuery])
    def get(self, request: Request, run_id: UUID) -> Response:
        """Log lines and changes of phase, newest first."""
        run = run_for(self.person(), run_id)
        wanted = valid_query(LogsQuery, request)
        rows = selectors.logs(run, text=wanted["search"], before=wanted["before"], limit=wanted["limit"])
        return Response(_page(rows, wanted["limit"]))


def _page(rows: list[dict[str, Any]], limit: int) -> dict[str, Any]:
    return {"results": rows, "next_before": rows[-1]["seq"] if len(rows) == limit else None}
