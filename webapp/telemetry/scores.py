"""Scores in words: shares as percentages, and whether a change is for the better."""

from webapp.telemetry.lens import Lens

CLEAR_POINTS, CLEAR_PART = 0.01, 0.02
"""Least change worth a colour: of a share, and of any other score as a part of where it began."""


def is_share(name: str) -> bool:
    """Whether a score lies between 0 and 1 and reads best as a percentage, by what its name says it measures."""
    return name.startswith(("accuracy", "win_", "draw_", "loss_", "illegal_")) or name.endswith(("_rate", "_share"))


def score_words(name: str, value: float | None) -> str:
    if value is None:
        return "–"
    return f"{100 * value:.1f}%" if is_share(name) else f"{value:.3g}"


def goal_of(name: str, lens: Lens) -> int:
    """1 where more of a score is better, -1 where less is, 0 where the method does not say."""
    if name == lens.headline.removeprefix("eval/"):
        return -1 if lens.headline_falls else 1
    return 1 if name.startswith("accuracy") else 0


def change_words(name: str, change: float) -> str:
    sign = "+" if change >= 0 else "−"
    return f"{sign}{100 * abs(change):.1f} points" if is_share(name) else f"{sign}{abs(change):.3g}"


def is_clear(name: str, first: float, change: float) -> bool:
    return abs(change) >= (CLEAR_POINTS if is_share(name) else CLEAR_PART * abs(first))
