"""Where a run's own questions come from: families that grow from one ancestor, how hard each generation is, which have died out."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from django.db.models import Avg, Sum
from django.http import Http404

from webapp.experiments.models import Run
from webapp.telemetry.models import Event, Sample

MOST_MADE, MOST_SHOWN, MOST_LISTED = 20_000, 150, 12
_DEAD_AFTER = 0.25
"""A family that has had no child for this share of the run's steps has died out."""
_SMALL = 3
"""Families with fewer questions are not spoken of."""


@dataclass(kw_only=True)
class Question:
    """One question of the tree: ``Question(key="3f...", parent="a0...", title="12 + 7?", step=4, solved=0.4)``."""

    key: str
    parent: str
    title: str
    step: int
    """When it was first made; 0 for a seed."""
    seq: int
    solved: float | None = None
    kept: bool = False
    times: int = 0
    """How often it was made."""
    depth: int = 0
    """Generations from the ancestor."""
    children: list[str] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Family:
    """Everything that grew from one ancestor."""

    root: Question
    size: int
    """Descendants."""
    num_kept: int
    generations: int
    last_step: int
    path: tuple[tuple[int, float], ...]
    """Mean share solved of each generation where it is known."""


def questions_of(run: Run) -> dict[str, Question]:
    """The tree of the newest ``MOST_MADE`` questions that were made, by key. A question that was made again stays where it first
    stood, so that a family has no circles; a parent that was never made here is a seed."""
    newest = Sample.objects.filter(run=run, made=True).order_by("-seq")
    rows = newest.values_list("seq", "step", "group_key", "parent_key", "title", "solved", "kept")[:MOST_MADE]
    tree: dict[str, Question] = {}
    for seq, step, key, made_from, title, solved, kept in reversed(list(rows)):
        if key not in tree:
            parent = "" if made_from == key else made_from
            if parent and parent not in tree:
                tree[parent] = Question(key=parent, parent="", title="", step=0, seq=seq)
            depth = tree[parent].depth + 1 if parent else 0
            tree[key] = Question(key=key, parent=parent, title=title, step=step, seq=seq, solved=solved, depth=depth)
            if parent:
                tree[parent].children.append(key)
        node = tree[key]
        node.title = node.title or title
        node.kept = node.kept or bool(kept)
        node.times += 1
    return tree


def families(tree: dict[str, Question]) -> list[Family]:
    """All families of some size, the largest first."""
    found = [_family(tree, node) for node in tree.values() if not node.parent and node.children]
    return sorted((each for each in found if each.size >= _SMALL), key=lambda each: (-each.size, each.root.key))


def fruitful(found: Iterable[Family]) -> list[Family]:
    """Those with most questions that were kept."""
    return sorted((each for each in found if each.num_kept), key=lambda each: -each.num_kept)[:MOST_LISTED]


def dead(found: Iterable[Family], last_step: int) -> list[Family]:
    """Those of which nothing was kept, or that have had no child for long, the largest first."""
    limit = last_step * (1 - _DEAD_AFTER)
    return [each for each in found if not each.num_kept or each.last_step < limit][:MOST_LISTED]


def _family(tree: dict[str, Question], root: Question) -> Family:
    members = [tree[key] for key in _descendants(tree, root.key)]
    by_depth: dict[int, list[float]] = {}
    for member in (root, *members):
        if member.solved is not None:
            by_depth.setdefault(member.depth, []).append(member.solved)
    return Family(
        root=root,
        size=len(members),
        num_kept=sum(member.kept for member in members),
        generations=max((member.depth for member in members), default=0),
        last_step=max((member.step for member in members), default=0),
        path=tuple((depth, fmean(values)) for depth, values in sorted(by_depth.items())),
    )


def _descendants(tree: dict[str, Question], key: str) -> list[str]:
    """In reading order: each followed by those made from it."""
    found: list[str] = []
    waiting = list(reversed(tree[key].children))
    while waiting:
        child = waiting.pop()
        found.append(child)
        waiting.extend(reversed(tree[child].children))
    return found


def family_tree(run: Run, key: str) -> dict[str, Any]:
    """A question with its ancestors, oldest first, and its descendants in reading order; 404 where it is none of this run's."""
    tree = questions_of(run)
    if key not in tree:
        raise Http404("This question was neither made in this run nor the ancestor of one that was.")
    ancestors: list[Question] = []
    above = tree[key].parent
    while above:
        ancestors.insert(0, tree[above])
        above = tree[above].parent
    below = _descendants(tree, key)
    shown = [*ancestors, tree[key], *(tree[each] for each in below[:MOST_SHOWN])]
    measure(run, shown)
    return {
        "question": tree[key],
        "ancestors": ancestors,
        "descendants": shown[len(ancestors) + 1 :],
        "num_hidden": max(0, len(below) - MOST_SHOWN),
        "family": _family(tree, tree[key]),
    }


def measure(run: Run, shown: list[Question]) -> None:
    """Give the questions that are shown their share solved over all times they were played, and seeds their words."""
    rows = Sample.objects.filter(run=run, group_key__in=[each.key for each in shown]).values("group_key")
    found = {row["group_key"]: row for row in rows.annotate(r=Sum("num_right"), w=Sum("num_wrong"), mean=Avg("solved"))}
    for each in shown:
        if row := found.get(each.key):
            known = row["r"] + row["w"]
            each.solved = row["r"] / known if known else row["mean"]
    nameless = {each.seq: each for each in shown if not each.title}
    texts = Event.objects.filter(run=run, seq__in=nameless).values_list("seq", "data__parent", "data__facts__reference")
    for seq, parent, reference in texts:
        nameless[seq].title = str(parent or reference or "")
