"""Blocks read into panels: words, tables, drawings and quotes, which pages and paper show alike.

Runs come from the report's own workspace, so whoever may read the report may read what it shows; a run that is gone leaves a sentence.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.http import Http404
from django.urls import reverse

from training_core.spec.forms import differences
from webapp.experiments.choices import TERMINAL
from webapp.experiments.models import Run
from webapp.pages.documents import user_text
from webapp.pages.figures import DASHES, HUES, Curve, Figure, figure
from webapp.reports.blocks import (
    KINDS,
    AnyBlock,
    ChartBlock,
    PassportBlock,
    SampleBlock,
    ScoresBlock,
    SettingsBlock,
    TextBlock,
)
from webapp.reports.models import Report
from webapp.reports.passport import passport_of
from webapp.telemetry.comparison import compared_suites
from webapp.telemetry.lens import lens_of
from webapp.telemetry.selectors import metric_series, sample
from webapp.telemetry.turns import read_turns

MAX_POINTS = 400
MAX_QUOTE = 4000
_NONE = "–"


@dataclass(frozen=True, kw_only=True)
class Table:
    """``Table(head=["Run", "Before"], rows=[["run 1", "41 %"]])``; the first cell of a row is its header."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True, kw_only=True)
class Quote:
    """What a role wrote, what became of it, and the note below."""

    who: str
    text: str
    note: str


@dataclass(frozen=True, kw_only=True)
class Panel:
    """A block as it is shown: any of its parts may be missing."""

    title: str = ""
    text: str = ""
    """Markdown."""
    drawing: Figure | None = None
    tables: Sequence[Table] = field(default_factory=list)
    quotes: Sequence[Quote] = field(default_factory=list)
    links: Sequence[tuple[str, str]] = field(default_factory=list)
    """(words, address inside the site), for members."""
    missing: str = ""
    """Why there is nothing to see, in a sentence."""

    @property
    def html(self) -> str:
        return user_text(self.text)


def runs_in(report: Report, blocks: Sequence[AnyBlock]) -> dict[UUID, Run]:
    """The runs that the blocks read, as far as they are in the report's workspace."""
    wanted = {run_id for block in blocks for run_id in block.run_ids}
    found = Run.objects.filter(pk__in=wanted, experiment__workspace=report.workspace_id)
    return {run.pk: run for run in found.select_related("experiment__workspace", "experiment__parent", "created_by")}


def read_panels(blocks: Sequence[AnyBlock], runs: Mapping[UUID, Run]) -> list[Panel]:
    return [_read(block, [runs[run_id] for run_id in block.run_ids if run_id in runs]) for block in blocks]


def is_live(runs: Mapping[UUID, Run]) -> bool:
    """Whether any of the runs may still have more to say."""
    return any(run.status not in TERMINAL for run in runs.values())


def name_of(run: Run) -> str:
    return f"{run.experiment.name}, run {run.number}"


def _read(block: AnyBlock, runs: list[Run]) -> Panel:
    if isinstance(block, TextBlock):
        return Panel(text=block.text)
    if not runs:
        lost = "The runs of this block no longer exist." if block.run_ids else "No run was chosen for this block yet."
        return Panel(title=KINDS[block.kind], missing=lost)
    readers: dict[type[Any], Callable[[Any, list[Run]], Panel]] = {
        ChartBlock: _chart,
        ScoresBlock: _scores,
        SettingsBlock: _settings,
        SampleBlock: _sample,
        PassportBlock: _passport,
    }
    return readers[type(block)](block, runs)


def _links(runs: Sequence[Run]) -> list[tuple[str, str]]:
    return [(name_of(run), reverse("run", args=[run.pk])) for run in runs]


