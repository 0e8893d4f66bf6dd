"""What goes in and out of the API. Serializers only describe and check; writing is done by the apps' services."""

from datetime import datetime
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from training_core.spec.experiment import ExperimentSpec
from training_core.spec.io import MAX_SPEC_BYTES, load_yaml, parse_spec
from training_core.spec.sweep import MAX_SEED, Knob, plan_runs
from webapp.api.schema import SPEC_REF
from webapp.compare.models import ViewPage
from webapp.experiments.choices import RunStatus
from webapp.experiments.contact import lost_since
from webapp.experiments.failures import explain
from webapp.experiments.models import Run
from webapp.experiments.selectors import waiting_reason
from webapp.telemetry.finding import KINDS, MAX_ROLE, MAX_TEXT, ORDERS, SHOW, SampleFilter
from webapp.telemetry.found import MAX_PAGES, MOST_COUNTED, PAGE
from webapp.workspaces.choices import MemberRole

MAX_OFFSET = PAGE * MAX_PAGES
"""As far as the site's own pages of samples go."""


@extend_schema_field(SPEC_REF)
class SpecField(serializers.JSONField):
    """An ExperimentSpec as a JSON mapping."""


class ErrorField(serializers.Serializer[Any]):
    path = serializers.CharField(help_text="The field at fault, for example task.max_digits; empty for the whole.")
    message = serializers.CharField()


class ErrorBody(serializers.Serializer[Any]):
    message = serializers.CharField(help_text="One sentence for a person.")
    fields_ = ErrorField(many=True)

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        fields = super().get_fields()
        fields["fields"] = fields.pop("fields_")
        return fields


class ErrorAnswer(serializers.Serializer[Any]):
    error = ErrorBody()


class PaperSerializer(serializers.Serializer[Any]):
    title = serializers.CharField()
    authors = serializers.CharField()
    year = serializers.IntegerField()
    arxiv = serializers.CharField()
    code = serializers.CharField()


class PresetSerializer(serializers.Serializer[Any]):
    slug = serializers.CharField()
    title = serializers.CharField()
    description = serializers.CharField()
    spec = serializers.DictField(help_text="What an ExperimentSpec is made of; absent fields take their defaults.")


class MethodSerializer(serializers.Serializer[Any]):
    slug = serializers.CharField()
    title = serializers.CharField()
    summary = serializers.CharField()
    group = serializers.CharField()
    paper = PaperSerializer(allow_null=True)


class RoleSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    title = serializers.CharField()
    policy = serializers.CharField()
    trained = serializers.BooleanField()
    reads = serializers.CharField()
    writes = serializers.CharField()


class MethodDetailSerializer(MethodSerializer):
    headline_metric = serializers.CharField()
    roles = RoleSerializer(many=True)
    presets = PresetSerializer(many=True)
    knobs = serializers.DictField(help_text="JSON Schema of the method's knobs.")


