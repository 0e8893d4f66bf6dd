"""Several attempts at one question, each seeing the one before: who improves, who spoils, who copies."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from training_core.play.play import Play
from training_core.play.requests import Completion
from training_core.rewards.tags import last_tag
from training_core.spec.events import EvaluationItem
from training_core.spec.learning import SamplingSpec
from training_core.tasks.base import Domain, Item

NUM_SHOWN = 8


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """A completion, the answer read out of it, and whether that is right."""

    completion: Completion
    answer: str | None
    right: bool

    def copies(self, other: "Attempt") -> bool:
        """Whether both give the same answer, or neither gives any."""
        return self.answer == other.answer


def read_attempt(domain: Domain, item: Item, completion: Completion) -> Attempt:
    """What a completion says to an item."""
    answer = last_tag(completion.text, "answer")
    return Attempt(completion=completion, answer=answer, right=answer is not None and domain.check(answer, item.answer))


def transitions(pairs: Sequence[tuple[Attempt, Attempt]]) -> dict[str, float]:
    """First and second attempt compared; all are shares of all pairs, ``delta`` is ``accuracy_2`` minus ``accuracy_1``."""
    if not pairs:
        return {}
    return {
        "accuracy_1": _share(first.right for first, _ in pairs),
        "accuracy_2": _share(second.right for _, second in pairs),
        "delta": _share(second.right for _, second in pairs) - _share(first.right for first, _ in pairs),
        "wrong_to_right": _share(second.right and not first.right for first, second in pairs),
        "right_to_wrong": _share(first.right and not second.right for first, second in pairs),
        "copies": _share(second.copies(first) for first, second in pairs),
    }


@dataclass(frozen=True, kw_only=True)
class Chain:
    """All attempts at an item, in order."""

    item: Item
    attempts: list[Attempt]


async def attempt_held_out(
    play: Play,
    domain: Domain,
    items: Sequence[Item],
    *,
    roles: tuple[str, str],
    first_prompt: Callable[[str], str],
    next_prompt: Callable[[str, Attempt], str],
    num_attempts: int,
    num_chains: int,
    sampling: SamplingSpec,
) -> list[Chain]:
    """``num_chains`` chains for every item. ``roles`` speak the first and every later attempt; a later one sees the one before."""

    async def continue_chain(item: Item, attempt: Attempt) -> Chain:
        chain = [attempt]
        for _ in range(num_attempts - 1):
            said = await play.say(roles[1], next_prompt(item.question, chain[-1]), sampling=sampling)
            chain.append(read_attempt(domain, item, said[0]))
        return Chain(item=item, attempts=chain)

    async def ask(item: Item) -> list[Chain]:
        said = await play.say(roles[0], first_prompt(item.question), n=num_chains, sampling=sampling)
        chains: list[Chain] = await play.gather(
            continue_chain(item, read_attempt(domain, item, completion)) for completion in said
        )
        return chains

    return [chain for chains in await play.gather(map(ask, items)) for chain in chains]


def chain_scores(chains: Sequence[Chain]) -> dict[str, float]:
    """The transitions from the first to the second attempt, the accuracy of every attempt, and ``accuracy``, the last one's."""
    scores = transitions([(chain.attempts[0], chain.attempts[1]) for chain in chains])
    for place in range(2, len(chains[0].attempts)):
        scores[f"accuracy_{place + 1}"] = _share(chain.attempts[place].right for chain in chains)
    return scores | {"accuracy": _share(chain.attempts[-1].right for chain in chains)}


def shown_chains(chains: Sequence[Chain]) -> list[EvaluationItem]:
    """The first few items with all their answers, as ``36 -> 73``."""
    return [
        EvaluationItem(
            question=chain.item.question,
            expected=chain.item.answer,
            answer=" -> ".join(attempt.answer or "(none)" for attempt in chain.attempts),
            correct=chain.attempts[-1].right,
        )
        for chain in chains[:NUM_SHOWN]
    ]


def _share(values: Iterable[bool]) -> float:
    listed = list(values)
    return sum(listed) / len(listed)
