"""Before and after: the first, best and newest evaluation of a suite side by side."""

from typing import Any

from webapp.experiments.models import Run
from webapp.telemetry.models import Event
from webapp.telemetry.selectors import evaluations

CLEAR_CHANGE = 0.01


def compared_suites(run: Run) -> list[dict[str, Any]]:
    """Each suite with its scores and the items that were kept for reading."""
    return [_suite(name, found) for name, found in evaluations(run).items()]


def _suite(name: str, found: dict[str, Event]) -> dict[str, Any]:
    first, last = found["first"], found["last"]
    return {
        "title": f"{name.replace('_', '-').capitalize()} items",
        "num_items": last.data["num_items"],
        **found,
        "scores": [_score(score, found) for score in sorted(last.data["scores"], reverse=True)],
        "items": _items(first.data.get("items") or [], last.data.get("items") or []),
    }


def _score(name: str, found: dict[str, Event]) -> dict[str, str]:
    first, last = found["first"].data["scores"].get(name), found["last"].data["scores"][name]
    words = {place: _words(name, event.data["scores"].get(name)) for place, event in found.items()}
    change = None if first is None or last is None else last - first
    return {"title": name.replace("_", " ").capitalize(), **words, **_change(name, change)}


def _change(name: str, change: float | None) -> dict[str, str]:
    if change is None:
        return {"change": "–", "tone": "plain"}
    is_clear = _is_share(name) and abs(change) >= CLEAR_CHANGE
    tone = ("good" if change > 0 else "bad") if is_clear else "plain"
    sign = "+" if change >= 0 else "−"
    amount = f"{100 * abs(change):.1f} points" if _is_share(name) else f"{abs(change):.3g}"
    return {"change": f"{sign}{amount}", "tone": tone}


def _words(name: str, value: float | None) -> str:
    if value is None:
        return "–"
    return f"{100 * value:.1f}%" if _is_share(name) else f"{value:.3g}"


def _is_share(name: str) -> bool:
    return name.startswith("accuracy")


def _items(before: list[dict[str, Any]], now: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Items by question: what was answered before, what is answered now."""
    earlier = {item["question"]: item for item in before}
    return [
        {
            "question": item["question"],
            "expected": item["expected"],
            "first": earlier.get(item["question"]),
            "last": item,
        }
        for item in now
    ]
