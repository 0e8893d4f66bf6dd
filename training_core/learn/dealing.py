"""A mini-batch dealt to the processes of a run and cut into micro-batches."""

from collections.abc import Sequence
from typing import TypeVar

from training_core.distributed.parallel import Parallel, deal
from training_core.learn.logprobs import Text
from training_core.learn.packing import families
from training_core.learn.scoring import Scorer

AnyText = TypeVar("AnyText", bound=Text)


def own_micro_batches(
    score: Scorer, texts: Sequence[AnyText], *, budget_tokens: int, parallel: Parallel
) -> list[tuple[list[AnyText], int]]:
    """The micro-batches of this process, each with 1, or with 0 where it only keeps step with the others and must not count.

    All processes get equally many, because the weights they share are gathered by all at once. Siblings stay together.
    """
    groups = families(texts)
    if len(groups) < parallel.size:
        groups = [[index] for index in range(len(texts))]
    dealt = deal([sum(texts[index].length for index in group) for group in groups], parallel.size)
    # Dealing sorts by size; the order of the batch is put back, for neighbours are alike.
    hands = [sorted(index for place in hand for index in groups[place]) for hand in dealt]
    cuts = [score.cut([texts[index] for index in hand], budget_tokens=budget_tokens) for hand in hands]
    hand = hands[parallel.rank]
    mine = [([texts[hand[place]] for place in batch], 1) for batch in cuts[parallel.rank]]
    num_idle = max(map(len, cuts)) - len(mine)
    return mine + [([min(texts, key=lambda text: text.length)], 0) for _ in range(num_idle)]
