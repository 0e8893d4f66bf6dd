"""Who beats whom: the players of a league by rating, their games as a heat table, and how their ratings moved."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

HEAT_STEPS = 4


@dataclass(frozen=True, kw_only=True)
class Score:
    """A cell of the table of games: the share of points the row's player took from the column's."""

    words: str
    heat: str
    """From "0", all lost, to "4", all won; empty where they did not meet."""


@dataclass(frozen=True, kw_only=True)
class Axis:
    """The ratings between which bars are drawn."""

    low: float
    high: float

    def percent(self, rating: float) -> float:
        return 100 * (rating - self.low) / (self.high - self.low) if self.high > self.low else 50.0


@dataclass(frozen=True, kw_only=True)
class Bar:
    """A rating with its interval, in percent of the axis."""

    start: float
    at: float
    end: float


@dataclass(frozen=True, kw_only=True)
class Player:
    """A row of the league, strongest first: ``Player(rank=1, name="step 50", rating=1540, low=1490, high=1590, ...)``."""

    rank: int
    name: str
    rating: float
    low: float
    high: float
    bar: Bar
    games: int
    won: int
    drawn: int
    lost: int
    scores: tuple[Score, ...]
    """Against every player in the order of the rows."""
    history: tuple[tuple[int, float], ...]
    """Its rating at every evaluation it took part in, by step."""


@dataclass(frozen=True, kw_only=True)
class ReadLeague:
    """The league after one evaluation."""

    step: int
    players: tuple[Player, ...]
    axis: Axis

    @property
    def has_matches(self) -> bool:
        return len(self.players) > 1

    @property
    def has_history(self) -> bool:
        return any(len(player.history) > 1 for player in self.players)


Rated = tuple[int, dict[str, Any]]
"""A step and the league as it was then."""


def read_league(rated: Sequence[Rated]) -> ReadLeague | None:
    """The newest league with the ratings of the earlier ones; None where there never was one."""
    if not rated:
        return None
    step, league = rated[-1]
    rows, matrix = league["players"], league["matrix"]
    order = sorted(range(len(rows)), key=lambda place: -_number(rows[place]["rating"]))
    ends = [_number(row[end], row["rating"]) for row in rows for end in ("low", "rating", "high")]
    axis = Axis(low=min(ends, default=0.0), high=max(ends, default=0.0))
    history = _history(rated)
    players = tuple(
        _player(
            rows[place],
            axis,
            rank=rank,
            scores=tuple(_score(None if other == place else matrix[place][other]) for other in order),
            history=tuple(history[rows[place]["name"]]),
        )
        for rank, place in enumerate(order, start=1)
    )
    return ReadLeague(step=step, players=players, axis=axis)


def _player(
    row: dict[str, Any],
    axis: Axis,
    *,
    rank: int,
    scores: tuple[Score, ...],
    history: tuple[tuple[int, float], ...],
) -> Player:
    rating = _number(row["rating"])
    low, high = _number(row["low"], axis.low), _number(row["high"], axis.high)
    return Player(
        rank=rank,
        name=row["name"],
        rating=rating,
        low=low,
        high=high,
        bar=Bar(start=axis.percent(low), at=axis.percent(rating), end=axis.percent(high)),
        games=row["games"],
        won=row["won"],
        drawn=row["drawn"],
        lost=row["lost"],
        scores=scores,
        history=history,
    )


def _number(value: float | None, default: float | None = 0.0) -> float:
    """A rating without bound is stored as null: it goes to the end of the axis."""
    return value if value is not None else default or 0.0


def _history(rated: Sequence[Rated]) -> dict[str, list[tuple[int, float]]]:
    found: dict[str, list[tuple[int, float]]] = {}
    for step, league in rated:
        for row in league["players"]:
            found.setdefault(row["name"], []).append((step, _number(row["rating"])))
    return found


def _score(share: float | None) -> Score:
    if share is None:
        return Score(words="", heat="")
    return Score(words=f"{share:.2f}", heat=str(round(HEAT_STEPS * min(1.0, max(0.0, share)))))
