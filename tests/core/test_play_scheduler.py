"""The scheduler batches what waits, keeps order, and ends cleanly."""

import pytest

from training_core.play.play import Play
from training_core.play.requests import Completion, Request, derive_seed
from training_core.play.scheduler import run
from training_core.spec.learning import SamplingSpec


class Echo:
    """An engine at the edge of the machine: answers with the prompt and remembers the batches."""

    def __init__(self):
        self.batches = []

    def generate(self, requests):
        self.batches.append([request.prompt for request in requests])
        return [
            [
                Completion(
                    text=f"{request.prompt}:{place}",
                    prompt_ids=(1,),
                    token_ids=(2, 3),
                    logprobs=(-0.1, -0.2),
                    entropies=(0.0, 0.0),
                    ended=True,
                )
                for place in range(request.n)
            ]
            for request in requests
        ]


def make_play(seed=1, step=1):
    return Play(
        policies={"solver": "main", "judge": "start"}, sampling=SamplingSpec(), seed=seed, step=step, stream="step"
    )


def test_episodes_that_wait_together_share_one_batch():
    engine, play = Echo(), make_play()

    async def episode(name):
        first = await play.say("solver", f"{name}1")
        return (await play.say("solver", first[0].text))[0].text

    async def step():
        return await play.gather(episode(name) for name in "abc")

    assert run(step(), engine) == ["a1:0:0", "b1:0:0", "c1:0:0"]
    assert engine.batches == [["a1", "b1", "c1"], ["a1:0", "b1:0", "c1:0"]]


def test_episodes_of_different_length_do_not_wait_for_each_other():
    engine, play = Echo(), make_play()

    async def long():
        for turn in range(3):
            await play.say("solver", f"long{turn}")

    async def short():
        await play.say("solver", "short")

    async def step():
        await play.gather([short(), long()])

    run(step(), engine)
    assert engine.batches == [["short", "long0"], ["long1"], ["long2"]]


def test_gathers_nest_and_keep_order():
    play = make_play()

    async def leaf(n):
        return (await play.say("solver", str(n)))[0].text

    async def branch(n):
        return await play.gather([leaf(n), leaf(n + 1)])

    async def step():
        return await play.gather([branch(0), branch(10)])

    assert run(step(), Echo()) == [["0:0", "1:0"], ["10:0", "11:0"]]


def test_gathering_nothing_gives_nothing():
    play = make_play()

    async def step():
        return await play.gather([])

    assert run(step(), Echo()) == []


def test_an_error_in_one_episode_ends_the_others_and_reaches_the_caller():
    play = make_play()
    closed = []

    async def bad():
        await play.say("solver", "x")
        raise KeyError("broken")

    async def patient():
        try:
            while True:
                await play.say("solver", "y")
        finally:
            closed.append(True)

    async def step():
        await play.gather([patient(), bad()])

    with pytest.raises(KeyError, match="broken"):
        run(step(), Echo())
    assert closed == [True]


def test_seeds_depend_on_run_step_and_place_only():
    seen = []

    class Recorder(Echo):
        def generate(self, requests):
            seen.extend(request.seed for request in requests)
            return super().generate(requests)

    def seeds(seed, step):
        seen.clear()
        play = make_play(seed, step)

        async def episode():
            await play.gather(play.say("solver", "q") for _ in range(3))

        run(episode(), Recorder())
        return list(seen)

    assert seeds(1, 1) == seeds(1, 1)
    assert len(set(seeds(1, 1))) == 3
    assert not set(seeds(1, 1)) & (set(seeds(1, 2)) | set(seeds(2, 1)))


def test_tokens_are_counted_and_roles_bound_to_policies():
    engine, play = Echo(), make_play()
    policies = []

    class Spy(Echo):
        def generate(self, requests: list[Request]):
            policies.extend(request.policy for request in requests)
            return super().generate(requests)

    async def episode():
        await play.say("solver", "q", n=3)
        await play.say("judge", "q")

    run(episode(), Spy())
    assert play.num_tokens == 8
    assert policies == ["main", "start"]
    assert engine.batches == []


def test_derived_seeds_are_stable_across_versions():
    assert derive_seed(0, 1, "episode") == 4033226885240183631
