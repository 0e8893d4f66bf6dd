"""What policies are worth in games: against chance, against perfect play, against each other, and against the best answer."""

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import exp
from statistics import fmean as mean

from training_core.evaluate.exploitability import expected_value, exploitability, information_sets
from training_core.evaluate.held_out import Evaluation
from training_core.games.base import Game, Position
from training_core.games.kuhn_poker import KuhnPoker
from training_core.games.minimax import Minimax
from training_core.games.tic_tac_toe import TicTacToe
from training_core.play.league import Results
from training_core.play.match import (
    SEATS,
    Match,
    PerfectPlayer,
    Player,
    RandomPlayer,
    Speaker,
    move_prompt,
    play_match,
    read_move,
)
from training_core.play.play import Play
from training_core.play.prompts import Prompts
from training_core.play.requests import derive_seed
from training_core.spec.events import League
from training_core.spec.learning import SamplingSpec

START, RANDOM = "start", "random"
"""Players of every league, by the names a reader sees: the weights the run began with, and chance."""


@dataclass(frozen=True, kw_only=True)
class Contest:
    """How policies are measured: ``Contest(prompts=..., averaged="average", num_games=256, ...)``."""

    prompts: Prompts
    averaged: str | None
    """The averaged policy, which is measured instead of the newest weights where there is one."""
    sampling: SamplingSpec
    """How moves are drawn in games against the random and the perfect player."""
    seed: int
    num_games: int
    """Games in each pairing, half of them in each seat."""
    max_turns: int
    strategy_samples: int
    """Moves drawn in every situation to find a strategy; 0 scores every legal move instead."""
    league: "LeagueTable | None" = None
    """Who meets in a league, when there is to be one."""


@dataclass(frozen=True, kw_only=True)
class LeagueTable:
    """The models of a league: ``LeagueTable(policies={"newest": None, "step 20": "past-1"}, start="opponent", num_games=32)``."""

    policies: Mapping[str, str | None]
    """Policies by the name a reader sees; None for the newest weights."""
    start: str
    """The role that speaks with the weights the run began with."""
    num_games: int
    """Games of every pair and game, half of them with seats changed."""


@dataclass(frozen=True, kw_only=True)
class Strategy:
    """Probabilities of the legal moves by information set, and what the policy gave to moves that are none."""

    moves: Mapping[str, Mapping[str, float]]
    illegal_mass: float
    """Mean over the information sets."""


async def evaluate_games(play: Play, contest: Contest, games: Sequence[Game]) -> Evaluation:
    """Scores of each game and, where there are several, their means under the plain names."""
    found: list[tuple[dict[str, float], dict[str, float]]] = await play.gather(
        _evaluate_game(play, contest, game) for game in games
    )
    each = dict(zip((game.name for game in games), found, strict=True))
    scores = _means(scores for scores, _ in each.values())
    metrics = {name: value for _, extra in each.values() for name, value in extra.items()}
    if len(games) > 1:
        metrics |= {f"eval/{game}/{name}": value for game, (own, _) in each.items() for name, value in own.items()}
    league = None if contest.league is None else await _play_league(play, contest, contest.league, games)
    return Evaluation(num_items=contest.num_games * len(games), scores=scores, metrics=metrics, league=league)


def _means(scores: Iterable[Mapping[str, float]]) -> dict[str, float]:
    values: dict[str, list[float]] = {}
    for own in scores:
        for name, value in own.items():
            values.setdefault(name, []).append(value)
    return {name: mean(each) for name, each in values.items()}


async def _evaluate_game(play: Play, contest: Contest, game: Game) -> tuple[dict[str, float], dict[str, float]]:
    """Scores of one game and further metrics by full name."""
    chance = await _against(play, contest, game, "random")
    scores = {f"{what}_vs_random": value for what, value in _shares(chance).items()}
    for seat, name in enumerate(("first", "second")):
        own = [(match, own_seat) for match, own_seat in chance if own_seat == seat]
        scores |= {f"{what}_vs_random_{name}": value for what, value in _shares(own).items()}
    scores["illegal_moves"] = mean(
        float(deed.said.action is None) for match, seat in chance for deed in match.deeds if deed.seat == seat
    )
    if isinstance(game, TicTacToe):
        perfect = _shares(await _against(play, contest, game, "perfect"))
        scores |= {f"{what}_vs_perfect": perfect[what] for what in ("draw", "loss")}
    metrics: dict[str, float] = {}
    if isinstance(game, KuhnPoker):
        exact, metrics = await _exact(play, contest, game)
        scores |= exact
    return scores, metrics


