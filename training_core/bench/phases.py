"""The four kinds of work of a step, measured one by one: prefill, decode, log-prob and update."""

import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch

from training_core.assembly import Parts
from training_core.bench.roofline import Shape, synchronize
from training_core.games.base import Games, settle
from training_core.learn.learner import Learner
from training_core.learn.logprobs import Text
from training_core.learn.scoring import Scorer
from training_core.play.match import move_prompt
from training_core.play.records import Rollout, StepBatch
from training_core.play.requests import Completion, Request, derive_seed
from training_core.policies.loaded import LoadedPolicy
from training_core.spec.experiment import ExperimentSpec
from training_core.spec.learning import ClippedPolicyLoss, GroupRelative, OptimizerSpec, SamplingSpec
from training_core.spec.online import OnlineSpec
from training_core.spec.trained import TrainedSpec

Say = Callable[[str], None]
_GROUP = 8
"""Completions of a prompt."""
_ADAM_BYTES = 28
"""Bytes of a float32 weight that AdamW reads (weight, gradient, two means) and writes (weight, two means)."""


@dataclass(kw_only=True)
class Phase:
    """Cost of one kind of work, over its fastest repetition.

    Example: ``Phase(name="decode", tokens=16_384, flops=3.4e10, bytes_=2.6e8, wall_s=0.5, cpu_s=0.5)``. ``tokens`` counts every
    distinct prompt and every completion once, whether or not the work was shared among them.
    """

    name: str
    tokens: int
    flops: float
    bytes_: float
    wall_s: float = float("inf")
    cpu_s: float = float("inf")

    def keep_better(self, spent: "Clock") -> None:
        if spent.cpu_s < self.cpu_s:
            self.wall_s, self.cpu_s = spent.wall_s, spent.cpu_s


@dataclass(kw_only=True)
class Clock:
    wall_s: float = 0.0
    cpu_s: float = 0.0

    def minus(self, other: "Clock") -> "Clock":
        return Clock(wall_s=max(1e-9, self.wall_s - other.wall_s), cpu_s=max(1e-9, self.cpu_s - other.cpu_s))


@contextmanager
def clock(device: torch.device) -> Iterator[Clock]:
    """Wall and CPU seconds of a block, filled in at its end."""
    spent = Clock()
    synchronize(device)
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    yield spent
    synchronize(device)
    spent.wall_s, spent.cpu_s = time.perf_counter() - wall_s, time.process_time() - cpu_s


