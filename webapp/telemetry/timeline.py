"""Where time went, step by step: when play, update, hand-over and evaluation began and how long each took."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from training_core.spec.events import EventKind
from webapp.experiments.models import Run
from webapp.pages.tags import number
from webapp.telemetry.lens import Lens, lens_of
from webapp.telemetry.models import Event
from webapp.telemetry.moments import seq_at

STEPS = 12
WIDTH = 1000.0
"""Units of the drawing from its left to its right."""
LANES = {
    "rollout": ("Play", "part-1"),
    "update": ("Update", "part-5"),
    "wait": ("Waiting for play", "part-10"),
    "publish": ("New weights to the sampler", "part-9"),
    "evaluate": ("Evaluation", "series-3"),
}


@dataclass(frozen=True, kw_only=True)
class Bar:
    """A stretch of time in a lane, in units of the drawing, with what it is in words."""

    x: float
    width: float
    tint: str
    words: str


@dataclass(kw_only=True)
class Spell:
    """One step's parts: when each began, in Unix seconds, and how long it took."""

    step: int
    began: dict[str, float] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    shares: dict[str, float] = field(default_factory=dict)
    """Share of the sampled tokens that each role said."""

    def end(self, part: str) -> float:
        return self.began[part] + self.seconds[part]


def timeline(run: Run, *, at: int | None = None) -> dict[str, Any] | None:
    """The last steps up to ``at`` as lanes and rows; None for a run that tells no beginnings."""
    last = run.last_step if at is None else min(at, run.last_step)
    spells = _spells(run, max(0, last - STEPS + 1), last)
    moments = [moment for spell in spells for part in spell.began for moment in (spell.began[part], spell.end(part))]
    if not moments:
        return None
    begin, span = min(moments), max(max(moments) - min(moments), 1e-6)
    lens = lens_of(run)
    lanes = [
        {"name": part, "title": title, "bars": bars}
        for part, (title, tint) in LANES.items()
        if (bars := [bar for spell in spells for bar in _bars(spell, part, tint, lens, begin=begin, span=span)])
    ]
    rows = [_row(spell, begin) for spell in spells]
    return {
        "lanes": lanes,
        "rows": rows,
        "roles": _roles(spells, lens),
        "first": spells[0].step,
        "last": spells[-1].step,
        "span": span,
        "words": _words(spells),
    }


def _spells(run: Run, first: int, last: int) -> list[Spell]:
    after, up_to = (seq_at(run, first - 1) if first > 0 else 0), seq_at(run, last)
    rows = Event.objects.filter(run=run, kind=EventKind.METRIC, seq__gt=after, seq__lte=up_to).order_by("seq")
    spells: dict[int, Spell] = {}
    for step, values in rows.values_list("step", "data__values"):
        _add(spells.setdefault(step, Spell(step=step)), values)
    return [spell for spell in spells.values() if spell.began]


def _add(spell: Spell, values: Mapping[str, float | None]) -> None:
    for part in LANES:
        began, seconds = values.get(f"time/{part}_at_s"), values.get(f"time/{part}_s")
        if began and seconds is not None:
            spell.began[part], spell.seconds[part] = began, seconds
    prefix = "tokens/share_"
    spell.shares |= {name.removeprefix(prefix): v for name, v in values.items() if v and name.startswith(prefix)}


def _bars(spell: Spell, part: str, tint: str, lens: Lens, *, begin: float, span: float) -> list[Bar]:
    """The bar of a part; that of play is shared out among the roles by the tokens they said."""
    if part not in spell.began:
        return []
    x, width = WIDTH * (spell.began[part] - begin) / span, WIDTH * spell.seconds[part] / span
    title = LANES[part][0].lower()
    words = f"Step {spell.step}: {title} {_seconds(spell.seconds[part])}"
    if part != "rollout" or not spell.shares:
        return [Bar(x=x, width=max(width, 0.5), tint=tint, words=words)]
    bars = []
    for role in _in_order(spell.shares, lens):
        share = spell.shares[role]
        said = f"{words}, {100 * share:.0f}% of the tokens by the {lens.role_title(role)}"
        bars.append(Bar(x=x, width=max(width * share, 0.5), tint=_tint(role, lens), words=said))
        x += width * share
    return bars


def _roles(spells: list[Spell], lens: Lens) -> list[dict[str, str]]:
    """Who has a part in the bars of play."""
    names = _in_order({role for spell in spells for role in spell.shares}, lens)
    return [{"title": lens.role_title(role), "tint": _tint(role, lens)} for role in names]


def _in_order(names: Iterable[str], lens: Lens) -> list[str]:
    """In the order in which the method names its roles."""
    known = [role.name for role in lens.roles]
    return sorted(names, key=lambda name: (known.index(name) if name in known else len(known), name))


def _tint(role: str, lens: Lens) -> str:
    return f"series-{lens.hues[role]}" if role in lens.hues else LANES["rollout"][1]


def overlap_s(spells: list[Spell]) -> float:
    """Seconds a step, on average, in which the play of a later step ran beside an update."""
    plays = [(spell.began["rollout"], spell.end("rollout")) for spell in spells if "rollout" in spell.began]
    updates = [(spell.began["update"], spell.end("update")) for spell in spells if "update" in spell.began]
    beside = sum(max(0.0, min(a[1], b[1]) - max(a[0], b[0])) for a in plays for b in updates)
    return beside / len(spells)


def _row(spell: Spell, begin: float) -> dict[str, Any]:
    cells = [number(spell.seconds[part]) if part in spell.seconds else "–" for part in LANES]
    return {"step": spell.step, "begins": number(min(spell.began.values()) - begin), "cells": cells}


def _words(spells: list[Spell]) -> str:
    """A step's seconds by part, and how much play and update overlap."""
    means = {part: fmean(spell.seconds.get(part, 0.0) for spell in spells) for part in LANES}
    total = sum(means.values())
    told = [f"{LANES[part][0].lower()} {100 * s / total:.0f}%" for part, s in means.items() if s / total >= 0.005]
    beside = overlap_s(spells)
    ahead = f" Play runs beside the update for {_seconds(beside)} of it." if beside > 0.01 * total else ""
    return f"A step holds {_seconds(total)} of work: {', '.join(told)}.{ahead}"


def _seconds(value: float) -> str:
    return f"{1000 * value:.0f} ms" if value < 0.0995 else f"{value:.2g} s" if value < 100 else f"{value:.0f} s"
