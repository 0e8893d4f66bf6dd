"""Before and after: the first, best and newest evaluation of a suite side by side."""

from collections.abc import Collection
from typing import Any

from webapp.experiments.models import Run
from webapp.telemetry.leagues import Rated, read_league
from webapp.telemetry.lens import Lens, lens_of
from webapp.telemetry.models import Event
from webapp.telemetry.scores import change_words, goal_of, is_clear, score_words
from webapp.telemetry.selectors import evaluations, leagues


def compared_suites(run: Run) -> list[dict[str, Any]]:
    """Each suite with its scores, its league, and the items that were kept for reading."""
    lens, rated = lens_of(run), leagues(run)
    return [_suite(name, found, rated.get(name, []), lens) for name, found in evaluations(run).items()]


def _suite(name: str, found: dict[str, Event], rated: list[Rated], lens: Lens) -> dict[str, Any]:
    first, last = found["first"], found["last"]
    return {
        "title": f"{name.replace('_', '-').capitalize()} items",
        "num_items": last.data["num_items"],
        **found,
        "scores": [_score(score, title, found, lens) for score, title in titled_scores(last.data["scores"], lens)],
        "league": read_league(rated),
        "items": _items(first.data.get("items") or [], last.data.get("items") or []),
    }


def titled_scores(scores: Collection[str], lens: Lens) -> list[tuple[str, str]]:
    """The scores with their titles, in the order and the words of the method's charts; what no chart shows comes last."""
    titles: dict[str, str] = {}
    for chart in lens.charts:
        for name, label in chart.series:
            if name.startswith("eval/"):
                titles.setdefault(name.removeprefix("eval/"), f"{chart.title}: {label}")
    known = [(name, title) for name, title in titles.items() if name in scores]
    return [*known, *((name, name.replace("_", " ").capitalize()) for name in sorted(scores) if name not in titles)]


def _score(name: str, title: str, found: dict[str, Event], lens: Lens) -> dict[str, str]:
    first, last = found["first"].data["scores"].get(name), found["last"].data["scores"][name]
    words = {place: score_words(name, event.data["scores"].get(name)) for place, event in found.items()}
    if first is None or last is None:
        return {"title": title} | words | {"change": "–", "tone": "plain"}
    goal, change = goal_of(name, lens), last - first
    tone = ("good" if change * goal > 0 else "bad") if goal and is_clear(name, first, change) else "plain"
    return {"title": title} | words | {"change": change_words(name, change), "tone": tone}


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
