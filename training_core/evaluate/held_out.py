"""Accuracy on held-out items, at sampling temperature and greedy."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from training_core.play.play import Play
from training_core.play.requests import Completion
from training_core.rewards.tags import last_tag
from training_core.spec.events import EvaluationItem, League
from training_core.spec.learning import SamplingSpec
from training_core.spec.trained import TrainedSpec
from training_core.tasks.base import Domain, Item

if TYPE_CHECKING:
    from training_core.methods.base import SelfPlay

NUM_SHOWN = 8


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Scores by name, a few items for reading, and a reason to stop the run if the method found one."""

    num_items: int
    scores: dict[str, float]
    metrics: dict[str, float] = field(default_factory=dict)
    """Further findings, by full metric name."""
    items: list[EvaluationItem] = field(default_factory=list)
    league: League | None = None
    """Opponents rated against each other, where the method keeps some."""
    stop_reason: str | None = None


@dataclass(frozen=True, kw_only=True)
class Answered:
    """A held-out item with the answers it got."""

    item: Item
    sampled: list[str | None]
    greedy: str | None


async def held_out_accuracy(play: Play, method: "SelfPlay", *, role: str) -> Evaluation:
    """Accuracy of a role that is asked by the prompt ``solve`` and answers between answer tags: the least an evaluation measures."""
    settings, spec = method.experiment.evaluation, method.experiment.method
    assert isinstance(spec, TrainedSpec)
    items = method.domain.held_out(settings.num_items)
    answered = await answer_held_out(
        play,
        items,
        role=role,
        prompt=lambda question: method.prompts.render("solve", question=question),
        read=lambda completion: last_tag(completion.text, "answer"),
        samples_per_item=settings.samples_per_item,
        sampling=spec.sampling,
    )
    return Evaluation(
        num_items=len(items), scores=accuracy(method.domain, answered), items=shown_items(method.domain, answered)
    )


async def answer_held_out(
    play: Play,
    items: Sequence[Item],
    *,
    role: str,
    prompt: Callable[[str], str],
    read: Callable[[Completion], str | None],
    samples_per_item: int,
    sampling: SamplingSpec,
) -> list[Answered]:
    """Ask every item: ``samples_per_item`` sampled answers and one greedy answer."""
    greedy = sampling.model_copy(update={"temperature": 0.0})

    async def ask(item: Item) -> Answered:
        text = prompt(item.question)
        sampled = await play.say(role, text, n=samples_per_item, sampling=sampling)
        best = await play.say(role, text, sampling=greedy)
        return Answered(item=item, sampled=[read(c) for c in sampled], greedy=read(best[0]))

    answered: list[Answered] = await play.gather(ask(item) for item in items)
    return answered


def accuracy(domain: Domain, answered: Sequence[Answered]) -> dict[str, float]:
    """``accuracy_sampled`` and ``accuracy_greedy``: shares of right answers."""
    sampled = [_is_right(domain, each.item, answer) for each in answered for answer in each.sampled]
    greedy = [_is_right(domain, each.item, each.greedy) for each in answered]
    return {"accuracy_sampled": sum(sampled) / len(sampled), "accuracy_greedy": sum(greedy) / len(greedy)}


def shown_items(domain: Domain, answered: Sequence[Answered]) -> list[EvaluationItem]:
    """The first few items with their greedy answers."""
    return [
        EvaluationItem(
            question=each.item.question,
            expected=each.item.answer,
            answer=each.greedy,
            correct=_is_right(domain, each.item, each.greedy),
        )
        for each in answered[:NUM_SHOWN]
    ]


def _is_right(domain: Domain, item: Item, answer: str | None) -> bool:
    return answer is not None and domain.check(answer, item.answer)
