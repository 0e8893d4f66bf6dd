"""Hidden pairs as a voter sees them, and how people agree with whoever decided the games."""

from dataclasses import dataclass, field, replace
from math import sqrt
from typing import Any

from webapp.arena.duels import Source, Step, of_meeting, steps_of
from webapp.arena.models import League, Vote
from webapp.arena.selectors import votes_of

_Z = 1.96
HIDDEN = {"player_0": "Player 0", "player_1": "Player 1"}


@dataclass(frozen=True, kw_only=True)
class Side:
    """One side of a pair. ``name`` and ``right`` are empty until the person has voted."""

    text: str
    name: str = ""
    right: bool | None = None
    score: float | None = None


@dataclass(frozen=True, kw_only=True)
class Ballot:
    """What a voter sees of a pair, and after the vote who it was."""

    vote: Vote
    question: str
    left: Side
    right: Side
    steps: list[Step] = field(default_factory=list)
    """The game that both played, where it is one; left sat in ``left_seat``."""
    left_seat: int = 0
    decided: str = ""
    """What the game or the judge said, once the person has voted."""


def ballot_of(vote: Vote) -> Ballot:
    """The pair of a vote; names are in it only after the vote."""
    meeting = vote.meeting
    result: Any = meeting.job.result
    game: dict[str, Any] = result["games"][vote.game]
    is_cast = bool(vote.choice)
    names = [meeting.first.name, meeting.second.name]
    order = [1, 0] if vote.is_flipped else [0, 1]
    if "turns" in game:
        seats = [game["first_seat"], 1 - game["first_seat"]]
        source = of_meeting(meeting, game)
        hidden = source if is_cast else _nameless(source)
        sides = [Side(text="", name=names[place] if is_cast else "") for place in order]
        return Ballot(
            vote=vote,
            question="",
            left=sides[0],
            right=sides[1],
            steps=steps_of(hidden),
            left_seat=seats[order[0]],
            decided=game["result"] if is_cast else "",
        )
    sides = []
    for place in order:
        answer = game["answers"][place]
        seen = {"name": names[place], "right": answer.get("right"), "score": answer.get("score")} if is_cast else {}
        sides.append(Side(text=answer["text"], **seen))
    decided = f"expected: {game['expected']}" if is_cast else ""
    return Ballot(vote=vote, question=game["question"], left=sides[0], right=sides[1], decided=decided)


def _nameless(source: Source) -> Source:
    return replace(source, titles=HIDDEN)


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How often people who preferred a side preferred the one that took the point."""

    num_votes: int
    num_compared: int
    """Votes for a side on games that had a winner."""
    share: float | None
    low: float | None
    high: float | None
    """Wilson's interval, 95 %."""
    kappa: float | None
    """Cohen's, between people and outcome over the same votes."""


def agreement_of(league: League) -> Agreement:
    """The votes of a league against the outcomes of their games."""
    votes = list(votes_of(league))
    num_votes = len(votes)
    drawn = {None, 0.5}
    pairs = [(vote.points == 1, vote.outcome == 1) for vote in votes if not {vote.points, vote.outcome} & drawn]
    if not pairs:
        return Agreement(num_votes=num_votes, num_compared=0, share=None, low=None, high=None, kappa=None)
    agreed = sum(one == other for one, other in pairs)
    low, high = wilson(agreed, len(pairs))
    return Agreement(
        num_votes=num_votes,
        num_compared=len(pairs),
        share=agreed / len(pairs),
        low=low,
        high=high,
        kappa=cohens_kappa(pairs),
    )


def wilson(successes: int, total: int) -> tuple[float, float]:
    """Wilson's score interval of a share at 95 % (E. B. Wilson, 1927)."""
    share, z2 = successes / total, _Z * _Z
    middle = (share + z2 / (2 * total)) / (1 + z2 / total)
    half = _Z / (1 + z2 / total) * sqrt(share * (1 - share) / total + z2 / (4 * total * total))
    return max(0.0, middle - half), min(1.0, middle + half)


def cohens_kappa(pairs: list[tuple[bool, bool]]) -> float | None:
    """(p_o - p_e) / (1 - p_e); None where both always say the same one thing."""
    total = len(pairs)
    observed = sum(one == other for one, other in pairs) / total
    ones, others = sum(one for one, _ in pairs) / total, sum(other for _, other in pairs) / total
    expected = ones * others + (1 - ones) * (1 - others)
    return None if expected == 1 else (observed - expected) / (1 - expected)
