"""Teaches a small model the starter's language from generated text.

Shapes: M taught tokens, those of all completions end to end.
"""

import logging
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from pydantic import TypeAdapter

from training_core.curricula.registry import find_curriculum
from training_core.learn.logprobs import Text
from training_core.learn.muon import StackedMuon
from training_core.learn.passes import best_pass
from training_core.policies.examination import examine, reaches
from training_core.policies.loaded import LoadedPolicy
from training_core.policies.recipe import Recipe
from training_core.policies.tokenizer import build_tokenizer
from training_core.spec.learner import LearnerSpec
from training_core.spec.tasks import TaskSpec
from training_core.tasks.registry import make_domain

logger = logging.getLogger(__name__)

WARMUP_STEPS = 20
EXTRA_SCALE = 0.3
"""Step size at the beginning of a further course, as a share of the first one's."""
FIRST_COURSE, EXAMINED = 0.9, 0.93
"""Fractions of the work that the first course and the first examination end at."""
REPORT_EVERY_S = 0.5
_TASK: TypeAdapter[Any] = TypeAdapter(TaskSpec)


@dataclass(frozen=True, kw_only=True)
class Taught:
    """A starter with the scores it left school with."""

    policy: LoadedPolicy
    scores: dict[str, float]
    num_steps: int
    cpu_s: float


def teach(recipe: Recipe, progress: Callable[[float, str], None]) -> Taught:
    """Make and teach a starter in one thread; the same recipe gives the same weights on one kind of machine."""
    begin = time.process_time()
    domain, school = make_domain(_TASK.validate_python(recipe.task)), recipe.school
    with _one_thread():
        lessons = _Classroom(recipe, domain, _Reporter(progress))
        lessons.course(school.num_steps, scale=1.0, careful_share=school.careful_share, begin=0.0, end=FIRST_COURSE)
        scores = lessons.examine(FIRST_COURSE)
        for extra in range(school.max_extra_courses):
            if reaches(scores, find_curriculum(recipe.curriculum).least):
                break
            start = EXAMINED + (1 - EXAMINED) * extra / school.max_extra_courses
            lessons.course(school.extra_steps, scale=EXTRA_SCALE, careful_share=0.0, begin=start, end=start)
            scores = lessons.examine(start)
    return Taught(policy=lessons.policy, scores=scores, num_steps=lessons.num_steps, cpu_s=time.process_time() - begin)


class _Reporter:
    """Passes progress on, but not more often than anybody reads it."""

    def __init__(self, progress: Callable[[float, str], None]) -> None:
        self._progress = progress
        self._last = 0.0

    def __call__(self, fraction: float, text: str) -> None:
        if time.monotonic() - self._last >= REPORT_EVERY_S:
            self._last = time.monotonic()
            self._progress(fraction, text)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Lesson:
    """Token ids of a lesson and the weight of a token of its completion in the loss."""

    text: Text
    weight: float


class _Classroom:
    """A model, its optimisers and the source of its lessons."""

    def __init__(self, recipe: Recipe, domain: Any, report: _Reporter) -> None:
        self.policy = new_policy(recipe)
        self._forward = best_pass(self.policy, LearnerSpec(share_prompts="never"))
        self.num_steps = 0
        self._curriculum, self._school = find_curriculum(recipe.curriculum), recipe.school
        self._domain, self._report = domain, report
        self._rng = random.Random(recipe.seed)
        named = list(self.policy.model.named_parameters())
        matrices = [p for name, p in named if p.ndim == 2 and "embed_tokens" not in name]
        rest = [p for name, p in named if p.ndim != 2 or "embed_tokens" in name]
        self._optimizers = (
            (StackedMuon(matrices, lr=self._school.muon_lr, weight_decay=0.0), self._school.muon_lr),
            (
                torch.optim.AdamW(rest, lr=self._school.adamw_lr, betas=(0.9, 0.95), weight_decay=0.0, fused=True),
                self._school.adamw_lr,
            ),
        )

    def course(self, num_steps: int, *, scale: float, careful_share: float, begin: float, end: float) -> None:
        """Teach for ``num_steps``; the step size warms up, stays, and falls to 0 over the second half."""
        self.policy.model.train()
        for step in range(num_steps):
            warm, fall = min(1.0, (step + 1) / WARMUP_STEPS), min(1.0, 2 * (1 - step / num_steps))
            careful = step < careful_share * num_steps
            lessons = [self._lesson(careful=careful) for _ in range(self._school.batch_size)]
            self._step(lessons, scale=scale * warm * fall)
            self.num_steps += 1
            self._report(begin + (end - begin) * step / num_steps, f"Teaching the starter, lesson {self.num_steps}")

    def examine(self, fraction: float) -> dict[str, float]:
        self.policy.model.eval()
        scores = examine(
            self.policy,
            self._curriculum,
            self._domain,
            num_items=self._school.exam_items,
            breathe=lambda: self._report(fraction, "Examining the starter"),
        )
        logger.info("starter.examined", extra={"num_steps": self.num_steps, "scores": scores})
        return scores

    def _step(self, lessons: Sequence[_Lesson], *, scale: float) -> None:
        """One update on the weighted mean of all taught tokens."""
        logp_M, _ = self._forward([lesson.text for lesson in lessons], temperature=1.0, with_entropy=False)
        weight_M = torch.cat([torch.full((len(each.text.token_ids),), each.weight) for each in lessons])
        torch.autograd.backward(-(logp_M * weight_M).sum() / weight_M.sum())
        torch.nn.utils.clip_grad_norm_(self.policy.model.parameters(), 1.0)
        for optimizer, lr in self._optimizers:
            for group in optimizer.param_groups:
                group["lr"] = lr * scale
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

    def _lesson(self, *, careful: bool) -> _Lesson:
        taught = self._curriculum
        mixture = (careful and taught.careful_mixture) or taught.mixture
        kind = self._rng.choices(list(mixture), list(mixture.values()))[0]
        prompt, completion = taught.lessons[kind](self._domain, self._rng, careful)
        text = Text(prompt_ids=self.policy.encode(prompt), token_ids=self.policy.encode(completion))
        return _Lesson(text=text, weight=taught.weights.get(kind, 1.0))


def new_policy(recipe: Recipe) -> LoadedPolicy:
    """An untaught starter."""
    from transformers.models.qwen2 import Qwen2Config, Qwen2ForCausalLM

    school = recipe.school
    tokenizer = build_tokenizer(find_curriculum(recipe.curriculum).marks, max_context=school.max_context)
    config = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=school.hidden_size,
        num_hidden_layers=school.num_layers,
        num_attention_heads=school.num_heads,
        num_key_value_heads=school.num_heads,
        intermediate_size=school.intermediate_size,
        max_position_embeddings=school.max_context,
        rope_parameters={"rope_type": "default", "rope_theta": 1000.0},
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        model = Qwen2ForCausalLM(config)
    return LoadedPolicy(
        model=model,
        tokenizer=tokenizer,
        style="starter",
        end_ids=frozenset({tokenizer.eos_token_id}),
        max_context=school.max_context,
    )


@contextmanager
def _one_thread() -> Iterator[None]:
    """One thread is the fastest for a model this small, and the only way to equal weights everywhere."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
