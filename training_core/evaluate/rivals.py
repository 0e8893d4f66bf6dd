"""How often a player's answers beat those of other policies, by an oracle."""

from collections.abc import Sequence
from statistics import fmean as mean

from training_core.play.oracle import Oracle, candidate_of
from training_core.play.play import Play


async def win_rate_against(
    play: Play, oracle: Oracle, asked: Sequence[tuple[str, str]], *, player: str, rivals: Sequence[str]
) -> dict[str, float]:
    """Mean chance of one sampled answer of ``player`` to beat one of each rival, over ``(question, prompt)`` pairs.

    Names are roles. One half means as good as the rival; its standard error is at most 0.5 / sqrt(prompts).
    """

    async def meet(question: str, prompt: str) -> list[float]:
        answers = [(await play.say(role, prompt))[0] for role in (player, *rivals)]
        own, *others = (candidate_of(answer) for answer in answers)
        return await oracle.compare(play, None, question, [(own, other) for other in others])

    chances = await play.gather(meet(question, prompt) for question, prompt in asked)
    return {rival: mean(row[place] for row in chances) for place, rival in enumerate(rivals)}
