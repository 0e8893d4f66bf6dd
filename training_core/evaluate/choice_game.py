"""How good a mixture of answers is in a game of choices: exact, from the chance of every answer."""

from collections.abc import Sequence

from training_core.tasks.choices import Choices


def exploitability(chances: Sequence[float], payoffs: Sequence[Sequence[float]]) -> float:
    """How often the best response wins: max over j of sum over i of p_i P(j beats i).

    One half is a minimax winner. ``payoffs`` has one row and column more than there are ``chances``: what they leave of 1 is
    the chance of a text that is no answer at all.
    """
    whole = [*chances, max(0.0, 1 - sum(chances))]
    return max(sum(chance * wins for chance, wins in zip(whole, row, strict=True)) for row in payoffs)


def good_mass(domain: Choices, chances: Sequence[float]) -> float:
    """The chance of a good answer."""
    return sum(chance for answer, chance in zip(domain.answers, chances, strict=True) if answer in domain.good)


def mixed_in(mixture: Sequence[float], chances: Sequence[float], *, step: int) -> list[float]:
    """The mean of the chances of steps 1 to ``step``, from that of the steps before."""
    if step == 1:
        return list(chances)
    return [old + (new - old) / step for old, new in zip(mixture, chances, strict=True)]
