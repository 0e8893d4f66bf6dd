"""Template tags of every page; registered as builtins in the settings."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django import template
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.timesince import timesince

from training_core.methods.registry import all_methods
from training_core.spec.forms import find_field
from webapp.experiments.choices import RunStatus
from webapp.experiments.contact import lost_since
from webapp.experiments.models import Run
from webapp.pages.icons import PATHS, SHAPES, STATUS_SHAPES
from webapp.pages.sparkline import HEIGHT, WIDTH, Spark, spark
from webapp.workspaces.models import AuditEvent

register = template.Library()


@register.simple_tag
def icon(name: str, size: str = "") -> SafeString:
    """An icon; decorative, so the text beside it or an aria-label on its button names the action."""
    modifier = f" icon--{size}" if size else ""
    return format_html(
        '<svg class="icon{}" viewBox="0 0 24 24" aria-hidden="true" focusable="false"><path d="{}"/></svg>',
        modifier,
        PATHS[name],
    )


@register.simple_tag
def shape(name: str) -> SafeString:
    return format_html(
        '<svg class="badge__shape" viewBox="0 0 12 12" aria-hidden="true" focusable="false"><path d="{}" stroke="none"/></svg>',
        SHAPES[name],
    )


@register.simple_tag
def status_badge(status: str) -> SafeString:
    """The state of a run: shape, word and colour."""
    return format_html(
        '<span class="badge badge--{}" data-status="{}">{}{}</span>',
        status,
        status,
        shape(STATUS_SHAPES[status]),
        RunStatus(status).label,
    )


@register.simple_tag
def run_badge(run: Run) -> SafeString:
    """The state of a run, or that its program elsewhere is not heard of any more."""
    if lost_since(run) is None:
        return status_badge(run.status)
    return format_html('<span class="badge badge--warn" data-status="lost">{}{}</span>', shape("half"), "Lost contact")


@register.simple_tag
def sparkline(points: Sequence[Sequence[float]], label: str, modifier: str = "") -> SafeString:
    """A small curve; ``modifier`` "large" fills the width."""
    drawing = spark(points)
    if drawing is None:
        return format_html('<span class="spark spark--none">{}</span>', "no measurements yet")
    return _svg(drawing, label, modifier)


def _svg(drawing: Spark, label: str, modifier: str) -> SafeString:
    base = format_html('<path class="spark__base" d="M0 {}H{}"/>', HEIGHT, WIDTH)
    area = format_html('<path class="spark__area" d="{}"/>', drawing.area)
    return format_html(
        '<svg class="spark{}" viewBox="0 0 {} {}" preserveAspectRatio="none" role="img" aria-label="{}: {}">'
        '{}{}<path class="spark__line" d="{}"/></svg>',
        f" spark--{modifier}" if modifier else "",
        WIDTH,
        HEIGHT,
        label,
        drawing.words,
        base,
        area,
        drawing.line,
    )


@register.simple_tag
def ago(moment: datetime | None, empty: str = "never") -> SafeString:
    """A moment in words; the shell's script keeps it current, the title holds the exact time."""
    if moment is None:
        return format_html("{}", empty)
    return format_html(
        '<time datetime="{}" title="{} UTC" data-ago>{} ago</time>',
        moment.isoformat(),
        f"{moment:%Y-%m-%d %H:%M:%S}",
        timesince(moment, depth=1),
    )


@register.filter
def method_title(slug: str) -> str:
    """The method's title, or its slug when the method is not installed any more."""
    return next((method.title for method in all_methods() if method.slug == slug), slug)


@register.filter
def override_label(path: str, slug: str) -> str:
    """A field's label by its path: ``method.optimizer.lr`` is "Learning rate"."""
    try:
        found = find_field(slug, path) or find_field(slug, path.rpartition(".")[0])
    except ValueError:  # a method that is not installed any more
        found = None
    return found.label if found else path


@register.filter
def headline_title(slug: str) -> str:
    """What a method's sparkline measures: "Held-out accuracy, sampled"."""
    method = next((method for method in all_methods() if method.slug == slug), None)
    if method is None:
        return "Headline measurement"
    lines = ((chart.title, label, name) for chart in method.charts for name, label in chart.series)
    found = next(((title, label) for title, label, name in lines if name == method.headline_metric), None)
    return f"{found[0]}, {found[1].lower()}" if found else method.headline_metric


