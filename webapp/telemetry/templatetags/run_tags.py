"""Small words of the run page."""

import re
from datetime import UTC, datetime
from typing import Any

from django import template
from django.utils.html import format_html_join
from django.utils.safestring import SafeString

from webapp.experiments.models import Run
from webapp.telemetry.state import actions_of

register = template.Library()


@register.filter
def actions(run: Run) -> tuple[str, ...]:
    """What may be done with the run now."""
    return actions_of(run)


@register.filter
def signed(value: float | None) -> str:
    """A number with its sign and a true minus: +0.80."""
    return "" if value is None else f"{value:+.2f}".replace("-", "−")


@register.filter
def clock(unix_s: float) -> str:
    """Time of day in UTC of a moment in Unix seconds."""
    return f"{datetime.fromtimestamp(unix_s, UTC):%H:%M:%S}"


@register.filter
def finding(value: str | float | bool) -> str:
    """A fact of a sample in words: yes, no, a number in at most four digits, or the text itself."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value if isinstance(value, str) else f"{value:.4g}"


@register.filter
def share(value: float) -> str:
    """A share in per cent: 0.756 becomes 76 %."""
    return f"{100 * value:.0f} %"


@register.filter
def hardness(solved: float | None) -> int:
    """The shade of a share solved: 4 where nobody solves it, -4 where everybody does."""
    return 0 if solved is None else round(8 * (0.5 - solved))


@register.filter
def generation(depth: int) -> int:
    """How far a question is set in; from the sixth generation on no farther."""
    return min(depth, 6)


@register.filter
def unlocalized(value: float) -> str:
    """A coordinate of a drawing, with a point whatever the language."""
    return f"{value:g}"


@register.filter
def points(rows: list[dict[str, Any]], name: str) -> list[tuple[float, float]]:
    """Rows with a step as the points of a small curve; those without the value are left out."""
    return [(row["step"], row[name]) for row in rows if row[name] is not None]


@register.filter
def breakable(name: str) -> SafeString:
    """A name such as ``reward_term/solver_judge`` that may go on in the next line behind its marks."""
    return format_html_join("", "{}<wbr>", ((part,) for part in re.split(r"(?<=[/_.])", name)))


@register.filter
def spaced(name: str) -> str:
    """``held_out`` as words."""
    return name.replace("_", " ")
