"""What a person's word on an answer makes of what an oracle said. Pure; the formulas are the docs' too."""

from collections.abc import Sequence

from training_core.spec.events import SampleData, Turn
from training_core.spec.orders import OrderRefused

PASSES_AT = 0.5
"""A verdict from here on is a pass."""


def judged_turn(sample: SampleData, turn: int) -> Turn:
    """The turn that somebody judged apart; raises ``OrderRefused`` where nobody did."""
    named = sample.turns[turn] if turn < len(sample.turns) else None
    if named is None or named.verdict is None:
        raise OrderRefused("Nobody judged this turn, so there is no verdict to overrule.")
    return named


def corrected_table(sample: SampleData, turn: int, value: float) -> list[list[float]]:
    """The oracle's table as if a person had said that answer i is worth v, 0 to 1.

    With q_j what is known of another answer, the person's word or else the share of its comparisons that the oracle let it win:

        P'(i, j) = max(P(i, j), 1/2 + (v - q_j) / 2) where v is 1/2 or more, else min of the two;  P'(j, i) = 1 - P'(i, j)

    So a right answer beats a wrong one for certain, two right ones draw, and no word moves a comparison against itself. Set
    ``verdict`` of the turn afterwards: it is what later words on other answers compare with.
    """
    assert sample.table is not None
    table = [list(row) for row in sample.table]
    bound = max if value >= PASSES_AT else min
    for other, known in enumerate(_known(sample.turns)):
        if other != turn:
            table[turn][other] = bound(table[turn][other], 0.5 + (value - known) / 2)
            table[other][turn] = 1 - table[turn][other]
    return table


def _known(turns: Sequence[Turn]) -> list[float]:
    return [0.5 if turn.verdict is None else turn.verdict for turn in turns]
