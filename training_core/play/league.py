"""How strong players are, from the games they played against each other: Bradley-Terry by maximum likelihood, on the Elo scale.

Player i takes a point from player j with probability 1 / (1 + 10^((r_j - r_i) / 400)); a draw is half a point to each. Before any
game every player is taken to have drawn ``prior`` games, spread evenly over all the others: ratings stay finite for who won or lost
everything, and players who never met are compared through the average. (R. A. Bradley and M. E. Terry, 1952; A. E. Elo, 1978.)
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp, log, log1p, sqrt
from typing import Any

from training_core.spec.events import League, LeagueRow

PER_NAT = 400 / log(10)
"""Elo points for a factor e in the odds."""
_WITHIN = 1.96
"""Standard errors to either side of a 95 % interval."""
_LONGEST_STEP = 2.0
_CLOSE_ENOUGH = 1e-10
_MOST_STEPS = 200
Matrix = list[list[float]]


@dataclass(kw_only=True)
class _Score:
    """Games of a pair, as the first of it sees them."""

    won: int = 0
    drawn: int = 0
    lost: int = 0

    @property
    def games(self) -> int:
        return self.won + self.drawn + self.lost

    @property
    def points(self) -> float:
        return self.won + self.drawn / 2


@dataclass(frozen=True, kw_only=True)
class Rating:
    """Elo points with the ends of their 95 % interval: ``Rating(points=1120.0, low=1071.5, high=1168.5)``."""

    points: float
    low: float
    high: float


class Results:
    """Games between named players, added one by one; ``league`` is what a reader is shown.

    >>> results = Results()
    >>> results.add("step 50", "step 0", 1.0)
    >>> [row.name for row in results.league(anchor="step 0").players]
    ['step 50', 'step 0']
    """

    def __init__(self) -> None:
        self._scores: dict[tuple[str, str], _Score] = {}

    @property
    def players(self) -> list[str]:
        """Everybody who played, in the order of their first game."""
        return list(dict.fromkeys(name for pair in self._scores for name in pair))

    def add(self, first: str, second: str, points: float) -> None:
        """One more game, in which ``first`` took 1, 1/2 or 0 points."""
        if first == second:
            raise ValueError(f"a game of {first!r} against itself says nothing about its strength")
        if points not in {0.0, 0.5, 1.0}:
            raise ValueError(f"a game gives 1, 0.5 or 0 points, not {points}")
        seen = (second, first) in self._scores
        score = self._scores.setdefault((second, first) if seen else (first, second), _Score())
        if points == 0.5:
            score.drawn += 1
        elif (points == 1.0) is not seen:
            score.won += 1
        else:
            score.lost += 1

    def league(self, *, anchor: str, at: float = 1000.0, prior: float = 1.0) -> League:
        """Everybody by strength, with the rating of the player ``anchor`` set to ``at``, and who took how much from whom."""
        found = ratings(self._points(), anchor=anchor, at=at, prior=prior)
        names = sorted(found, key=lambda name: -found[name].points)
        return League(
            players=[self._row(name, found[name]) for name in names],
            matrix=[[self._share(name, other) for other in names] for name in names],
        )

    def state_dict(self) -> list[list[Any]]:
        """All games as JSON values."""
        return [[*pair, score.won, score.drawn, score.lost] for pair, score in self._scores.items()]

    def load_state_dict(self, state: Sequence[Sequence[Any]]) -> None:
        """Restore what ``state_dict`` returned."""
        self._scores = {
            (first, second): _Score(won=won, drawn=drawn, lost=lost) for first, second, won, drawn, lost in state
        }

    def _points(self) -> dict[tuple[str, str], tuple[float, int]]:
        return {pair: (score.points, score.games) for pair, score in self._scores.items()}

    def _seen_by(self, name: str) -> dict[str, _Score]:
        """The player's games by opponent."""
        own = {second: score for (first, second), score in self._scores.items() if first == name}
        turned = {
            first: _Score(won=score.lost, drawn=score.drawn, lost=score.won)
            for (first, second), score in self._scores.items()
            if second == name
        }
        return own | turned

    def _row(self, name: str, rating: Rating) -> LeagueRow:
        scores = self._seen_by(name).values()
        return LeagueRow(
            name=name,
            rating=rating.points,
            low=rating.low,
            high=rating.high,
            games=sum(score.games for score in scores),
            won=sum(score.won for score in scores),
            drawn=sum(score.drawn for score in scores),
            lost=sum(score.lost for score in scores),
        )

    def _share(self, name: str, other: str) -> float | None:
        score = self._seen_by(name).get(other)
        return None if score is None else score.points / score.games


