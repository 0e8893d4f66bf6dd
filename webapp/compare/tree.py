"""Runs drawn as branching lines over their steps: what was made from what, and what was changed on the way."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from webapp.compare.configs import changed_words
from webapp.experiments.models import Run

WIDTH, LABELS, ROW, TOP = 1120, 430, 30, 26
_INDENT, _END = 16, 16
MAX_CHANGES = 2


@dataclass(frozen=True, kw_only=True)
class Branch:
    """One run as a line: ``Branch(run=..., depth=1, y=56, from_x=430, to_x=880, label_x=28, joint="M430 26V56", ...)``."""

    run: Run
    depth: int
    y: float
    from_x: float
    to_x: float
    label_x: float
    joint: str
    """From the run it was made from; empty for a beginning."""
    hue: int
    changes: str
    """What differs from the run it was made from, in words."""
    begins: int
    """The step of the other run at which it leaves it; 0 for a clone, which begins anew."""


@dataclass(frozen=True, kw_only=True)
class Tick:
    x: float
    words: str


@dataclass(frozen=True, kw_only=True)
class Tree:
    branches: tuple[Branch, ...]
    ticks: tuple[Tick, ...]
    is_cut: bool
    """Whether there are more runs than are drawn."""
    width: int = WIDTH
    labels: int = LABELS

    @property
    def height(self) -> int:
        return TOP + ROW * len(self.branches) + 6

    @property
    def runs(self) -> list[Run]:
        return [branch.run for branch in self.branches]


def draw_tree(runs: Sequence[Run], limit: int) -> Tree:
    """The drawing of up to ``limit`` runs; each run stands below the one it was made from, seeds beside each other."""
    drawn = {run.pk: run for run in runs[:limit]}
    parents = {run.pk: parent for run in drawn.values() if (parent := run.experiment.parent_id) in drawn}
    starts = {run.pk: _start(run, parents, drawn) for run in drawn.values()}
    longest = max((starts[run.pk] + run.last_step for run in drawn.values()), default=0) or 1
    specs = _specs({*parents, *parents.values()})
    hues: dict[UUID, int] = {}
    branches: list[Branch] = []
    rows: dict[UUID, float] = {}
    for run, depth in _in_order(list(drawn.values()), parents):
        hue = hues.setdefault(run.experiment_id, len(hues) % 8 + 1)
        y = TOP + ROW * len(branches) + ROW / 2
        rows[run.pk] = y
        from_x, to_x = _x(starts[run.pk], longest), _x(starts[run.pk] + run.last_step, longest)
        parent = parents.get(run.pk)
        begins, label_x = _forked_at(run) if parent else 0, 4 + _INDENT * min(depth, 8)
        joint = _joint(rows.get(parent), y, at=from_x if begins else None, label_x=label_x) if parent else ""
        changes = changed_words(specs[parent], specs[run.pk], MAX_CHANGES) if parent else ""
        branches.append(
            Branch(
                run=run,
                depth=depth,
                y=y,
                from_x=from_x,
                to_x=max(to_x, from_x + 4),
                label_x=label_x,
                joint=joint,
                hue=hue,
                changes=changes,
                begins=begins,
            )
        )
    return Tree(branches=tuple(branches), ticks=_ticks(longest), is_cut=len(runs) > limit)


def _joint(parent_y: float | None, y: float, *, at: float | None, label_x: float) -> str:
    """From the step of the parent's line where a fork leaves it; between the names where a clone begins anew."""
    if parent_y is None:
        return ""
    if at is not None:
        return f"M{at:.0f} {parent_y:.0f}V{y:.0f}"
    return f"M{label_x - 9:.0f} {parent_y + 7:.0f}V{y:.0f}H{label_x - 3:.0f}"


def _forked_at(run: Run) -> int:
    """The step of the parent's checkpoint this run begins from; 0 where it begins anew."""
    return run.experiment.fork_step or 0


def _start(run: Run, parents: dict[UUID, UUID], drawn: dict[UUID, Run]) -> int:
    """The step, counted from the first beginning, at which a run begins."""
    total, seen = 0, {run.pk}
    while (parent := parents.get(run.pk)) is not None:
        step = _forked_at(run)
        if not step or parent in seen:
            break
        total, run = total + step, drawn[parent]
        seen.add(parent)
    return total


def _in_order(runs: Sequence[Run], parents: dict[UUID, UUID]) -> Iterator[tuple[Run, int]]:
    """Depth first from the newest beginning; children in the order in which they were made."""
    children: dict[UUID | None, list[Run]] = {}
    for run in sorted(runs, key=lambda run: (run.created_at, run.number)):
        children.setdefault(parents.get(run.pk), []).append(run)
    seen: set[UUID] = set()
    stack = [(run, 0) for run in sorted(children.get(None, []), key=lambda run: run.created_at)]
    while stack:
        run, depth = stack.pop()
        if run.pk in seen:
            continue
        seen.add(run.pk)
        yield run, depth
        stack += [(child, depth + 1) for child in reversed(children.get(run.pk, []))]


def _specs(ids: Iterable[UUID]) -> dict[UUID, dict[str, Any]]:
    """Without the seed, which every run has of its own."""
    rows = Run.objects.filter(pk__in=list(ids)).values_list("pk", "spec")
    return {pk: {name: value for name, value in spec.items() if name != "seed"} for pk, spec in rows}


def _x(step: float, longest: int) -> float:
    return LABELS + (WIDTH - LABELS - _END) * step / longest


def _ticks(longest: int) -> tuple[Tick, ...]:
    """Four round steps along the top."""
    size = 10 ** (len(str(longest)) - 1)
    every = next((part for part in (size // 4, size // 2, size, 2 * size, 5 * size) if part and longest / part <= 5), 1)
    return tuple(Tick(x=_x(step, longest), words=f"{step:,}") for step in range(0, longest + 1, max(every, 1)))
