"""Scores: what the engines say a completion is worth in log-prob, and how requests for it travel."""

from math import inf

import pytest
import torch

from tests.core.engine_models import FUSED, GENERIC, ask, make_model, make_policy
from training_core.distributed.spread import SpreadEngine
from training_core.engines.transformers import TransformersEngine
from training_core.play.play import Play
from training_core.play.requests import Completion, Score
from training_core.play.scheduler import run
from training_core.policies.load import with_adapters
from training_core.policies.snapshots import take_snapshot
from training_core.spec.learning import SamplingSpec
from training_core.spec.model import LoraSpec
from training_core.stopwatch import Stopwatch


def finished(engine, prompt, *, n=24, policy="main"):
    """Completions that ended by themselves, which are whole."""
    return [each for each in engine.generate([ask(prompt, n=n, policy=policy, max_tokens=40)])[0] if each.ended]


@pytest.mark.parametrize("name", FUSED + GENERIC)
def test_scores_are_the_log_probs_a_completion_was_drawn_with(name):
    engine = TransformersEngine({"main": make_policy(make_model(name))}, max_batch=32)
    said = [finished(engine, prompt) for prompt in ("hello", "ab")]
    assert all(said)
    requests = [
        Score(policy="main", prompt=prompt, texts=tuple(each.text.replace(" ", "") for each in completions))
        for prompt, completions in zip(("hello", "ab"), said, strict=True)
    ]
    for completions, scores in zip(said, engine.score(requests), strict=True):
        assert scores == pytest.approx([sum(each.logprobs) for each in completions], abs=2e-4)


def test_scores_come_from_the_named_policy_as_it_is_now():
    main = make_policy(with_adapters(make_model("qwen2"), LoraSpec(rank=2, dropout=0.5), ["main"]), adapter="main")
    policies = {"main": main, "past": take_snapshot(main, "past")}
    engine = TransformersEngine(policies, max_batch=8)
    main.model.train()

    def scored():
        return [engine.score([Score(policy=name, prompt="hello", texts=("ab", ""))])[0] for name in policies]

    before = scored()
    assert before[0] == pytest.approx(before[1])
    with torch.no_grad():
        for _, parameter in main.trained_parameters():
            parameter.add_(0.1)
    after = scored()
    assert after[1] == before[1]
    assert after[0] != pytest.approx(before[0], abs=1e-3)
    assert main.model.training
    assert all(parameter.grad is None for parameter in main.model.parameters())


def test_an_empty_completion_is_as_likely_as_the_end_token():
    policy = make_policy(make_model("llama"))
    engine = TransformersEngine({"main": policy}, max_batch=8)
    ((empty,),) = engine.score([Score(policy="main", prompt="hello", texts=("",))])
    with torch.no_grad():
        logp = policy.model(torch.tensor([policy.encode("hello")])).logits[0, -1].log_softmax(-1)
    assert empty == pytest.approx(float(logp[0]), abs=1e-5)


def test_a_completion_without_room_cannot_be_given():
    policy = make_policy(make_model("qwen2"), max_context=16)
    engine = TransformersEngine({"main": policy}, max_batch=8)
    ((fits, fills, is_longer),) = engine.score([Score(policy="main", prompt="hello", texts=("ab", "a" * 10, "a" * 11))])
    assert fits > -inf
    assert fills > -inf
    assert is_longer == -inf


def said(text):
    return Completion(text=text, prompt_ids=(1,), token_ids=(2,), logprobs=(-1.0,), entropies=(), ended=True)


class Table:
    """An engine that scores by length and remembers its calls."""

    watch = Stopwatch()

    def __init__(self):
        self.calls = []

    def generate(self, requests):
        self.calls.append(("generate", [(request.policy, request.prompt) for request in requests]))
        return [[said(request.prompt)] for request in requests]

    def score(self, requests):
        self.calls.append(("score", [(request.policy, request.prompt, request.texts) for request in requests]))
        return [[-float(len(text)) for text in request.texts] for request in requests]


def play_of(**policies):
    return Play(policies=policies, sampling=SamplingSpec(), seed=1, step=1, stream="step")


def test_scores_that_wait_together_are_one_call_beside_the_completions():
    engine, play = Table(), play_of(solver="main")

    async def scoring(prompt, policy):
        return await play.score("solver", prompt, ["a", "bcd"], policy=policy)

    async def nothing():
        return await play.score("solver", "x", [])

    async def step():
        return await play.gather([scoring("p", None), scoring("q", "past"), nothing()])

    assert run(step(), engine) == [[-1.0, -3.0], [-1.0, -3.0], []]
    assert engine.calls == [("score", [("main", "p", ("a", "bcd")), ("past", "q", ("a", "bcd"))])]
    assert play.policy_of("solver") == "main"


def test_everybody_gets_what_was_asked_for_when_words_and_scores_are_waited_for_together():
    engine, play = Table(), play_of(solver="main")

    async def step():
        return await play.gather(
            [play.say("solver", "p"), play.score("solver", "q", ["ab"]), play.say("solver", "r", policy="past")]
        )

    assert run(step(), engine) == [[said("p")], [-2.0], [said("r")]]
    assert engine.calls == [("generate", [("main", "p"), ("past", "r")]), ("score", [("main", "q", ("ab",))])]


class Line:
    """One of several ranks in one process: its gathering gives what every rank would contribute."""

    def __init__(self, rank, size):
        self.rank, self.size = rank, size
        self.parts = []

    def gather_lists(self, part):
        self.parts = list(part)
        return self.everything


@pytest.mark.parametrize("counts", [(1,), (7,), (5, 1, 1), (3, 3)])
def test_scores_do_not_depend_on_how_many_engines_give_them(counts):
    requests = [
        Score(policy="main", prompt=f"p{place}", texts=tuple("x" * (place + length) for length in range(count)))
        for place, count in enumerate(counts)
    ]
    lines = [Line(rank, 3) for rank in range(3)]
    for line in lines:
        line.everything = []
        with pytest.raises(KeyError):
            SpreadEngine(Table(), line).score(requests)
    everything = [item for line in lines for item in line.parts]
    for line in lines:
        line.everything = everything
        assert SpreadEngine(Table(), line).score(requests) == Table().score(requests)
    assert max(len(line.parts) for line in lines) - min(len(line.parts) for line in lines) <= 1
