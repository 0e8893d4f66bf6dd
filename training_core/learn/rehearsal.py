"""Teaching texts of the starter that are mixed into an update."""

import random

from training_core.learn.logprobs import Text
from training_core.policies.loaded import LoadedPolicy
from training_core.spec.trained import RehearsalSpec
from training_core.tasks.base import Domain
from training_core.tasks.lessons import lesson


def rehearsal_texts(
    rehearsal: RehearsalSpec | None, domain: Domain, policy: LoadedPolicy, rng: random.Random
) -> list[Text]:
    """The lessons of one update; none where nothing is rehearsed."""
    if rehearsal is None:
        return []
    texts = []
    for _ in range(rehearsal.rows):
        judging = rng.random() < rehearsal.judge_share
        # Never "solve": those lessons are a careless pupil's, and answers are for self-play to improve.
        kind = rng.choice(("judge", "judge_stray", "review")) if judging else "propose"
        prompt, completion = lesson(domain, kind, rng)
        texts.append(Text(prompt_ids=policy.encode(prompt), token_ids=policy.encode(completion)))
    return texts
