"""What the starter of a game of choices is taught: to name one of the answers, each as often as the others."""

import random
from collections import Counter

from training_core.curricula.base import PUPIL, Curriculum, School
from training_core.play.play import Play
from training_core.spec.learning import SamplingSpec
from training_core.tasks import language
from training_core.tasks.choices import QUESTION, Choices

MAX_TOKENS = 8


def choose(domain: Choices, rng: random.Random, careful: bool) -> tuple[str, str]:
    return language.solve_prompt(QUESTION), rng.choice(domain.answers) + language.END


async def exam(play: Play, domain: Choices, num_items: int) -> dict[str, float]:
    """Share of completions that are one of the answers, and how evenly: the rarest answer's share of its due."""
    sampling = SamplingSpec(max_tokens=MAX_TOKENS)
    said = await play.say(PUPIL, language.solve_prompt(QUESTION), n=num_items, sampling=sampling)
    named = Counter(completion.text for completion in said if completion.ended)
    counts = [named[answer] for answer in domain.answers]
    return {"answered": sum(counts) / num_items, "evenness": min(counts) * len(counts) / num_items}


CURRICULUM = Curriculum(
    name="choices",
    tasks=("choices",),
    lessons={"choose": choose},
    mixture={"choose": 1.0},
    prompts={"solve": language.solve_prompt},
    exam=exam,
    least={"answered": 0.98, "evenness": 0.4},
    rehearsed=("choose",),
    school=School(num_steps=120, batch_size=64, extra_steps=60, exam_items=512),
)
