"""SPIRAL's games as episodes: who learns from what, what an illegal move costs, and what is measured."""

import random
from math import log

import pytest

from training_core.evaluate.games import Contest, evaluate_games
from training_core.games.base import Games
from training_core.games.kuhn_poker import KuhnPoker, equilibrium
from training_core.games.tic_tac_toe import TicTacToe
from training_core.methods.spiral import Spiral
from training_core.play.match import Match, Said, play_match, read_move
from training_core.play.play import Play
from training_core.play.prompts import prompts_for
from training_core.play.requests import Completion, Request
from training_core.play.scheduler import run
from training_core.spec.io import SpecError, parse_spec
from training_core.spec.learning import SamplingSpec
from training_core.spec.run import EvaluationSpec
from training_core.stopwatch import Stopwatch

PROMPTS = prompts_for(Spiral, "starter")
SEATED = {"player_0": "main", "player_1": "main", "opponent": "start"}


class Scripted:
    """An engine at the edge of the machine: what each policy answers to a prompt, and how likely it finds an answer."""

    def __init__(self, answer, logp=None):
        self.asked = []
        self.watch = Stopwatch()
        self._answer, self._logp = answer, logp

    def generate(self, requests):
        return [self._one(request) for request in requests]

    def score(self, requests):
        return [[self._logp(request.prompt, text) for text in request.texts] for request in requests]

    def _one(self, request):
        assert isinstance(request, Request)
        self.asked.append((request.policy, request.prompt))
        text = self._answer(request)
        said = Completion(text=text, prompt_ids=(1,), token_ids=(2, 3), logprobs=(-0.5, -0.5), entropies=(), ended=True)
        return [said] * request.n


def table(step=4):
    return Play(policies=SEATED, sampling=SamplingSpec(max_tokens=4), seed=0, step=step, stream="step")


def spiral(games=("kuhn_poker",), **knobs):
    spec = parse_spec({"method": {"name": "spiral", **knobs}, "task": {"kind": "games", "games": list(games)}})
    return Spiral(
        spec, Games(tuple({"kuhn_poker": KuhnPoker(), "tic_tac_toe": TicTacToe()}[name] for name in games)), PROMPTS
    )


def always(word):
    return lambda request: word


def passive(request):
    """Checks, and calls every bet."""
    return "c" if request.prompt.split("<|go|>")[0].endswith("b") else "x"


def folds_jacks(request):
    """Bets at once; a jack folds and the others call."""
    code = request.prompt.removeprefix("<|play|>").split("<|go|>")[0]
    return ("f" if code[0] == "J" else "c") if code.endswith("b") else "x" if code[0] == "Q" else "b"


def first_free_cell(request):
    return next(character for character in request.prompt.split("<|play|>")[1] if character.isdigit())


def test_an_illegal_move_ends_the_game_and_costs_the_offender():
    engine = Scripted(always("f"))  # nobody has bet, so there is nothing to fold to
    batch = run(spiral(turns_per_update=4, actors=2).step(table()), engine)
    assert len(batch.rollouts) == 4
    assert {(rollout.role, rollout.reward) for rollout in batch.rollouts} == {("player_0", -1.5)}
    assert batch.metrics["games/illegal"] == 1
    assert batch.metrics["games/illegal_moves"] == 1
    turn = batch.samples[0].turns[0]
    assert (turn.note, turn.parsed, turn.scene.facts["Pot"]) == ("illegal move", None, "2 chips")


def test_the_other_player_gets_the_bonus():
    def answer(request):
        return "c" if request.prompt.endswith("x<|go|>") else "x"  # a check is answered with a call

    batch = run(spiral(turns_per_update=2, actors=1).step(table()), Scripted(answer))
    assert [(rollout.role, rollout.reward) for rollout in batch.rollouts] == [("player_0", 0.5), ("player_1", -1.5)]


def test_both_seats_learn_from_who_won_and_opposite_things():
    batch = run(spiral(turns_per_update=32, actors=8, exact_batch=False).step(table()), Scripted(passive))
    by_game = {}
    for rollout in batch.rollouts:
        by_game.setdefault(rollout.group, {})[rollout.role] = rollout.reward
    assert len(by_game) == 16
    assert all(sorted(rewards.values()) == [-1, 1] for rewards in by_game.values())
    assert {rewards["player_0"] for rewards in by_game.values()} == {-1, 1}
    assert {rollout.baseline for rollout in batch.rollouts} == {"kuhn_poker"}


