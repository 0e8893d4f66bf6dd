"""What templates ask about what people said."""

from typing import Any

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from webapp.experiments.models import Run
from webapp.review.judged import judged_turns
from webapp.review.models import Mark
from webapp.review.notes import Thread, marks_on, threads_at
from webapp.review.selectors import verdicts_on
from webapp.review.statistics import Kappa, Rate
from webapp.telemetry.models import Event

register = template.Library()


@register.simple_tag
def people_on(run: Run, sample: Event, turn: int) -> dict[str, Any] | None:
    """What people said of a judged turn, and what the judge did; None for a turn that nobody judged."""
    known = getattr(sample, "_people", None)
    if known is None:
        judged = {each.turn: each for each in judged_turns(sample.data)}
        known = (judged, verdicts_on(run, str(sample.data["episode"])) if judged else {})
        sample._people = known  # type: ignore[attr-defined]  # one query for all turns of a sample
    judged, verdicts = known
    if turn not in judged:
        return None
    return {"judged": judged[turn], "verdicts": verdicts.get(turn, [])}


@register.simple_tag
def comments_at(run: Run, place_kind: str, place: str = "") -> list[Thread]:
    """The threads at a place of a run."""
    return threads_at(run, place_kind, place)


@register.simple_tag
def marks_of(run: Run, episode: str) -> list[Mark]:
    """The pins, flags and tags of a sample."""
    return marks_on(run, episode)


@register.simple_tag
def marked_with(marks: list[Mark], kind: str) -> Mark | None:
    """The mark of a kind among the marks of a sample."""
    return next((mark for mark in marks if mark.kind == kind), None)


@register.filter
def percent(value: float | str | None) -> str:
    """0.834 as "83 %"; templates read the value of a rate that does not exist as an empty text."""
    return f"{100 * value:.0f} %" if isinstance(value, float) else "–"


@register.filter
def interval(found: Rate | Kappa | str | None) -> str:
    """The ends of an interval: "66 to 93 %" of a share, "0.21 to 0.64" of a kappa."""
    if found is None or isinstance(found, str):
        return "–"
    if isinstance(found, Kappa):
        return f"{found.low:.2f} to {found.high:.2f}".replace("-", "−")
    return f"{100 * found.low:.0f} to {100 * found.high:.0f} %"


@register.simple_tag
def whisker(found: Rate | None, label: str) -> SafeString:
    """A share with its interval on a line from 0 to 100 %; the numbers stand beside it in words."""
    if found is None:
        return SafeString("")
    return format_html(
        '<svg class="whisker" viewBox="0 0 100 10" preserveAspectRatio="none" role="img" aria-label="{}">'
        '<line class="whisker__line" x1="0" x2="100" y1="5" y2="5"/><rect class="whisker__range" x="{}" y="2.5" width="{}" height="5"/>'
        '<rect class="whisker__point" x="{}" y="0.5" width="1.5" height="9"/></svg>',
        f"{label}: {percent(found.value)}, between {interval(found)}",
        f"{100 * found.low:.1f}",
        f"{100 * found.width:.1f}",
        f"{min(98.5, max(0.0, 100 * found.value - 0.75)):.1f}",
    )


@register.filter
def numbered(values: list[float]) -> list[list[float]]:
    """Values with their number, as a sparkline reads them."""
    return [[float(number), value] for number, value in enumerate(values, start=1)]
