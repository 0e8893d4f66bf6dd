"""Teaching texts of the starter that are mixed into an update."""

import random
from typing import Any

from training_core.curricula.base import Curriculum
from training_core.learn.logprobs import Text
from training_core.policies.loaded import LoadedPolicy
from training_core.spec.trained import RehearsalSpec


def rehearsal_texts(
    rehearsal: RehearsalSpec | None, curriculum: Curriculum, domain: Any, policy: LoadedPolicy, rng: random.Random
) -> list[Text]:
    """The lessons of one update, from the kinds that the curriculum rehearses; none where nothing is rehearsed."""
    if rehearsal is None:
        return []
    texts = []
    for _ in range(rehearsal.rows):
        judging = rng.random() < rehearsal.judge_share
        kinds = (curriculum.judging if judging else curriculum.rehearsed) or curriculum.judging or curriculum.rehearsed
        kind = rng.choice(kinds) if len(kinds) > 1 else kinds[0]
        prompt, completion = curriculum.lessons[kind](domain, rng, False)
        texts.append(Text(prompt_ids=policy.encode(prompt), token_ids=policy.encode(completion)))
    return texts
