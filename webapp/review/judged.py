"""The judged turns of a sample: answers and questions with the verdicts on them. Pure functions of the event's data."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Literal

from training_core.rewards.scores import normalised_score
from webapp.telemetry.rows import is_judge, is_proposer

Kind = Literal["answer", "question"]


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A turn that a judge scored.

    Example: ``Judged(turn=1, kind="answer", question="3+4", text="<answer>8</answer>", answer="8", scores=(1.0, 0.0), verdicts=(2, 3))``.
    """

    turn: int
    kind: Kind
    question: str
    text: str
    answer: str
    """What was read out of the text; empty for a question, or where nothing could be read."""
    scores: tuple[float, ...]
    """The readable verdicts, 0 to 1."""
    verdicts: tuple[int, ...]
    """Places of all verdicts; empty where an oracle or votes judged apart."""
    truth: bool | None
    """Whether the answer is right or the question well-posed, where a verifier knows."""

    @property
    def value(self) -> float:
        """What the judge says: the mean of its scores; 1/2 where none could be read, as methods take it."""
        return fmean(self.scores) if self.scores else 0.5


def judged_turns(data: dict[str, Any]) -> list[Judged]:
    """Every turn below which a judge spoke, or that an oracle, votes or an agreement judged apart, in order."""
    turns: list[dict[str, Any]] = data["turns"]
    verdicts: dict[int, list[int]] = {}
    for place, turn in enumerate(turns):
        parent = turn.get("parent")
        if is_judge(str(turn["role"])) and isinstance(parent, int) and 0 <= parent < place:
            verdicts.setdefault(parent, []).append(place)
    for place, turn in enumerate(turns):
        if turn.get("verdict") is not None:
            verdicts.setdefault(place, [])
    return [
        _judged(data, place, below)
        for place, below in sorted(verdicts.items())
        if not is_judge(str(turns[place]["role"]))
    ]


def judged_turn(data: dict[str, Any], turn: int) -> Judged | None:
    """The judged turn at a place, or the one that the verdict at this place is on."""
    return next((each for each in judged_turns(data) if turn == each.turn or turn in each.verdicts), None)


def _judged(data: dict[str, Any], place: int, below: Sequence[int]) -> Judged:
    turns: list[dict[str, Any]] = data["turns"]
    turn = turns[place]
    asks = is_proposer(str(turn["role"]))
    apart = turn.get("verdict")
    scores = [float(apart)] if apart is not None else [_score(turns[each].get("parsed")) for each in below]
    return Judged(
        turn=place,
        kind="question" if asks else "answer",
        question=str(data["title"]),
        text=str(turn["text"]),
        answer="" if asks else str(turn.get("parsed") or ""),
        scores=tuple(score for score in scores if score is not None),
        verdicts=tuple(below),
        truth=turn.get("correct"),
    )


def _score(parsed: Any) -> float | None:
    try:
        return normalised_score(float(parsed))
    except (TypeError, ValueError):
        return None
