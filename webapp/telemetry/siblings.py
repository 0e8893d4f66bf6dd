"""The completions of one sample that answer the same thing, as chips side by side."""

from collections.abc import Sequence
from dataclasses import dataclass

from webapp.telemetry.lens import Lens
from webapp.telemetry.rows import is_judge
from webapp.telemetry.turns import ReadTurn


@dataclass(frozen=True, kw_only=True)
class Siblings:
    """``Siblings(role="solver", title="Solver", hue=2, turns=(...), num_right=3, num_known=5, is_even=False)``"""

    role: str
    title: str
    hue: int
    turns: tuple[ReadTurn, ...]
    num_right: int
    num_known: int
    is_even: bool
    """Whether all earned the same, so that comparing them teaches nothing."""


def siblings_of(turns: Sequence[ReadTurn], lens: Lens) -> list[Siblings]:
    """Groups of two and more turns of one role under one parent, in the order they begin; verdicts form none."""
    groups: dict[tuple[str, int | None], list[ReadTurn]] = {}
    for turn in turns:
        if not is_judge(turn.role):
            groups.setdefault((turn.role, turn.parent), []).append(turn)
    return [_siblings(members, lens) for members in groups.values() if len(members) > 1]


def _siblings(members: list[ReadTurn], lens: Lens) -> Siblings:
    known = [turn.is_true for turn in members if turn.is_true is not None]
    rewards = {turn.reward for turn in members}
    return Siblings(
        role=members[0].role,
        title=lens.role_title(members[0].role),
        hue=members[0].hue,
        turns=tuple(members),
        num_right=sum(known),
        num_known=len(known),
        is_even=len(rewards) == 1 and None not in rewards,
    )