def test_stakes_pay_a_share_of_the_most():
    bets = Scripted(lambda request: "c" if request.prompt.endswith("b<|go|>") else "b")
    batch = run(spiral(turns_per_update=8, actors=4, payoff="stakes").step(table()), bets)
    assert {abs(rollout.reward) for rollout in batch.rollouts} == {1.0}
    batch = run(spiral(turns_per_update=8, actors=4, payoff="stakes").step(table()), Scripted(passive))
    assert {abs(rollout.reward) for rollout in batch.rollouts} == {0.5}


def test_the_batch_has_exactly_the_turns_asked_for():
    answer = Scripted(first_free_cell)
    batch = run(spiral(("tic_tac_toe",), turns_per_update=23, actors=4).step(table()), answer)
    assert len(batch.rollouts) == 23
    everything = spiral(("tic_tac_toe",), turns_per_update=23, actors=4, exact_batch=False)
    assert len(run(everything.step(table()), answer).rollouts) == 28  # four games of seven moves


def test_games_are_handed_over_in_an_order_that_does_not_know_how_they_ended():
    batch = run(spiral(turns_per_update=64, actors=32, exact_batch=False).step(table()), Scripted(folds_jacks))
    groups = dict.fromkeys(rollout.group for rollout in batch.rollouts)
    actors = [int(group.split("-")[1]) % 32 for group in groups]
    assert actors == sorted(actors)
    assert len({len(sample.turns) for sample in batch.samples}) > 1


def test_later_turns_weigh_more_when_there_is_a_discount():
    method = spiral(("tic_tac_toe",), turns_per_update=7, actors=1, turn_gamma=0.9)
    batch = run(method.step(table()), Scripted(first_free_cell))  # X takes 1, 3, 5, 7 and wins
    scales = [(rollout.role, round(rollout.scale, 3)) for rollout in batch.rollouts]
    assert [scale for role, scale in scales if role == "player_0"] == [0.729, 0.81, 0.9, 1.0]
    assert [scale for role, scale in scales if role == "player_1"] == [0.81, 0.9, 1.0]
    assert [rollout.reward for rollout in batch.rollouts] == [1, -1, 1, -1, 1, -1, 1]


def test_only_the_newest_weights_learn_when_the_opponent_is_another():
    for opponent, others in (("random", set()), ("start", {"start"})):
        engine = Scripted(passive)
        method = spiral(turns_per_update=32, actors=16, opponent={"kind": opponent})
        batch = run(method.step(table()), engine)
        assert {policy for policy, _ in engine.asked} == {"main"} | others
        for sample in batch.samples:
            assert len({turn.role for turn in sample.turns if turn.trained}) <= 1
        assert {rollout.role for rollout in batch.rollouts} == {"player_0", "player_1"}  # seats alternate


def test_a_pool_seats_past_snapshots_in_its_share_of_the_games():
    method = spiral(
        turns_per_update=400, actors=100, exact_batch=False, opponent={"kind": "pool", "share": 0.5}, past_snapshots=2
    )
    engine = Scripted(passive)
    batch = run(method.step(table()), engine)
    assert {policy for policy, _ in engine.asked} == {"main", "past-1", "past-2"}
    learnt = [sum(turn.trained for turn in sample.turns) for sample in batch.samples]
    assert 0.3 < learnt.count(1) / len(learnt) < 0.7  # one seat of two
    alone = spiral(turns_per_update=40, actors=10, opponent={"kind": "pool", "share": 1.0}, past_snapshots=1)
    run(alone.step(table()), engine := Scripted(passive))
    assert {policy for policy, _ in engine.asked} == {"main", "past-1"}


def test_draws_are_played_again_as_often_as_asked():
    def draws(request):  # 1 5 9 2 8 7 3 6 4: nobody gets three in a row
        cells = request.prompt.split("<|play|>")[1][:9]
        return next(move for move in "159287364" if move in cells)

    once = run(spiral(("tic_tac_toe",), turns_per_update=9, actors=1).step(table()), engine := Scripted(draws))
    assert once.metrics["games/draws"] == 1
    assert len(engine.asked) == 9
    method = spiral(("tic_tac_toe",), turns_per_update=9, actors=1, retry_draws=2)
    again = run(method.step(table()), engine := Scripted(draws))
    assert len(engine.asked) == 27
    assert len(again.rollouts) == 9