class PersonSerializer(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    name = serializers.CharField(source="__str__")


class MeSerializer(PersonSerializer):
    email = serializers.EmailField()
    is_operator = serializers.BooleanField(source="is_staff")


class MemberSerializer(serializers.Serializer[Any]):
    user = PersonSerializer()
    role = serializers.ChoiceField(choices=MemberRole.choices)


class WorkspaceSerializer(serializers.Serializer[Any]):
    slug = serializers.SlugField()
    name = serializers.CharField()
    created_at = serializers.DateTimeField()


class WorkspaceDetailSerializer(WorkspaceSerializer):
    members = MemberSerializer(many=True)


class SpecInput(serializers.Serializer[Any]):
    """A spec, as a JSON mapping in ``spec`` or as YAML text in ``yaml``."""

    spec = SpecField(required=False)
    yaml = serializers.CharField(required=False, max_length=MAX_SPEC_BYTES, help_text="The spec as YAML text.")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if ("spec" in attrs) == ("yaml" in attrs):
            raise serializers.ValidationError("Give the spec once: as a mapping in spec, or as YAML text in yaml.")
        return {**attrs, "parsed": _parsed(attrs)}


def _parsed(attrs: dict[str, Any]) -> ExperimentSpec:
    if "yaml" in attrs:
        return load_yaml(attrs["yaml"])
    if not isinstance(attrs["spec"], dict):
        raise serializers.ValidationError({"spec": 'A spec is a mapping, for example {"method": {"name": "mae"}}.'})
    return parse_spec(attrs["spec"])


class ExperimentInput(SpecInput):
    workspace = serializers.SlugField(
        required=False, help_text="Slug of the workspace; may be left out by members of only one."
    )
    parent = serializers.UUIDField(required=False, help_text="The run this experiment is a variation of.")  # type: ignore[assignment]
    seeds = serializers.ListField(
        child=serializers.IntegerField(min_value=0, max_value=MAX_SEED),
        required=False,
        help_text="One run for each of these seeds; left out, the spec's own.",
    )
    sweep = serializers.DictField(
        child=serializers.ListField(),
        required=False,
        help_text='Values of up to three fields by their paths, for example {"method.optimizer.lr": [0.001, 0.0003]}.',
    )
    paired = serializers.BooleanField(
        default=False,
        help_text="Take the first values of the sweep together, then the second ones, instead of all combinations.",
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        attrs = super().validate(attrs)
        knobs = [Knob(path=path, values=tuple(values)) for path, values in attrs.get("sweep", {}).items()]
        seeds = attrs.get("seeds", [])
        plan = plan_runs(attrs["parsed"], seeds=seeds, knobs=knobs, paired=attrs["paired"]) if seeds or knobs else ()
        return {**attrs, "plan": plan}


class ResolvedSpec(serializers.Serializer[Any]):
    spec = SpecField(help_text="The spec with every default written out.")
    yaml = serializers.CharField()


class DigestSerializer(serializers.Serializer[Any]):
    first = serializers.FloatField()
    last = serializers.FloatField()
    last_step = serializers.IntegerField()
    low = serializers.FloatField()
    high = serializers.FloatField()
    mean = serializers.FloatField(help_text="Of all points.")
    count = serializers.IntegerField()
    best = serializers.FloatField(help_text="The lowest of a metric of which less is better, else the highest.")


class SavedViewSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField(read_only=True)
    workspace = serializers.SlugField(source="workspace.slug")
    page = serializers.ChoiceField(choices=ViewPage.choices)
    name = serializers.CharField(max_length=80)
    query = serializers.CharField(allow_blank=True, max_length=8000, help_text="Query string of the page.")
    is_default = serializers.BooleanField(default=False, help_text="Whether the page opens with it.")
    created_by = PersonSerializer(allow_null=True, read_only=True)
    created_at = serializers.DateTimeField(read_only=True)


class RunSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    experiment = serializers.UUIDField(source="experiment_id")
    experiment_name = serializers.CharField(source="experiment.name")
    workspace = serializers.SlugField(source="experiment.workspace.slug")
    method = serializers.CharField(source="experiment.method")
    number = serializers.IntegerField(help_text="1, 2, 3 inside the experiment.")
    seed = serializers.IntegerField(source="spec.seed")
    overrides = serializers.DictField(help_text="What a sweep changed for this run, by the paths of the fields.")
    status = serializers.ChoiceField(choices=RunStatus.choices)
    priority = serializers.IntegerField()
    num_gpus = serializers.IntegerField(help_text="On each host.")
    num_hosts = serializers.IntegerField()
    step = serializers.IntegerField(source="last_step")
    total_steps = serializers.IntegerField()
    phase = serializers.CharField(source="phase_text")
    phase_fraction = serializers.FloatField(allow_null=True)
    attempt = serializers.IntegerField()
    failed_attempts = serializers.IntegerField()
    last_seq = serializers.IntegerField(help_text="Events 1 to this one can be read.")
    worker = serializers.CharField(source="worker.name", default=None, allow_null=True)
    tags = serializers.ListField(child=serializers.CharField())
    archived_at = serializers.DateTimeField(allow_null=True)
    metrics = serializers.DictField(
        source="metric_digests",
        default=dict,
        child=DigestSerializer(),
        help_text="Of the metrics that were asked for, by name; absent ones were never reported.",
    )
    created_by = PersonSerializer(allow_null=True)
    created_at = serializers.DateTimeField()
    started_at = serializers.DateTimeField(allow_null=True)
    finished_at = serializers.DateTimeField(allow_null=True)
    lost_contact_since = serializers.SerializerMethodField(
        help_text="When the program of a run that happens elsewhere was last heard of, if that is too long ago."
    )

    def get_lost_contact_since(self, run: Run) -> datetime | None:
        return lost_since(run)


class RunDetailSerializer(RunSerializer):
    spec = SpecField(help_text="The resolved spec with this run's seed.")
    waiting_reason = serializers.SerializerMethodField(help_text="Why a queued run does not run yet.")
    explanation = serializers.SerializerMethodField(help_text="What a failure means and what to do.")
    failure_kind = serializers.CharField()
    failure_text = serializers.CharField()
    traceback = serializers.CharField()

    def get_waiting_reason(self, run: Run) -> str:
        return waiting_reason(run)

    def get_explanation(self, run: Run) -> str:
        return explain(run)


class RunChange(serializers.Serializer[Any]):
    priority = serializers.IntegerField(
        required=False, min_value=-100, max_value=100, help_text="Higher runs are claimed first."
    )
    before = serializers.UUIDField(
        required=False, allow_null=True, help_text="The waiting run to go right before; null for the end of the queue."
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if len(attrs) != 1:
            raise serializers.ValidationError("Give either a priority, or the run to go before.")
        return attrs


class LaunchInput(serializers.Serializer[Any]):
    seed = serializers.IntegerField(
        required=False, min_value=0, max_value=2**31 - 1, help_text="Empty takes a seed not used before."
    )


class ExperimentSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    name = serializers.CharField()
    method = serializers.CharField()
    workspace = serializers.SlugField(source="workspace.slug")
    parent = serializers.UUIDField(source="parent_id", allow_null=True)  # type: ignore[assignment]
    fork_step = serializers.IntegerField(
        allow_null=True, help_text="Step of the parent's checkpoint the runs begin from."
    )
    created_by = PersonSerializer(allow_null=True)
    created_at = serializers.DateTimeField()
    archived_at = serializers.DateTimeField(allow_null=True)
    status = serializers.ChoiceField(
        source="latest_status", choices=RunStatus.choices, allow_null=True, help_text="Status of the newest run."
    )


class ExperimentDetailSerializer(ExperimentSerializer):
    spec = SpecField()
    runs = RunSerializer(source="newest_runs", many=True, help_text="The newest 100.")


class SeriesSerializer(serializers.Serializer[Any]):
    steps = serializers.ListField(child=serializers.IntegerField())
    values = serializers.ListField(
        child=serializers.FloatField(allow_null=True), help_text="The mean where a place stands for several points."
    )
    low = serializers.ListField(child=serializers.FloatField(allow_null=True), help_text="The least of those points.")
    high = serializers.ListField(child=serializers.FloatField(allow_null=True), help_text="The greatest of them.")
    total = serializers.IntegerField(help_text="Points the line stands for; more than listed where it was thinned.")


class MetricsSerializer(serializers.Serializer[Any]):
    names = serializers.ListField(child=serializers.CharField(), help_text="Every metric the run has reported.")
    series = serializers.DictField(child=SeriesSerializer(), help_text="The metrics that were asked for, by name.")


class MetricsQuery(serializers.Serializer[Any]):
    names = serializers.CharField(required=False, default="", help_text="Metric names, separated by commas.")
    max_points = serializers.IntegerField(required=False, default=600, min_value=10, max_value=10_000)
    x_from = serializers.IntegerField(required=False, default=None, min_value=0, help_text="First step wanted.")
    x_to = serializers.IntegerField(required=False, default=None, min_value=0, help_text="Last step wanted.")


class SampleFilterQuery(serializers.Serializer[Any]):
    """Which samples, as the page of a run's samples offers it."""

    search = serializers.CharField(
        required=False,
        default="",
        max_length=MAX_TEXT,
        help_text="Words, all of them; in quotes they stand together.",
    )
    kind = serializers.ChoiceField(choices=list(KINDS), required=False, default="", help_text="What was played.")
    show = serializers.ChoiceField(choices=list(SHOW), required=False, default="all")
    role = serializers.CharField(required=False, default="", max_length=MAX_ROLE)
    step = serializers.IntegerField(required=False, default=None, allow_null=True, min_value=0)
    step_from = serializers.IntegerField(required=False, default=None, allow_null=True, min_value=0)
    step_to = serializers.IntegerField(required=False, default=None, allow_null=True, min_value=0)
    reward_from = serializers.FloatField(required=False, default=None, allow_null=True, help_text="Of the mean reward.")
    reward_to = serializers.FloatField(required=False, default=None, allow_null=True)
    group = serializers.CharField(required=False, default="", max_length=16, help_text="A sample's group_key.")


def filter_in(wanted: dict[str, Any]) -> SampleFilter:
    """The filter that a checked query names."""
    own = SampleFilterQuery().fields.keys() - {"search"}
    return SampleFilter(text=wanted["search"], **{name: wanted[name] for name in own})


class ExportQuery(SampleFilterQuery):
    """All of it, or of samples those that the filter names."""

    what = serializers.ChoiceField(choices=["metrics", "samples"], default="metrics")
    form = serializers.ChoiceField(choices=["csv", "jsonl", "parquet", "tensorboard"], default="csv")


class EventSerializer(serializers.Serializer[Any]):
    seq = serializers.IntegerField()
    attempt = serializers.IntegerField()
    kind = serializers.CharField()
    step = serializers.IntegerField()
    t = serializers.FloatField(help_text="Unix time in seconds.")
    data = serializers.DictField()  # type: ignore[assignment]


class EventsSerializer(serializers.Serializer[Any]):
    results = EventSerializer(many=True)
    next_after = serializers.IntegerField(help_text="Ask again with after=this.")
    more = serializers.BooleanField(help_text="Whether further events can be read at once.")


class EventsQuery(serializers.Serializer[Any]):
    after = serializers.IntegerField(required=False, default=0, min_value=0, help_text="The last event you have.")
    kinds = serializers.CharField(required=False, default="", help_text="Kinds of events, separated by commas.")
    limit = serializers.IntegerField(required=False, default=500, min_value=1, max_value=1000)


class TallySerializer(serializers.Serializer[Any]):
    role = serializers.CharField()
    count = serializers.IntegerField()
    right = serializers.IntegerField()
    wrong = serializers.IntegerField()
    reward = serializers.FloatField(allow_null=True)


class SampleSerializer(serializers.Serializer[Any]):
    seq = serializers.IntegerField()
    step = serializers.IntegerField()
    episode = serializers.CharField()
    title = serializers.CharField()
    kind = serializers.CharField(help_text="What was played: question, proposal, game, search, practice.")
    kept = serializers.BooleanField(allow_null=True)
    why = serializers.CharField(allow_null=True, help_text="Why it, or some of its completions, do not count.")
    roles = TallySerializer(many=True)
    disagrees = serializers.IntegerField(help_text="Verdicts against the truth.")
    group_key = serializers.CharField(help_text="Equal for samples of one question, in every run.")
    zero_signal = serializers.BooleanField(help_text="Whether no completion is better than another to the update.")
    solved = serializers.FloatField(allow_null=True, help_text="Share of right answers.")
    reward_min = serializers.FloatField(allow_null=True)
    reward_mean = serializers.FloatField(allow_null=True)
    reward_max = serializers.FloatField(allow_null=True)


class SamplesSerializer(serializers.Serializer[Any]):
    results = SampleSerializer(many=True)
    next_before = serializers.IntegerField(allow_null=True, help_text="Ask again with before=this for older ones.")
    next_offset = serializers.IntegerField(
        allow_null=True, help_text="In another order than newest: ask again with offset=this."
    )


class SnippetSerializer(serializers.Serializer[Any]):
    speaker = serializers.CharField()
    turn = serializers.IntegerField(allow_null=True, help_text="null where it is the title.")
    text = serializers.SerializerMethodField()

    def get_text(self, snippet: Any) -> str:
        return "".join(text for text, _ in snippet.pieces)


class FoundSerializer(serializers.Serializer[Any]):
    run = serializers.UUIDField(source="run.pk")
    run_name = serializers.CharField(source="run")
    sample = SampleSerializer(source="row")
    snippet = SnippetSerializer(allow_null=True, help_text="Where the words stand, if words were looked for.")


class SearchSerializer(serializers.Serializer[Any]):
    results = FoundSerializer(many=True, source="found")
    count = serializers.IntegerField(help_text=f"Counted up to {MOST_COUNTED:,}.")
    next_page = serializers.SerializerMethodField(help_text="Ask again with page=this; null at the end.")

    def get_next_page(self, page: Any) -> int | None:
        return page.number + 1 if page.has_more else None


class LogLineSerializer(serializers.Serializer[Any]):
    seq = serializers.IntegerField()
    step = serializers.IntegerField()
    t = serializers.FloatField()
    level = serializers.CharField()
    text = serializers.CharField()


class LogsSerializer(serializers.Serializer[Any]):
    results = LogLineSerializer(many=True)
    next_before = serializers.IntegerField(allow_null=True)


class LogsQuery(serializers.Serializer[Any]):
    before = serializers.IntegerField(required=False, default=None, allow_null=True, min_value=1)
    limit = serializers.IntegerField(required=False, default=50, min_value=1, max_value=200)
    search = serializers.CharField(required=False, default="", max_length=200)


class SamplesQuery(SampleFilterQuery):
    order = serializers.ChoiceField(choices=list(ORDERS), required=False, default="newest")
    before = serializers.IntegerField(
        required=False, default=None, allow_null=True, min_value=1, help_text="Goes with the order newest."
    )
    offset = serializers.IntegerField(
        required=False, default=0, min_value=0, max_value=MAX_OFFSET, help_text="Goes with any other order."
    )
    limit = serializers.IntegerField(required=False, default=50, min_value=1, max_value=200)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        wrong = "offset" if attrs["order"] == "newest" else "before"
        if attrs[wrong]:
            other = "before" if wrong == "offset" else "offset"
            raise serializers.ValidationError({wrong: f"The order {attrs['order']} goes on with {other}."})
        return attrs


class SearchQuery(SampleFilterQuery):
    workspace = serializers.SlugField(required=False, default="")
    order = serializers.ChoiceField(choices=list(ORDERS), required=False, default="newest", help_text="Within a run.")
    page = serializers.IntegerField(required=False, default=1, min_value=1, max_value=MAX_PAGES)


class LeagueRowSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    rating = serializers.FloatField(allow_null=True, help_text="Elo points.")
    low = serializers.FloatField(allow_null=True, help_text="Ends of the rating's confidence interval.")
    high = serializers.FloatField(allow_null=True)
    games = serializers.IntegerField()
    won = serializers.IntegerField()
    drawn = serializers.IntegerField()
    lost = serializers.IntegerField()


class LeagueSerializer(serializers.Serializer[Any]):
    players = LeagueRowSerializer(many=True)
    matrix = serializers.ListField(
        child=serializers.ListField(child=serializers.FloatField(allow_null=True)),
        help_text="matrix[i][j]: share of the points that player i took from player j; null where they did not meet.",
    )


class EvaluationSerializer(serializers.Serializer[Any]):
    seq = serializers.IntegerField()
    step = serializers.IntegerField()
    t = serializers.FloatField()
    suite = serializers.CharField(source="slim.suite")
    num_items = serializers.IntegerField(source="slim.num_items")
    scores = serializers.DictField(source="slim.scores", child=serializers.FloatField())
    league = LeagueSerializer(source="slim.league", default=None, allow_null=True)


class CheckpointSerializer(serializers.Serializer[Any]):
    seq = serializers.IntegerField()
    step = serializers.IntegerField()
    t = serializers.FloatField()
    path = serializers.CharField(source="data.path", help_text="Relative to the run's folder.")
    num_bytes = serializers.IntegerField(source="data.num_bytes")
    digest = serializers.CharField(source="data.digest")


class TokenSerializer(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    name = serializers.CharField()
    prefix = serializers.CharField()
    created_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField(allow_null=True)
    last_used_at = serializers.DateTimeField(allow_null=True)


class NewTokenSerializer(TokenSerializer):
    secret = serializers.CharField(help_text="Shown this once.")


class TokenInput(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=80)
    days = serializers.IntegerField(
        required=False, default=90, min_value=1, max_value=3650, allow_null=True, help_text="null never expires."
    )


class ShareLinkSerializer(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    prefix = serializers.CharField()
    created_by = PersonSerializer(allow_null=True)
    created_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField(allow_null=True)


class NewShareLinkSerializer(ShareLinkSerializer):
    url = serializers.CharField(help_text="The address that shows the run; shown this once.")


class ShareLinkInput(serializers.Serializer[Any]):
    days = serializers.IntegerField(required=False, default=None, min_value=1, max_value=3650, allow_null=True)


class TemplateVersionSerializer(serializers.Serializer[Any]):
    number = serializers.IntegerField()
    note = serializers.CharField()
    created_by = PersonSerializer(allow_null=True)
    created_at = serializers.DateTimeField()
    spec = SpecField(help_text="The resolved spec.")


class TemplateSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    name = serializers.CharField()
    method = serializers.CharField()
    workspace = serializers.SlugField(source="workspace.slug")
    newest = serializers.IntegerField(help_text="Number of the newest version.")
    created_at = serializers.DateTimeField()
    retired_at = serializers.DateTimeField(allow_null=True)


class TemplateDetailSerializer(TemplateSerializer):
    versions = TemplateVersionSerializer(many=True)


class TemplateInput(SpecInput):
    workspace = serializers.SlugField(
        required=False, help_text="Slug of the workspace; may be left out by members of only one."
    )
    name = serializers.CharField(max_length=80, help_text="A name that exists gets a new version.")
    note = serializers.CharField(max_length=300, required=False, default="", allow_blank=True)


class TemplateChange(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=80, required=False)
    retired = serializers.BooleanField(required=False, help_text="Whether it is no longer offered.")
