"""What a curriculum is: everything a starter is taught for one family of methods. Torch-free."""

import random
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from training_core.play.play import Play
from training_core.play.requests import Completion
from training_core.spec.learning import SamplingSpec

Lesson = Callable[[Any, random.Random, bool], tuple[str, str]]
"""``lesson(domain, rng, careful)`` gives a prompt and the completion taught for it, end mark included.

``domain`` is that of one of the curriculum's tasks, of which only the training side may be shown. A careful pupil makes no
slips; lessons that know no slips ignore it.
"""
Exam = Callable[[Play, Any, int], Coroutine[Any, Any, dict[str, float]]]
"""``await exam(play, domain, num_items)`` gives scores by name, each a share from 0 to 1; the pupil speaks as ``PUPIL``."""
Prompt = Callable[..., str]
"""``prompt(**values)`` words one request in the starter's language; foreign text goes through ``language.plain``."""

PUPIL = "pupil"
"""The role in which the policy under examination speaks."""
NUM_SKIPPED = 256
"""Exams leave the first held-out items to the runs' own evaluation."""
MAX_TOKENS = 96
"""Longest completion in an exam, unless the exam says otherwise."""


@dataclass(frozen=True, kw_only=True)
class School:
    """Shape of the model and schedule of its teaching. Example: ``School(num_steps=600, exam_items=128)``."""

    hidden_size: int = 96
    num_layers: int = 2
    num_heads: int = 3
    """Each head is 32 wide, the least that vLLM's kernels for CPUs take."""
    intermediate_size: int = 128
    max_context: int = 512
    batch_size: int = 64
    num_steps: int = 1100
    """Steps of the first course; its step size falls to 0 over the second half."""
    careful_share: float = 0.5
    """Share of the first course whose pupil never slips: skills are learnt faster from clean text, slips at once."""
    extra_steps: int = 150
    """Steps of each further course, taken while the scores are not reached."""
    max_extra_courses: int = 4
    muon_lr: float = 0.006
    adamw_lr: float = 0.015
    exam_items: int = 256


@dataclass(frozen=True, kw_only=True)
class Curriculum:
    """Lessons, wording and exam of a starter; a module ``training_core/curricula/<name>.py`` has one as ``CURRICULUM``.

    Example: ``Curriculum(name="evolve", tasks=("arithmetic", "strings"), lessons={"solve": solve, ...}, mixture={"solve": 1.0}, ...)``.
    """

    name: str
    tasks: tuple[str, ...]
    """Kinds of task it can be taught on; the first is its default."""
    lessons: Mapping[str, Lesson]
    """Every kind of lesson."""
    mixture: Mapping[str, float]
    """Shares of the kinds of lessons."""
    prompts: Mapping[str, Prompt]
    """How the starter is asked, by the names that methods give to ``prompts.render``."""
    exam: Exam
    least: Mapping[str, float]
    """Where teaching may end: further courses are given until every score of the exam that is named here is reached."""
    careful_mixture: Mapping[str, float] = field(default_factory=dict)
    """Shares of the kinds of lessons while the pupil is careful; empty takes ``mixture``."""
    weights: Mapping[str, float] = field(default_factory=dict)
    """Weight of a token of each kind's completions in the loss; 1 for kinds that are not named."""
    marks: tuple[str, ...] = ()
    """Single tokens of this curriculum beside those of ``training_core.tasks.language``, for example ``("<|revise|>",)``."""
    judging: tuple[str, ...] = ()
    """Kinds of lessons that rehearsal shows as judging."""
    rehearsed: tuple[str, ...] = ()
    """Kinds of lessons that rehearsal shows beside judging."""
    school: School = School()


async def say_each(
    play: Play, prompts: Iterable[str], *, temperature: float = 1.0, max_tokens: int | None = None
) -> list[str]:
    """One completion of each prompt by the pupil, in order: what most exams are made of."""
    sampling = SamplingSpec(temperature=temperature, max_tokens=max_tokens or MAX_TOKENS)
    said: list[list[Completion]] = await play.gather(play.say(PUPIL, prompt, sampling=sampling) for prompt in prompts)
    return [completions[0].text for completions in said]