def ratings(
    results: Mapping[tuple[str, str], tuple[float, float]], *, anchor: str, at: float = 1000.0, prior: float = 1.0
) -> dict[str, Rating]:
    """Elo ratings from ``{(player, opponent): (points of the player, games)}``, each pair once; ``anchor`` is rated ``at``.

    Intervals are the maximum plus and minus 1.96 standard errors from the observed information, that is of the difference to the
    anchor, which itself has none. Counting draws as half points makes them a little too wide where many games are drawn.
    """
    names = list(dict.fromkeys([anchor, *(name for pair in results for name in pair)]))
    games, points = _with_prior(results, names, prior)
    strengths = _most_likely(games, points)
    errors = [0.0, *(sqrt(row[place]) for place, row in enumerate(_inverse(_information(games, strengths))))]
    return {
        name: Rating(
            points=at + PER_NAT * strength,
            low=at + PER_NAT * (strength - _WITHIN * error),
            high=at + PER_NAT * (strength + _WITHIN * error),
        )
        for name, strength, error in zip(names, strengths, errors, strict=True)
    }


def _with_prior(
    results: Mapping[tuple[str, str], tuple[float, float]], names: Sequence[str], prior: float
) -> tuple[Matrix, Matrix]:
    """``games[i][j]`` between two players and ``points[i][j]`` that i took, with the draws imagined before any game."""
    size = len(names)
    imagined = prior / max(1, size - 1)
    games = [[imagined * (i != j) for j in range(size)] for i in range(size)]
    points = [[imagined / 2 * (i != j) for j in range(size)] for i in range(size)]
    for (first, second), (taken, played) in results.items():
        i, j = names.index(first), names.index(second)
        games[i][j] += played
        games[j][i] += played
        points[i][j] += taken
        points[j][i] += played - taken
    return games, points


def _most_likely(games: Matrix, points: Matrix) -> list[float]:
    """Strengths in nats that make the points likeliest, the first player's being 0; by Newton's method, as the likelihood is concave."""
    size = len(games)
    strengths = [0.0] * size
    for _ in range(_MOST_STEPS):
        slope = [
            sum(points[i][j] - games[i][j] * _chance(strengths[i] - strengths[j]) for j in range(size) if j != i)
            for i in range(1, size)
        ]
        steps = [
            sum(a * b for a, b in zip(row, slope, strict=True)) for row in _inverse(_information(games, strengths))
        ]
        longest = max(map(abs, steps), default=0.0)
        damping = min(1.0, _LONGEST_STEP / longest) if longest else 1.0
        strengths = [0.0, *(s + damping * step for s, step in zip(strengths[1:], steps, strict=True))]
        if longest < _CLOSE_ENOUGH:
            break
    return strengths


def _information(games: Matrix, strengths: Sequence[float]) -> Matrix:
    """Minus the second derivatives of the log-likelihood, without the first player, whose strength is given."""
    size = len(games)

    def weight(i: int, j: int) -> float:
        chance = _chance(strengths[i] - strengths[j])
        return games[i][j] * chance * (1 - chance)

    return [
        [sum(weight(i, k) for k in range(size) if k != i) if i == j else -weight(i, j) for j in range(1, size)]
        for i in range(1, size)
    ]


def _chance(difference: float) -> float:
    """1 / (1 + e^-difference), for any difference."""
    return exp(-log1p(exp(-difference))) if difference > 0 else exp(difference - log1p(exp(difference)))


def _inverse(matrix: Matrix) -> Matrix:
    """Of a positive definite matrix, by Gauss-Jordan elimination, which needs no pivoting there."""
    size = len(matrix)
    rows = [[*row, *(float(i == j) for j in range(size))] for i, row in enumerate(matrix)]
    for place in range(size):
        head = rows[place][place]
        rows[place] = [value / head for value in rows[place]]
        for other in range(size):
            if other != place and (factor := rows[other][place]):
                rows[other] = [a - factor * b for a, b in zip(rows[other], rows[place], strict=True)]
    return [row[size:] for row in rows]
