"""How the steps of a run are dealt to its rounds, in each of which one frozen opponent is to be beaten."""

from dataclasses import dataclass
from itertools import accumulate


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What rounds are made of: ``Shape(rounds=3, epochs=2, pairs_per_step=32, carries=True)``."""

    rounds: int
    epochs: int
    """Passes of a round over its pairs."""
    pairs_per_step: int
    carries: bool
    """Whether the pairs of the round before come along, so that all rounds but the first have twice as many."""

    def num_steps(self, num_prompts: int) -> tuple[int, ...]:
        """Steps of each round if each answers ``num_prompts``; the last step of a pass may have fewer pairs than the others."""
        later = 2 * num_prompts if self.carries else num_prompts
        num_pairs = [num_prompts] + [later] * (self.rounds - 1)
        return tuple(self.epochs * -(-pairs // self.pairs_per_step) for pairs in num_pairs)


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a step stands: ``Place(round=1, step=4, num_steps=12)`` is the fifth of the second round's twelve steps."""

    round: int
    step: int
    num_steps: int

    @property
    def is_first(self) -> bool:
        return self.step == 0

    @property
    def is_last(self) -> bool:
        return self.step == self.num_steps - 1


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Prompts that every round answers, and the steps of each: ``Plan(num_prompts=128, num_steps=(8, 16, 16))``."""

    num_prompts: int
    num_steps: tuple[int, ...]

    def place(self, step: int) -> Place:
        """The place of a step of the run; steps count from 1."""
        ends = list(accumulate(self.num_steps))
        number = next(number for number, end in enumerate(ends) if step <= end)
        length = self.num_steps[number]
        return Place(round=number, step=step - 1 - (ends[number] - length), num_steps=length)


def fitting_plan(shape: Shape, steps: int) -> Plan:
    """As many prompts as ``steps`` have room for, in whole steps; what is left over goes on with the last round's pairs.

    Raises ``ValueError`` with the least number of steps where there is room for none.
    """
    least = sum(shape.num_steps(shape.pairs_per_step))
    if steps < least:
        raise ValueError(
            f"{shape.rounds} rounds of {shape.epochs} passes need at least {least} steps, but steps is {steps}; raise steps, or "
            "lower method.iterations or method.epochs_per_iteration"
        )
    num_prompts = steps // least * shape.pairs_per_step
    earlier = shape.num_steps(num_prompts)[:-1]
    return Plan(num_prompts=num_prompts, num_steps=(*earlier, steps - sum(earlier)))


def exact_plan(shape: Shape, steps: int, num_prompts: int) -> Plan:
    """The plan for so many prompts; raises ``ValueError`` with the right number where ``steps`` is another."""
    found = shape.num_steps(num_prompts)
    if sum(found) != steps:
        raise ValueError(
            f"{shape.rounds} rounds of {shape.epochs} passes over the pairs of {num_prompts} prompts take {sum(found)} steps, but "
            f"steps is {steps}; set steps to {sum(found)}, or leave method.num_prompts empty"
        )
    return Plan(num_prompts=num_prompts, num_steps=found)


def step_size(place: Place, *, warmup_share: float, decays: bool) -> float:
    """Factor on the step size: up in a line over the first share of a round, then down in a line to 0 at its end."""
    warmup = round(warmup_share * place.num_steps)
    if place.step < warmup:
        return (place.step + 1) / (warmup + 1)
    return (place.num_steps - place.step) / (place.num_steps - warmup) if decays else 1.0
