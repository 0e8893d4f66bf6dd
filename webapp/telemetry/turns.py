"""A sample's turns as cards for reading: every turn below the one it answers, whatever the method."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from webapp.pages.hues import hues
from webapp.telemetry.lens import Lens
from webapp.telemetry.passages import Passage, passages_of
from webapp.telemetry.reckoning import Reckoning, reckonings
from webapp.telemetry.rows import is_judge, is_proposer

MAX_DEPTH = 5
"""Deeper turns stay at this indent; long dialogues would leave the page otherwise."""


@dataclass(frozen=True, kw_only=True)
class ReadTurn:
    """One turn as a card: ``ReadTurn(index=2, role="solver", name="Solver 2", answers="Proposer", depth=1, ...)``."""

    index: int
    """Its place among the sample's turns as they were written."""
    parent: int | None
    """The turn it answers; always one that was written before."""
    role: str
    name: str
    hue: int
    answers: str
    """The name of the turn it answers, empty for the first."""
    depth: int
    text: str
    parsed: str
    truth: str
    """What the verifier knows about it, in words; empty where it knows nothing."""
    is_true: bool | None
    rewards: dict[str, float]
    reward: float | None
    advantage: float | None
    value: float | None
    logratio: float | None
    trained: bool
    num_tokens: int
    note: str
    discarded: str
    reckoning: Reckoning | None

    @property
    def place(self) -> str:
        """Its index as text, for addresses."""
        return str(self.index)

    @property
    def passages(self) -> tuple[Passage, ...]:
        """The text as it is read: thoughts folded, code as code."""
        return passages_of(self.text)


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A turn of a thread with the verdicts on it, which are read beside it."""

    turn: ReadTurn
    verdicts: tuple[ReadTurn, ...]


def read_turns(data: dict[str, Any], lens: Lens) -> list[ReadTurn]:
    """The turns of a sample as they were written."""
    turns: list[dict[str, Any]] = data["turns"]
    roles = [str(turn["role"]) for turn in turns]
    names = _names(roles, lens)
    tints = hues([*lens.hues, *roles])
    sums = reckonings(turns)
    parents = [_parent(turn.get("parent"), index) for index, turn in enumerate(turns)]
    cards: list[ReadTurn] = []
    for index, (turn, parent) in enumerate(zip(turns, parents, strict=True)):
        role, is_true = roles[index], turn.get("correct")
        cards.append(
            ReadTurn(
                index=index,
                parent=parent,
                role=role,
                name=names[index],
                hue=tints[role],
                answers="" if parent is None else names[parent],
                depth=0 if parent is None else min(cards[parent].depth + 1, MAX_DEPTH),
                text=str(turn["text"]),
                parsed=str(turn.get("parsed") or ""),
                truth=_truth(role, is_true, moves=turn.get("scene") is not None),
                is_true=is_true,
                rewards=dict(turn.get("rewards") or {}),
                reward=turn.get("reward"),
                advantage=turn.get("advantage"),
                value=turn.get("value"),
                logratio=turn.get("logratio"),
                trained=bool(turn.get("trained")),
                num_tokens=int(turn.get("num_tokens") or 0),
                note=str(turn.get("note") or ""),
                discarded=str(turn.get("discarded") or ""),
                reckoning=sums[index],
            )
        )
    return cards


def replies_of(turns: Iterable[ReadTurn]) -> dict[int | None, list[ReadTurn]]:
    """The turns by the index of the turn they answer; under None those that begin."""
    replies: dict[int | None, list[ReadTurn]] = {}
    for turn in turns:
        replies.setdefault(turn.parent, []).append(turn)
    return replies


def thread(turns: Sequence[ReadTurn]) -> list[ReadTurn]:
    """The turns in reading order, each followed by its replies."""
    replies = replies_of(turns)
    ordered: list[ReadTurn] = []
    waiting = list(reversed(replies.get(None, [])))
    while waiting:
        turn = waiting.pop()
        ordered.append(turn)
        waiting.extend(reversed(replies.get(turn.index, [])))
    return ordered


def entries(turns: Sequence[ReadTurn]) -> list[Entry]:
    """The turns in reading order; verdicts that nobody answers stand with what they judge."""
    replies = replies_of(turns)
    apart = {
        turn.index for turn in turns if is_judge(turn.role) and turn.parent is not None and turn.index not in replies
    }
    return [
        Entry(turn=turn, verdicts=tuple(reply for reply in replies.get(turn.index, ()) if reply.index in apart))
        for turn in thread(turns)
        if turn.index not in apart
    ]


def _parent(given: Any, index: int) -> int | None:
    return given if isinstance(given, int) and 0 <= given < index else None


def _truth(role: str, is_true: bool | None, *, moves: bool) -> str:
    if is_true is None:
        return ""
    if moves:
        return "legal" if is_true else "not legal"
    if is_judge(role):
        return "agrees with the truth" if is_true else "against the truth"
    if is_proposer(role):
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
