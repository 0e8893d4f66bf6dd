"""Training-side items in a fixed random order, none twice: what methods deal to rounds that may not share a prompt."""

import random
from collections.abc import Iterator

from training_core.tasks.base import MAX_MISSES, Domain, Item


class Deck:
    """``Deck(domain, random.Random(7)).items(range(64, 96))``: equal seeds give equal decks, so a deck is no state to keep.

    A task with fewer items than are asked for begins again once all have been dealt.
    """

    def __init__(self, domain: Domain, rng: random.Random) -> None:
        self._fresh = _different_items(domain, rng)
        self._items: list[Item] = []

    def items(self, places: range) -> list[Item]:
        """The items at these places of the deck, counted from 0."""
        while len(self._items) < places.stop and (item := next(self._fresh, None)) is not None:
            self._items.append(item)
        return [self._items[place % len(self._items)] for place in places]


def _different_items(domain: Domain, rng: random.Random) -> Iterator[Item]:
    """Random items of the training side until no new one is found."""
    seen: set[str] = set()
    misses = 0
    while misses < MAX_MISSES:
        item = domain.sample(rng)
        if item.question in seen:
            misses += 1
            continue
        misses = 0
        seen.add(item.question)
        yield item
