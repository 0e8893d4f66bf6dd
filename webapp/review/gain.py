"""How much a person's answer would teach: the order of the review queue. Pure functions.

The chance p that a person calls an item right is guessed from four kinds of evidence, each a share with a weight:

    own verdicts      each score s of the judge, weight 1
    siblings          the judge's value of each other turn that gives the same answer to the same question, weight 1/2
    the group         the share of the answers to this question that equal this one, weight 1, from three answers on
    people so far     how often people called right what this judge scored alike: (right + 1/2) / (labels + 1) over the
                      item's fifth of the scale, weight min(labels, 3)

    p = sum of weight * share / sum of weights,   gain = H(p) / (1 + labels of others),   H(p) = -p log2 p - (1-p) log2 (1-p)

H is 1 bit where the evidence is divided (verdicts or siblings that contradict each other, scores near one half, an answer
that the judge accepts and the group does not give, a judge that people contradict) and 0 where all of it agrees. An item
whose truth a verifier knows has gain 0: nobody needs to be asked.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log2

NUM_BINS = 5
MAX_PEOPLE = 3.0
MIN_GROUP = 3


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What is known of an item: ``Evidence(scores=(1.0, 0.0), siblings=(0.9,), share=0.25, right=3, labels=4, others=0)``."""

    scores: Sequence[float]
    siblings: Sequence[float] = ()
    share: float | None = None
    """Share of the group's answers that equal this one; None where the group is too small."""
    right: int = 0
    """How often people called right what this judge scored in the same fifth of the scale."""
    labels: int = 0
    """How often they called it right or wrong."""
    others: int = 0
    """Labels of other people on this very item."""
    is_known: bool = False
    """A verifier knows the truth."""


def belief(found: Evidence) -> float:
    """The chance that a person calls the item right."""
    weighed = [(score, 1.0) for score in found.scores] or [(0.5, 1.0)]
    weighed += [(value, 0.5) for value in found.siblings]
    if found.share is not None:
        weighed.append((found.share, 1.0))
    if found.labels:
        weighed.append(((found.right + 0.5) / (found.labels + 1), min(float(found.labels), MAX_PEOPLE)))
    total = sum(weight for _, weight in weighed)
    return sum(share * weight for share, weight in weighed) / total


def gain(found: Evidence) -> float:
    """Bits that a person's answer is expected to bring."""
    return 0.0 if found.is_known else entropy(belief(found)) / (1 + found.others)


def entropy(p: float) -> float:
    """H(p) in bits."""
    return 0.0 if p <= 0 or p >= 1 else -p * log2(p) - (1 - p) * log2(1 - p)


def bin_of(value: float) -> int:
    """The fifth of the scale that a judge's value lies in."""
    return min(int(value * NUM_BINS), NUM_BINS - 1)
