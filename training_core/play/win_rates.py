"""From a table of pairwise preferences to win rates, and from win rates to pairs.

A table is square: ``table[i][j]`` is the chance that answer i beats answer j, and ``table[i][j] + table[j][i] == 1``.
"""

import random
from collections.abc import Sequence
from math import exp, log
from statistics import fmean as mean
from typing import Literal

Table = Sequence[Sequence[float]]
PairRule = Literal["best_worst", "random_pair", "all_k"]

LEAST_CHANCE = 0.01
"""Chances are kept this far from 0 and 1 before their logit is taken, so that one lost coin toss is no infinite defeat."""


def table_of(above: Sequence[float], size: int) -> list[list[float]]:
    """The whole table from its upper triangle, row by row: what is below the diagonal follows, and the diagonal is one half."""
    table = [[0.5] * size for _ in range(size)]
    chances = iter(above)
    for i in range(size):
        for j in range(i + 1, size):
            table[i][j] = next(chances)
            table[j][i] = 1 - table[i][j]
    return table


def win_rates(table: Table, *, include_self: bool) -> list[float]:
    """Mean chance of each answer to beat an answer of the group; with itself counted, as one half (SPPO, section 4).

    With itself, rates lie in [1 / 2K, 1 - 1 / 2K]; the mean over the group is one half either way.
    """
    return [
        mean(chance for j, chance in enumerate(row) if include_self or j != i) if len(row) > 1 or include_self else 0.5
        for i, row in enumerate(table)
    ]


def rebuilt_from_scores(table: Table) -> list[list[float]]:
    """The table a Bradley-Terry model makes of this one: s_i = mean over j of logit P(i, j), P'(i, j) = sigmoid(s_i - s_j).

    A table that comes from scores is left as it is; a cycle, which no scores can express, is lost.
    """
    scores = [mean(_logit(chance) for chance in row) for row in table]
    return [[sigmoid(one - other) for other in scores] for one in scores]


def pick_pairs(rates: Sequence[float], rule: PairRule, rng: random.Random) -> list[tuple[int, int]]:
    """Places of the chosen and the rejected answer of each pair: the higher win rate is chosen, of equals the earlier one.

    best_worst takes one pair of the extremes, random_pair any one pair, all_k every pair: in the latter each answer occurs
    equally often, so the mean of a square loss over pairs is the mean over answers.
    """
    ranked = sorted(range(len(rates)), key=lambda place: (-rates[place], place))
    match rule:
        case "best_worst":
            return [(ranked[0], ranked[-1])]
        case "random_pair":
            first, second = sorted(rng.sample(range(len(ranked)), 2))
            return [(ranked[first], ranked[second])]
        case "all_k":
            return [(one, other) for place, one in enumerate(ranked) for other in ranked[place + 1 :]]


def sigmoid(value: float) -> float:
    """1 / (1 + exp(-value)), without overflow."""
    if value >= 0:
        return 1 / (1 + exp(-value))
    small = exp(value)
    return small / (1 + small)


def _logit(chance: float) -> float:
    chance = min(1 - LEAST_CHANCE, max(LEAST_CHANCE, chance))
    return log(chance / (1 - chance))