def _chart(block: ChartBlock, runs: list[Run]) -> Panel:
    """A line for each run; runs of one experiment share a hue."""
    experiments = list(dict.fromkeys(run.experiment_id for run in runs))
    seen: dict[UUID, int] = {}
    curves = []
    for run in runs:
        line = metric_series(run, [block.metric], MAX_POINTS)[block.metric]
        points = [(float(s), v) for s, v in zip(line.steps, line.values, strict=True) if v is not None]
        place = seen[run.experiment_id] = seen.get(run.experiment_id, -1) + 1
        hue = experiments.index(run.experiment_id) % len(HUES)
        curves.append(Curve(label=name_of(run), points=points, hue=hue, dash=place % len(DASHES)))
    title = _metric_title(runs[0], block.metric)
    drawing = figure(title, curves)
    if drawing is None:
        return Panel(title=title, missing=f"None of these runs has reported {block.metric or 'a metric'} yet.")
    ends = [
        [c.label, f"{c.points[0][1]:.4g}", f"{c.points[-1][1]:.4g}", f"{c.points[-1][0]:,.0f}"] for c in drawing.curves
    ]
    table = Table(head=["Run", "First", "Last", "At step"], rows=ends)
    return Panel(title=title, drawing=drawing, tables=[table], links=_links(runs))


def _metric_title(run: Run, metric: str) -> str:
    """What the method's charts call a metric."""
    for chart in lens_of(run).charts:
        for name, label in chart.series:
            if name == metric:
                return f"{chart.title}: {label}"
    return metric


def _scores(_: ScoresBlock, runs: list[Run]) -> Panel:
    tables = []
    for run in runs:
        for suite in compared_suites(run):
            rows = [[s["title"], s["first"], s["best"], s["last"], s["change"]] for s in suite["scores"]]
            steps = (f"{word}, step {suite[place].step}" for word, place in _PLACES)
            tables.append(Table(head=[f"{name_of(run)} ({suite['num_items']} items)", *steps, "Change"], rows=rows))
    missing = "" if tables else "None of these runs has been evaluated yet."
    return Panel(title=KINDS["scores"], tables=tables, links=_links(runs), missing=missing)


_PLACES = (("Before", "first"), ("Best", "best"), ("Now", "last"))


def _settings(_: SettingsBlock, runs: list[Run]) -> Panel:
    """Every setting in which a run differs from the first one."""
    first, *others = runs
    found = [differences(other.experiment.method, first.spec, other.spec) for other in others]
    labels = {each.path: each.label for own in found for each in own if each.path != "name"}
    before = {each.path: each.old for own in found for each in own}
    after = [{each.path: each.new for each in own} for own in found]
    rows = [
        [f"{label} ({path})", _shown(before[path]), *(_shown(own.get(path, before[path])) for own in after)]
        for path, label in labels.items()
    ]
    missing = "" if rows else "These runs have the same settings."
    table = Table(head=["Setting", *(name_of(run) for run in runs)], rows=rows)
    return Panel(title=KINDS["settings"], tables=[table] if rows else [], links=_links(runs), missing=missing)


def _shown(value: Any) -> str:
    match value:
        case None:
            return _NONE
        case bool():
            return "on" if value else "off"
        case float():
            return f"{value:g}"
    return str(value)


def _sample(block: SampleBlock, runs: list[Run]) -> Panel:
    run = runs[0]
    try:
        event = sample(run, block.seq)
    except Http404:
        return Panel(title=KINDS["sample"], missing=f"{name_of(run)} has no sample {block.seq} any more.")
    turns = read_turns(event.data, lens_of(run))
    quotes = [
        Quote(
            who=turn.name,
            text=turn.text[:MAX_QUOTE],
            note=", ".join(
                part
                for part in (turn.truth, "" if turn.reward is None else f"reward {turn.reward:.3g}", turn.note)
                if part
            ),
        )
        for turn in turns
    ]
    address = reverse("run_sample", args=[run.pk, block.seq])
    title = f"Step {event.step}: {event.data['title'][:200]}"
    return Panel(title=title, quotes=quotes, links=[(f"Sample of {name_of(run)}", address)])


def _passport(_: PassportBlock, runs: list[Run]) -> Panel:
    tables = []
    for run in runs:
        passport = passport_of(run)
        rows = [[title, value] for _, facts in passport.sections for title, value in facts]
        tables.append(Table(head=[name_of(run), passport.digest], rows=rows))
    return Panel(title=KINDS["passport"], tables=tables, links=_links(runs))