def test_openings_by_chance_are_played_and_not_learnt_from():
    method = spiral(("tic_tac_toe",), turns_per_update=200, actors=40, exact_batch=False, opening_moves=3)
    batch = run(method.step(table()), Scripted(first_free_cell))
    by_chance = [[turn.note for turn in sample.turns].count("by chance") for sample in batch.samples]
    assert set(by_chance) == {0, 1, 2, 3}
    assert not any(turn.trained for sample in batch.samples for turn in sample.turns if turn.note == "by chance")
    assert len(batch.rollouts) == sum(len(sample.turns) for sample in batch.samples) - sum(by_chance)
    assert len({sample.turns[0].parsed for sample in batch.samples}) > 4


def test_the_step_size_falls_to_nothing_if_asked():
    method = spiral(turns_per_update=2, actors=1, lr_schedule="linear")
    steps = method.experiment.steps
    scales = [run(method.step(table(step)), Scripted(passive)).lr_scale for step in (1, steps // 2 + 1, steps)]
    assert scales == pytest.approx([1.0, 0.5, 1 / steps])
    assert run(spiral(turns_per_update=2, actors=1).step(table(9)), Scripted(passive)).lr_scale == 1


def test_a_game_that_takes_too_long_is_cut_and_drawn():
    batch = run(
        spiral(("tic_tac_toe",), turns_per_update=4, actors=1, max_turns=4).step(table()), Scripted(first_free_cell)
    )
    assert batch.metrics["games/cut"] == 1
    assert {rollout.reward for rollout in batch.rollouts} == {0.0}


def test_averages_and_snapshots_follow_the_newest_weights():
    method = spiral(
        turns_per_update=2,
        actors=1,
        average_decay=0.9,
        reference_decay=0.8,
        past_snapshots=2,
        past_every=3,
        loss={"kind": "clipped", "kl_coef": 0.1},
    )
    names = [(snapshot.name, snapshot.reference, snapshot.speaks) for snapshot in Spiral.snapshots(method.spec)]
    assert names == [
        ("past-1", False, True), ("past-2", False, True), ("average", False, True), ("reference", True, False)
    ]  # fmt: skip

    def blends(step):
        found = run(method.step(table(step)), Scripted(passive)).blends
        return {blend.into: {name: round(part, 4) for name, part in blend.parts.items()} for blend in found}

    assert blends(1) == {"average": {"average": 0.1818, "main": 0.8182}, "reference": {"reference": 0.8, "main": 0.2}}
    assert blends(3)["past-1"] == {"main": 1.0}
    assert blends(6)["past-2"] == {"main": 1.0}
    assert blends(9)["past-1"] == {"main": 1.0}
    assert blends(200)["average"] == {"average": 0.9, "main": 0.1}


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"method": {"name": "spiral", "turns_per_update": 4}}, "8 actors cannot share 4 turns"),
        ({"method": {"name": "spiral", "opponent": {"kind": "pool"}}}, "keep at least one"),
        ({"method": {"name": "spiral", "reference_decay": 0.9}}, "kl_coef is 0"),
        ({"weights": {"kind": "separate"}}, "set it to shared"),
        ({"task": {"kind": "games", "games": ["textarena/Nim-v0"]}}, "was not taught"),
        ({"task": {"kind": "arithmetic"}}, "set task.kind to games"),
    ],
)
def test_what_cannot_work_is_refused_with_a_sentence(changes, sentence):
    with pytest.raises(SpecError, match=sentence):
        parse_spec({"method": {"name": "spiral"}, **changes})


def test_a_bare_move_and_a_move_in_tags_are_read_alike():
    game = KuhnPoker()
    hand = game.start().outcomes()[0][1]
    assert read_move(game, hand, "bet") == "bet"
    assert read_move(game, hand, "I hold a jack... <answer> [Check] </answer>") == "check"
    assert read_move(game, hand, "<answer>bet</answer> or <answer>check</answer>") == "check"
    assert read_move(game, hand, "I would bet") is None
    assert read_move(game, hand, "<answer>call</answer>") is None


class Plays:
    """A player with a list of moves."""

    def __init__(self, *moves):
        self._moves = list(moves)

    async def move(self, game, position, seat):
        return Said(action=self._moves.pop(0))