async def _against(play: Play, contest: Contest, game: Game, opponent: str) -> list[tuple[Match, int]]:
    """Games of the measured policy against a rule, with its seat in each."""
    minimax = Minimax()

    def players(number: int, seat: int) -> list[Player]:
        rng = random.Random(derive_seed(contest.seed, "evaluation", game.name, opponent, number, "player"))
        other = RandomPlayer(rng) if opponent == "random" else PerfectPlayer(rng, minimax)
        own = Speaker(play, contest.prompts, policy=contest.averaged, sampling=contest.sampling)
        return [own, other] if seat == 0 else [other, own]

    seats = [number % 2 for number in range(contest.num_games)]
    matches: list[Match] = await play.gather(
        play_match(
            game,
            players(number, seat),
            rng=random.Random(derive_seed(contest.seed, "evaluation", game.name, opponent, number)),
            max_turns=contest.max_turns,
        )
        for number, seat in enumerate(seats)
    )
    return list(zip(matches, seats, strict=True))


def _shares(played: Sequence[tuple[Match, int]]) -> dict[str, float]:
    """Shares of games won, drawn and lost from the seats given; an illegal move loses."""
    outcomes = [match.outcome[seat] for match, seat in played]
    names = {"win": 1, "draw": 0, "loss": -1}
    return {name: mean(float(outcome == value) for outcome in outcomes) for name, value in names.items()}


async def _exact(play: Play, contest: Contest, game: Game) -> tuple[dict[str, float], dict[str, float]]:
    """Exploitability of the measured policy and, where that is the average, of the newest weights; the strategy move by move."""
    newest = await find_strategy(play, contest, game, policy=None)
    shown, last = newest, exploitability(game, newest.moves)
    scores = {"exploitability": last, "illegal_mass": newest.illegal_mass}
    if contest.averaged is not None:
        shown = await find_strategy(play, contest, game, policy=contest.averaged)
        scores = {
            "exploitability": exploitability(game, shown.moves),
            "exploitability_last": last,
            "illegal_mass": shown.illegal_mass,
            "illegal_mass_last": newest.illegal_mass,
        }
    scores["value_first"] = expected_value(game, shown.moves)
    metrics = {
        f"strategy/{code}_{move}": chance
        for code, moves in shown.moves.items()
        for move, chance in moves.items()
        if move in {"bet", "call"}
    }
    return scores, metrics


async def find_strategy(play: Play, contest: Contest, game: Game, *, policy: str | None) -> Strategy:
    """How a policy moves in every information set of a small game, renormalised over the legal moves."""
    sets = information_sets(game)
    weighed: list[dict[str, float]] = await play.gather(
        _weigh(play, contest, game, position, policy) for position in sets.values()
    )
    moves, illegal = {}, []
    for code, weights in zip(sets, weighed, strict=True):
        total = sum(weights.values())
        illegal.append(1 - total)
        moves[code] = {move: weight / total if total else 1 / len(weights) for move, weight in weights.items()}
    return Strategy(moves=moves, illegal_mass=mean(illegal))


async def _weigh(play: Play, contest: Contest, game: Game, position: Position, policy: str | None) -> dict[str, float]:
    """The chance that the policy answers with each legal move; they add up to 1 less the chance of anything else."""
    seat, actions = position.to_move, position.actions()
    prompt = move_prompt(contest.prompts, game, position, seat)
    if contest.strategy_samples:
        said = await play.say(SEATS[seat], prompt, n=contest.strategy_samples, policy=policy)
        read = [read_move(game, position, completion.text) for completion in said]
        return {action: read.count(action) / len(read) for action in actions}
    replies = [contest.prompts.render("reply", action=action, code=game.code_of(action)) for action in actions]
    logps = await play.score(SEATS[seat], prompt, replies, policy=policy)
    return {action: exp(logp) for action, logp in zip(actions, logps, strict=True)}


async def _play_league(play: Play, contest: Contest, table: LeagueTable, games: Sequence[Game]) -> League:
    """Everybody meets everybody in every game, as often in one seat as in the other; the random player is rated 1000."""
    names = [*table.policies, START, RANDOM]
    meetings = [
        (game, number, pair if number % 2 == 0 else pair[::-1])
        for pair in combinations(names, 2)
        for game in games
        for number in range(table.num_games)
    ]

    async def meet(game: Game, number: int, pair: tuple[str, ...]) -> Match:
        rng = random.Random(derive_seed(contest.seed, "league", game.name, *pair, number))
        players = [_league_player(play, contest, table, name, rng) for name in pair]
        return await play_match(game, players, rng=rng, max_turns=contest.max_turns)

    matches: list[Match] = await play.gather(meet(*meeting) for meeting in meetings)
    results = Results()
    for (_, _, (first, second)), match in zip(meetings, matches, strict=True):
        results.add(first, second, (1 + match.outcome[0]) / 2)
    return results.league(anchor=RANDOM)


def _league_player(play: Play, contest: Contest, table: LeagueTable, name: str, rng: random.Random) -> Player:
    if name == RANDOM:
        return RandomPlayer(rng)
    role = table.start if name == START else None
    return Speaker(play, contest.prompts, role=role, policy=table.policies.get(name), sampling=contest.sampling)