@dataclass(frozen=True, kw_only=True)
class Bench:
    """What is measured: the parts of a run, and how much work a repetition is."""

    spec: ExperimentSpec
    parts: Parts
    shape: Shape
    batch: int
    max_tokens: int
    repeats: int
    say: Say = field(repr=False)

    @property
    def policy(self) -> LoadedPolicy:
        return self.parts.roster.first

    @property
    def device(self) -> torch.device:
        found: torch.device = self.policy.model.device
        return found

    def phases(self) -> list[Phase]:
        """All four, after one repetition that is not counted."""
        self.say("Sampling")
        prefill, decode, completions = self._sampling()
        self.say("Log-probs and update")
        return [prefill, decode, *self._learning(completions)]

    def _requests(self, max_tokens: int) -> list[Request]:
        prompts = self._prompts(-(-self.batch // _GROUP))
        sampling = SamplingSpec(max_tokens=max_tokens)
        name = self.parts.roster.cast.trained[0]
        return [
            Request(policy=name, prompt=prompt, n=_GROUP, sampling=sampling, seed=derive_seed("bench", place))
            for place, prompt in enumerate(prompts)
        ]

    def _prompts(self, number: int) -> list[str]:
        """Questions to solve, or first moves of games."""
        domain, prompts = self.parts.domain, self.parts.method.prompts
        if not isinstance(domain, Games):
            return [prompts.render("solve", question=item.question) for item in domain.held_out(number)]
        rng = random.Random(0)
        games = (domain.games[place % len(domain.games)] for place in range(number))
        starts = ((game, settle(game.start(), rng)) for game in games)
        return [move_prompt(prompts, game, position, position.to_move) for game, position in starts]

    def _sampling(self) -> tuple[Phase, Phase, list[Completion]]:
        first, whole = self._requests(1), self._requests(self.max_tokens)
        generate = self.parts.engine.generate
        completions = [each for found in generate(whole) for each in found]
        prefill, decode = self._sampling_phases(completions)
        for _ in range(self.repeats):
            with clock(self.device) as reading:
                generate(first)
            with clock(self.device) as both:
                generate(whole)
            prefill.keep_better(reading)
            decode.keep_better(both.minus(reading))
        return prefill, decode, completions

    def _sampling_phases(self, completions: Sequence[Completion]) -> tuple[Phase, Phase]:
        """Prefill reads the prompts and draws first tokens; decode draws the others."""
        prompts = [len(ids) for ids in {each.prompt_ids for each in completions}]
        firsts = [(len(each.prompt_ids), 1) for each in completions]
        whole = [(len(each.prompt_ids), len(each.token_ids)) for each in completions]
        shape = self.shape
        prefill_flops = shape.forward_flops([(prompt, 0) for prompt, _ in firsts], new_prompts=prompts)
        prefill_flops += 2.0 * shape.num_head * len(prompts)
        decode_flops = shape.forward_flops(whole, new_prompts=[]) - shape.forward_flops(firsts, new_prompts=[])
        passes = max(length for _, length in whole) - 1
        cache = sum(
            (prompt * length + length * length / 2) * shape.num_layers * shape.cache_width for prompt, length in whole
        )
        return (
            Phase(name="prefill", tokens=sum(prompts), flops=prefill_flops, bytes_=shape.weight_bytes),
            Phase(
                name="decode",
                tokens=sum(length - 1 for _, length in whole),
                flops=decode_flops,
                bytes_=passes * shape.weight_bytes + cache * shape.bytes_per_number,
            ),
        )

    def _learning(self, completions: Sequence[Completion]) -> Iterator[Phase]:
        texts = [Text(prompt_ids=each.prompt_ids, token_ids=each.token_ids) for each in completions]
        prompts = [len(ids) for ids in {each.prompt_ids for each in completions}]
        lengths = [(len(text.prompt_ids), len(text.token_ids)) for text in texts]
        flops = self.shape.forward_flops(lengths, new_prompts=prompts)
        tokens = sum(prompts) + sum(length for _, length in lengths)
        learner, score = self._learner(), Scorer(self.policy, self.spec.learner)
        batches = score.cut(texts, budget_tokens=self._optimizer.pass_tokens(self.policy.model.device.type))
        read = len(batches) * self.shape.weight_bytes
        trained = sum(parameter.numel() for _, parameter in self.policy.trained_parameters())
        logprob = Phase(name="log-prob", tokens=tokens, flops=flops, bytes_=read)
        update = Phase(name="update", tokens=tokens, flops=3 * flops, bytes_=3 * read + _ADAM_BYTES * trained)
        rollouts = [
            Rollout(role="bench", group=str(place // _GROUP), completion=each, reward=float(place % 2))
            for place, each in enumerate(completions)
        ]
        for repeat in range(self.repeats + 1):
            with clock(self.device) as spent, torch.no_grad(), self.policy.active():
                for batch in batches:
                    score([texts[index] for index in batch], temperature=1.0)
            if repeat:
                logprob.keep_better(spent)
            with clock(self.device) as spent:
                learner.update(StepBatch(rollouts=rollouts), [], rng=random.Random(0))
            if repeat:
                update.keep_better(spent)
        yield from (logprob, update)

    @property
    def _optimizer(self) -> OptimizerSpec:
        method = self.spec.method
        assert isinstance(method, TrainedSpec)
        return method.optimizer.model_copy(update={"lr": 1e-9, "epochs": 1, "minibatches": 1})

    def _learner(self) -> Learner:
        """The run's learner without rehearsal and reference, and with steps too small to change what is sampled."""
        name = self.parts.roster.cast.trained[0]
        method: Any = OnlineSpec(
            name="bench",
            advantage=GroupRelative(scale="none"),
            loss=ClippedPolicyLoss(entropy_coef=0.0),
            optimizer=self._optimizer,
        )
        return Learner(method, self.spec.learner, {name: self.policy}, policy_of={"bench": name}, references={})
