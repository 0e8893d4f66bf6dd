"""A sample laid out for reading: every turn below the one it answers, whatever the method."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

from webapp.telemetry.lens import Lens
from webapp.telemetry.rows import is_judge

MAX_DEPTH = 5
"""Deeper turns stay at this indent; long dialogues would leave the page otherwise."""
LONG = 900
"""Texts beyond this many characters are folded."""


@dataclass(frozen=True, kw_only=True)
class ReadTurn:
    """One turn as a card: ``ReadTurn(role="solver", name="Solver 2", answers="Proposer", depth=1, ...)``."""

    role: str
    name: str
    answers: str
    """The turn this one replies to, empty for the first."""
    depth: int
    text: str
    parsed: str
    truth: str
    """What the verifier knows about it, in words; empty where it knows nothing."""
    is_true: bool | None
    rewards: dict[str, float]
    reward: float | None
    advantage: float | None
    trained: bool
    num_tokens: int
    note: str

    @property
    def is_long(self) -> bool:
        return len(self.text) > LONG

    @property
    def start(self) -> str:
        return self.text[:LONG]


def read_turns(data: dict[str, Any], lens: Lens) -> list[ReadTurn]:
    """The turns of a sample in reading order, each followed by its replies."""
    turns: list[dict[str, Any]] = data["turns"]
    names = _names([str(turn["role"]) for turn in turns], lens)
    replies: dict[int | None, list[int]] = {}
    for index, turn in enumerate(turns):
        parent = turn.get("parent")
        replies.setdefault(parent if isinstance(parent, int) and 0 <= parent < index else None, []).append(index)
    ordered: list[ReadTurn] = []
    waiting: list[tuple[int, int, str]] = [(index, 0, "") for index in reversed(replies.get(None, []))]
    while waiting:
        index, depth, answers = waiting.pop()
        below = replies.get(index, [])
        ordered.append(_read(turns[index], names[index], answers, depth, opens=depth == 0 and bool(below)))
        waiting.extend((reply, min(depth + 1, MAX_DEPTH), names[index]) for reply in reversed(below))
    return ordered


def _read(turn: dict[str, Any], name: str, answers: str, depth: int, *, opens: bool) -> ReadTurn:
    is_true = turn.get("correct")
    return ReadTurn(
        role=str(turn["role"]),
        name=name,
        answers=answers,
        depth=depth,
        text=str(turn["text"]),
        parsed=str(turn.get("parsed") or ""),
        truth=_truth(str(turn["role"]), is_true, opens=opens),
        is_true=is_true,
        rewards=dict(turn.get("rewards") or {}),
        reward=turn.get("reward"),
        advantage=turn.get("advantage"),
        trained=bool(turn.get("trained")),
        num_tokens=int(turn.get("num_tokens") or 0),
        note=str(turn.get("note") or ""),
    )


def _truth(role: str, is_true: bool | None, *, opens: bool) -> str:
    if is_true is None:
        return ""
    if is_judge(role):
        return "agrees with the truth" if is_true else "against the truth"
    if opens:
        return "well-posed" if is_true else "not well-posed"
    return "right" if is_true else "wrong"


def _names(roles: list[str], lens: Lens) -> list[str]:
    """A role that speaks once goes by its title, one that speaks often is numbered."""
    total, seen = Counter(roles), Counter[str]()
    names = []
    for role in roles:
        seen[role] += 1
        names.append(f"{lens.role_title(role)} {seen[role]}" if total[role] > 1 else lens.role_title(role))
    return names
