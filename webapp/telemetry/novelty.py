"""How alike a run's own questions are: a map of their novelty, groups of near-equal ones, and those that equal held-out items.

Texts are compared by the share of character 4-grams they have in common (Jaccard), estimated from 64 minima of hashes (MinHash,
Broder 1997), on a bounded, evenly spread choice of the questions.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from webapp.experiments.models import Run
from webapp.telemetry.models import Event, Sample
from webapp.telemetry.sample_index import group_key

MOST_MAPPED, MOST_CLUSTERS = 1000, 12
NEAR = 0.7
"""Questions at least so alike are near-equal."""
WIDTH, HEIGHT, MARGIN = 640, 220, 28
_NUM_HASHES, _GRAM = 64, 4
_PRIME = (1 << 31) - 1
NUM_HUES = 6


@dataclass(frozen=True, kw_only=True)
class Dot:
    """A question on the map; ``hue`` is 0 for one that belongs to no large group."""

    x: float
    y: float
    hue: int
    title: str
    key: str


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """Near-equal questions: ``Cluster(example="What is 12 + 7?", size=31, first_step=2, last_step=60, hue=1)``."""

    example: str
    key: str
    size: int
    first_step: int
    last_step: int
    hue: int


@dataclass(frozen=True, kw_only=True)
class Map:
    dots: list[Dot]
    clusters: list[Cluster]
    num_mapped: int
    num_made: int
    novelty: float
    """Mean of 1 minus the likeness to the most alike earlier question."""
    first_step: int
    last_step: int


def novelty_map(run: Run) -> Map | None:
    """The map of the questions made so far; None before there are two."""
    rows = Sample.objects.filter(run=run, made=True).order_by("seq")
    num_made = rows.count()
    if num_made < 2:
        return None
    every = list(rows.values_list("step", "title", "group_key"))
    if num_made > MOST_MAPPED:
        every = [every[place * num_made // MOST_MAPPED] for place in range(MOST_MAPPED)]
    novelty, owner = compare([title for _, title, _ in every])
    sizes = Counter(owner)
    large = [leader for leader, size in sizes.most_common(MOST_CLUSTERS) if size > 1]
    hues = {leader: place + 1 if place < NUM_HUES else 0 for place, leader in enumerate(large)}
    first, last = every[0][0], every[-1][0]
    dots = [
        Dot(
            x=round(MARGIN + (WIDTH - 2 * MARGIN) * (step - first) / max(last - first, 1), 1),
            y=round(HEIGHT - MARGIN - (HEIGHT - 2 * MARGIN) * novelty[place], 1),
            hue=hues.get(owner[place], 0),
            title=title,
            key=key,
        )
        for place, (step, title, key) in enumerate(every)
    ]
    members = {leader: [place for place, own in enumerate(owner) if own == leader] for leader in large}
    clusters = [
        Cluster(
            example=every[leader][1],
            key=every[leader][2],
            size=sizes[leader],
            first_step=every[members[leader][0]][0],
            last_step=every[members[leader][-1]][0],
            hue=hues[leader],
        )
        for leader in large
    ]
    return Map(
        dots=dots,
        clusters=clusters,
        num_mapped=len(every),
        num_made=num_made,
        novelty=float(np.mean(novelty)),
        first_step=first,
        last_step=last,
    )


def compare(texts: Sequence[str]) -> tuple[list[float], list[int]]:
    """The novelty of each text, 1 minus its likeness to the most alike one before it, and the first text of its group."""
    signatures = np.stack([_signature(text) for text in texts])
    novelty, owner = [1.0], [0]
    for place in range(1, len(texts)):
        alike = (signatures[:place] == signatures[place]).mean(axis=1)
        nearest = int(alike.argmax())
        novelty.append(1.0 - float(alike[nearest]))
        owner.append(owner[nearest] if alike[nearest] >= NEAR else place)
    return novelty, owner


def _hash_family() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    rng = np.random.default_rng(1)
    return rng.integers(1, _PRIME, _NUM_HASHES), rng.integers(0, _PRIME, _NUM_HASHES)


_FACTORS, _SHIFTS = _hash_family()


def _signature(text: str) -> NDArray[np.int64]:
    plain = f" {' '.join(text.lower().split())} "
    grams = {plain[place : place + _GRAM] for place in range(max(1, len(plain) - _GRAM + 1))}
    hashes = np.array([crc32(gram.encode()) % _PRIME for gram in grams], dtype=np.int64)
    mixed: NDArray[np.int64] = ((hashes[:, None] * _FACTORS + _SHIFTS) % _PRIME).min(axis=0)
    return mixed


def contamination(run: Run) -> dict[str, Any] | None:
    """Questions made here that equal a held-out item which can be read, and those set aside as reserved; None without items."""
    newest = (
        Event.objects.filter(run=run, kind="evaluation").order_by("-seq").values_list("data__items", flat=True).first()
    )
    keys = {group_key(str(item["question"])) for item in newest or ()}
    made = Sample.objects.filter(run=run, made=True)
    reserved = made.filter(discard_reason="reserved for evaluation").count()
    if not keys and not reserved:
        return None
    return {"num_items": len(keys), "num_equal": made.filter(group_key__in=keys).count(), "num_reserved": reserved}