@register.filter
def number(value: float | None) -> str:
    """A figure in at most three significant digits: 1234567 becomes 1.23 M."""
    if value is None:
        return "–"
    for limit, suffix in ((1e12, " T"), (1e9, " G"), (1e6, " M"), (1e4, " k")):
        if abs(value) >= limit:
            return f"{value / (limit if limit != 1e4 else 1e3):.3g}{suffix}"
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:.3g}"


@register.filter
def file_size(num_bytes: float) -> str:
    for limit, suffix in ((2**40, "TiB"), (2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if num_bytes >= limit:
            return f"{num_bytes / limit:.3g} {suffix}"
    return f"{num_bytes:.0f} B"


@register.filter
def duration(seconds: float) -> str:
    """A span in the two largest sensible units: 5400 becomes 1 h 30 min."""
    seconds = max(0, round(seconds))
    if seconds < 60:
        return f"{seconds} s"
    minutes, rest = divmod(seconds, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if minutes < 10 and rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h" if hours else f"{days} d"


@register.filter
def lookup(mapping: dict[str, Any], key: str) -> Any:
    """``mapping[key]``, empty where the key is missing."""
    return mapping.get(key, "")


@register.simple_tag
def attributes(values: dict[str, Any]) -> SafeString:
    """HTML attributes from a mapping; None and False are left out, True stands alone."""
    written = [
        (key, "" if value is True else value)
        for key, value in values.items()
        if value is not None and value is not False
    ]
    return format_html_join("", ' {}="{}"', written)


_DEEDS = {
    "workspace.created": "created the workspace",
    "member.added": "added {member} as {role}",
    "member.role_changed": "made {member} {to} (was {from})",
    "member.removed": "removed {member}",
    "member.left": "left",
    "experiment.created": "composed {name}",
    "experiment.rehearsed": "rehearsed {name}",
    "template.created": "kept {name} as a template",
    "template.saved": "saved version {version} of the template {name}",
    "template.renamed": "renamed the template {from} to {name}",
    "template.retired": "retired the template {name}",
    "template.revived": "offered the template {name} again",
    "example.added": "laid out the example",
    "example.removed": "took the example away",
    "experiment.archived": "archived an experiment",
    "run.created": "launched a run with seed {seed}",
    "run.cancel_requested": "stopped a run",
    "run.pause_requested": "paused a run",
    "run.resume_requested": "resumed a run",
    "run.checkpoint_requested": "asked for a checkpoint",
    "run.priority_changed": "changed a priority from {from} to {to}",
    "run.moved_in_queue": "moved a run in the queue from place {from} to {to}",
    "secret.set": "set the secret {name}",
    "secret.removed": "removed the secret {name}",
    "run.requeued": "queued a run again",
    "run.archived": "archived a run",
    "run.restored": "put an archived run back",
    "run.tagged": "tagged a run: {tags}",
    "view.saved": "saved the view {name}",
    "view.deleted": "deleted the view {name}",
    "run.overrule_ordered": "had a run learn another verdict on {episode}",
    "run.knob_ordered": "turned {path} of a run to {value}",
    "run.question_ordered": "changed a run's pool of questions",
    "dataset.made": "made the data set {name} of {rows} rows",
    "comment.added": "commented on {place}",
    "comment.deleted": "took a comment away",
    "verdict.given": "called a turn of {episode} {label}",
    "verdict.withdrawn": "took back a verdict on {episode}",
    "run.shared": "shared a run by link",
    "league.created": "made the league {name}",
    "league.idle_changed": "changed whether idle workers play for a league",
    "league.archived": "archived a league",
    "job.asked": "asked a worker for a job: {kind}",
    "job.cancelled": "stopped a job",
    "run.share_revoked": "took back a share link",
    "checkpoint.named": "promoted the checkpoint of step {step} as {name}",
    "checkpoint.unnamed": "took the name of a checkpoint back",
    "checkpoint.removed": "removed the checkpoint of step {step}",
    "dataset.created": "kept the data set {name}",
    "dataset.version_saved": "saved version {version} of the data set {name}",
    "dataset.retired": "retired the data set {name}",
    "report.created": "began the report {title}",
    "report.saved": "edited the report {title}",
    "report.archived": "archived the report {title}",
    "report.shared": "shared the report {title} by link",
    "report.share_revoked": "took back a link to the report {title}",
}


class _Missing(dict[str, Any]):
    def __missing__(self, key: str) -> str:
        return "?"


@register.filter
def audit_words(event: AuditEvent) -> str:
    """A line of the audit trail as a sentence."""
    deed = _DEEDS.get(event.action, event.action.replace(".", " ").replace("_", " "))
    return f"{event.actor or 'The system'} {deed.format_map(_Missing(event.detail))}"
