"""What travels to a page: events in full where they are small, index rows where they carry text to read."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple, TypedDict

from training_core.spec.events import EventKind
from webapp.telemetry.marks import event_mark
from webapp.telemetry.models import Event

MAX_LOG = 4000
ROW = (
    "episode",
    "title",
    "layout",
    "kind",
    "rank",
    "group_key",
    "made",
    "kept",
    "discard_reason",
    "zero_signal",
    "disagrees",
    "num_turns",
    "num_pairs",
    "solved",
    "reward_min",
    "reward_mean",
    "reward_max",
    "result",
    "roles",
)
"""Columns of a sample's index row that its line in a list is made of."""


MOST_ANSWERS = 16
"""Answers that a line shows as chips."""


class Answer(NamedTuple):
    """An answer as its chip: ``Answer("solver", "17", 0.98, True, 12, "9", True)``."""

    role: str
    said: str | None
    """What was read out of the text, its first characters."""
    reward: float | None
    right: bool | None
    num_tokens: int
    verdict: str | None
    """What the first judge said of it, its first characters."""
    agrees: bool | None
    """Whether that is in line with the truth."""


class RoleTally(TypedDict):
    """What one role did in a sample: ``{"role": "solver", "count": 5, "right": 3, "wrong": 2, "reward": 0.58}``."""

    role: str
    count: int
    right: int
    wrong: int
    reward: float | None


def is_judge(role: str) -> bool:
    """Whether ``correct`` on this role's turns means agreement with the truth rather than a right answer."""
    return "judge" in role


def is_proposer(role: str) -> bool:
    """Whether ``correct`` on this role's turns means that its question is well-posed."""
    return "propos" in role


def is_answering(role: str) -> bool:
    """Whether a role answers, rather than asking, judging or being given from outside."""
    return not (is_judge(role) or is_proposer(role) or is_given(role))


def is_given(role: str) -> bool:
    """Whether its texts come from outside, to be imitated or compared with."""
    return "demonstration" in role


def wire_event(event: Event) -> dict[str, Any]:
    """An event as the socket sends it; ``event.slim`` is its data without bodies."""
    data: dict[str, Any] = event.slim  # type: ignore[attr-defined]
    if event.kind == EventKind.SAMPLE:
        data = sample_row(event.seq, event.step, data)
    elif event.kind == EventKind.EVALUATION:
        data = {name: value for name, value in data.items() if name != "league"}
    elif event.kind == EventKind.METRIC:
        data = {"values": {name: finite(value) for name, value in data["values"].items()}}
    elif event.kind == EventKind.LOG:
        data = {**data, "text": data["text"][:MAX_LOG]}
    wired = {
        "seq": event.seq,
        "attempt": event.attempt,
        "kind": event.kind,
        "step": event.step,
        "t": event.t,
        "data": data,
    }
    mark = event_mark(event.kind, event.step, data)
    return {**wired, "mark": mark} if mark else wired


def sample_row(seq: int, step: int, found: dict[str, Any]) -> dict[str, Any]:
    """The line that stands for a sample in the stream; ``found`` has the ``ROW`` columns of its index row, and its turns in brief."""
    answers = answers_of(found.get("turns") or ())
    return {
        "seq": seq,
        "step": step,
        **{name: found[name] for name in ROW if name not in {"discard_reason", "result"}},
        "why": found["discard_reason"] or None,
        "result": found["result"] or None,
        "num_answers": len(answers),
        "answers": answers[:MOST_ANSWERS],
    }


def answers_of(turns: Sequence[Sequence[Any]]) -> list[Answer]:
    """The answers among turns in brief: ``[role, read, reward, right, tokens, parent]``; each with the first verdict on it."""
    verdicts: dict[int, tuple[str | None, bool | None]] = {}
    for role, said, _, correct, _, parent in turns:
        if is_judge(role) and parent is not None:
            verdicts.setdefault(parent, (said, correct))
    return [
        Answer(role, said, _rounded(reward), correct, tokens or 0, *verdicts.get(place, (None, None)))
        for place, (role, said, reward, correct, tokens, _) in enumerate(turns)
        if is_answering(role) or is_given(role)
    ]


def tally(turns: list[dict[str, Any]]) -> list[RoleTally]:
    """Turns counted per role, in the order the roles first spoke."""
    rows: dict[str, RoleTally] = {}
    rewards: dict[str, list[float]] = {}
    for turn in turns:
        role = str(turn["role"])
        row = rows.setdefault(role, {"role": role, "count": 0, "right": 0, "wrong": 0, "reward": None})
        row["count"] += 1
        row["right"] += turn.get("correct") is True
        row["wrong"] += turn.get("correct") is False
        if turn.get("reward") is not None:
            rewards.setdefault(role, []).append(float(turn["reward"]))
    for role, values in rewards.items():
        rows[role]["reward"] = round(sum(values) / len(values), 3)
    return list(rows.values())


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def log_row(event: Event) -> dict[str, Any]:
    """A log line: ``{"seq": 9, "step": 3, "t": 1769.2, "level": "info", "text": "..."}``; a phase has level state."""
    data: dict[str, Any] = event.slim  # type: ignore[attr-defined]
    level = data.get("level", "state")
    return {"seq": event.seq, "step": event.step, "t": event.t, "level": level, "text": data["text"][:MAX_LOG]}


def finite(value: float | None) -> float | None:
    """JSON has no NaN and no infinity; a gap in the line is the honest picture of them."""
    return value if value is not None and math.isfinite(value) else None