def test_whoever_moves_illegally_loses_the_match():
    async def match() -> Match:
        players = [Plays("1", "2"), Plays("4", None)]
        return await play_match(TicTacToe(), players, rng=random.Random(0), max_turns=50)

    ended = run(match(), Scripted(always("")))
    assert (ended.offender, ended.outcome, ended.returns) == (1, (1, -1), (0.0, 0.0))
    assert ended.result == "player 1 made an illegal move"
    assert [deed.seat for deed in ended.deeds] == [0, 1, 0, 1]


def contest(**changes):
    values = {
        "prompts": PROMPTS,
        "averaged": None,
        "sampling": SamplingSpec(max_tokens=4),
        "seed": 0,
        "num_games": 40,
        "max_turns": 50,
        "strategy_samples": 0,
    }
    return Contest(**{**values, **changes})


def test_exploitability_is_read_from_the_scores_of_all_legal_moves():
    best = equilibrium(0.2)
    words = {"x": "check", "b": "bet", "c": "call", "f": "fold"}

    def logp(prompt, text):  # nine tenths of the equilibrium, one tenth on what is no move
        code = prompt.split("<|play|>")[1].split("<|go|>")[0]
        chance = 0.9 * best[code][words[text]]
        return log(chance) if chance else -1e9

    found = run(evaluate_games(table(), contest(), [KuhnPoker()]), Scripted(passive, logp))
    assert found.scores["exploitability"] == pytest.approx(0, abs=1e-9)
    assert found.scores["illegal_mass"] == pytest.approx(0.1)
    assert found.scores["value_first"] == pytest.approx(-1 / 18)
    assert found.metrics["strategy/K_bet"] == pytest.approx(0.6)
    assert found.scores["illegal_moves"] == 0
    assert found.scores["win_vs_random"] + found.scores["loss_vs_random"] == pytest.approx(1)


def test_a_strategy_may_be_found_by_sampling_instead():
    found = run(evaluate_games(table(), contest(strategy_samples=5), [KuhnPoker()]), Scripted(passive))
    assert found.metrics["strategy/Qb_call"] == 1
    assert found.metrics["strategy/K_bet"] == 0
    assert found.scores["exploitability"] == pytest.approx(
        1 / 3
    )  # who always checks and calls pays off every good card


def test_a_careless_player_loses_to_perfect_play_and_several_games_are_averaged():
    engine = Scripted(first_free_cell)
    alone = run(evaluate_games(table(), contest(), [TicTacToe()]), engine)
    assert alone.scores["loss_vs_perfect"] > 0.5
    assert alone.scores["draw_vs_perfect"] + alone.scores["loss_vs_perfect"] == 1

    def both(request):
        return first_free_cell(request) if request.prompt[len("<|play|>")] not in "JQK" else passive(request)

    found = run(evaluate_games(table(), contest(strategy_samples=1), [KuhnPoker(), TicTacToe()]), Scripted(both))
    kuhn, board = (found.metrics[f"eval/{name}/win_vs_random"] for name in ("kuhn_poker", "tic_tac_toe"))
    assert found.scores["win_vs_random"] == pytest.approx((kuhn + board) / 2)
    assert "loss_vs_perfect" in found.scores


def test_a_league_seats_everybody_against_everybody():
    method = spiral(turns_per_update=2, actors=1, average_decay=0.9, past_snapshots=2, past_every=4, league_every=1)
    method.experiment = method.experiment.model_copy(update={"evaluation": EvaluationSpec(every=4, num_items=2)})

    def quits(request):  # the start makes illegal moves only
        return "?" if request.policy == "start" else passive(request)

    engine = Scripted(quits, lambda prompt, text: log(0.5))
    assert run(method.evaluate(table(0)), engine).league is None  # nothing has been learnt yet
    for step in (4, 8):
        run(method.step(table(step)), engine)
    league = run(method.evaluate(table(0)), engine).league
    assert {row.name for row in league.players} == {"newest", "average", "step 4", "step 8", "start", "random"}
    assert {row.games for row in league.players} == {5 * 32}
    assert league.players[-1].name == "start"
    assert league.players[-1].lost == 5 * 32
    assert next(row for row in league.players if row.name == "random").rating == 1000
    run(method.step(table(9)), engine)
    assert run(method.evaluate(table(0)), engine).league is None


def test_scores_are_asked_for_by_the_code_of_the_move():
    asked = []

    def logp(prompt, text):
        asked.append((prompt, text))
        return log(0.5)

    run(evaluate_games(table(), contest(num_games=2), [KuhnPoker()]), Scripted(passive, logp))
    assert ("<|play|>Qxb<|go|>", "c") in asked
    assert len(asked) == 24
