"""Three players who beat each other in a ring, and how sure that is.

Of a pair that played n games with p points for the first player, the chance theta of the first to take a point is taken to be
Beta(p + 1/2, n - p + 1/2) (Jeffreys' prior; a draw is half a point to each). The probability that a beats b is that of
theta > 1/2; of a ring it is the product of its three, as the games of the pairs are independent of each other.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import exp, lgamma, log

MAX_SHOWN = 10
_EPSILON = 1e-12
_MOST_TERMS = 400
Pairs = Mapping[tuple[str, str], tuple[float, float]]
"""``{(player, opponent): (points of the player, games)}``, each pair once."""


@dataclass(frozen=True, kw_only=True)
class Cycle:
    """``Cycle(players=("a", "b", "c"), shares=(0.62, 0.58, 0.55), probability=0.71)``: a beats b beats c beats a."""

    players: tuple[str, str, str]
    shares: tuple[float, float, float]
    """Points the first took from the second, the second from the third, the third from the first, per game."""
    probability: float


def cycles(pairs: Pairs, names: Sequence[str]) -> list[Cycle]:
    """The rings there are, surest first."""
    found = []
    for a, b, c in combinations(names, 3):
        for ring in ((a, b, c), (a, c, b)):
            scores = [_seen(pairs, ring[place], ring[(place + 1) % 3]) for place in range(3)]
            if any(games == 0 or points <= games / 2 for points, games in scores):
                continue
            probability = 1.0
            for points, games in scores:
                probability *= chance_of_better(points, games)
            one, two, three = (points / games for points, games in scores)
            found.append(Cycle(players=ring, shares=(one, two, three), probability=probability))
    return sorted(found, key=lambda cycle: -cycle.probability)[:MAX_SHOWN]


def chance_of_better(points: float, games: float) -> float:
    """P(theta > 1/2) for a player who took so many points in so many games."""
    return 1 - _beta_below_half(points + 0.5, games - points + 0.5)


def _seen(pairs: Pairs, player: str, opponent: str) -> tuple[float, float]:
    if (player, opponent) in pairs:
        return pairs[player, opponent]
    points, games = pairs.get((opponent, player), (0.0, 0.0))
    return games - points, games


def _beta_below_half(a: float, b: float) -> float:
    """The regularised incomplete beta function I_x(a, b) at x = 1/2, by its continued fraction (Lentz's method)."""
    if (a + 1) / (a + b + 2) < 0.5:
        return 1 - _beta_below_half(b, a)
    front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + (a + b) * log(0.5)) / a
    return front * _fraction(a, b)


def _fraction(a: float, b: float, x: float = 0.5) -> float:
    c, d = 1.0, 1 / (1 - (a + b) * x / (a + 1))
    value = d
    for m in range(1, _MOST_TERMS):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            d = 1 / (1 + term * d)
            c = 1 + term / c
            value *= c * d
        if abs(c * d - 1) < _EPSILON:
            break
    return value
