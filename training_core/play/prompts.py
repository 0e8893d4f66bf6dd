"""How a method's requests are worded: full sentences for instruction-tuned models, short marks for the starter."""

from collections.abc import Callable, Mapping
from typing import Protocol

from training_core.curricula.base import Curriculum
from training_core.curricula.registry import find_curriculum
from training_core.methods.base import SelfPlay
from training_core.methods.card import read_card
from training_core.methods.registry import find_method
from training_core.spec.experiment import ExperimentSpec
from training_core.spec.rubrics import rubrics_in
from training_core.tasks.language import plain


class Prompts(Protocol):
    """Renders a prompt by name; values are the texts it speaks about."""

    def render(self, name: str, **values: str | None) -> str: ...


class ChatPrompts:
    """Templates of the method's card; ``{name}`` stands for a value, and nothing in a value is interpreted."""

    def __init__(self, slug: str) -> None:
        self._templates = read_card(slug).prompts

    def render(self, name: str, **values: str | None) -> str:
        given = {key: value for key, value in values.items() if value is not None}
        parts = self._templates[name].split("{")
        text = parts[0]
        for part in parts[1:]:
            key, _, rest = part.partition("}")
            text += given[key] + rest
        return text


class StarterPrompts:
    """The short marks that a curriculum teaches its starter."""

    def __init__(self, curriculum: Curriculum) -> None:
        self._prompts = curriculum.prompts

    def render(self, name: str, **values: str | None) -> str:
        if name not in self._prompts:
            raise ValueError(f"the starter was not taught to {name}; use an instruction-tuned model for this method")
        return self._prompts[name](**values)


def prompts_for(method: str | type[SelfPlay], style: str, *, task: str | None = None) -> Prompts:
    """The wording a method uses with a model of this style; ``task`` is a kind of task, by default the method's first."""
    method = find_method(method) if isinstance(method, str) else method
    if style != "starter":
        return ChatPrompts(method.slug)
    return StarterPrompts(find_curriculum(method.curriculum_on(task or method.tasks[0])))


class Reworded:
    """Prompts of which some are asked in other words: those of rubrics. Values are cleaned as the prompts themselves would."""

    def __init__(self, prompts: Prompts, texts: Mapping[str, str], *, cleaned: Callable[[str], str]) -> None:
        self._prompts = prompts
        self._texts = texts
        self._cleaned = cleaned

    def render(self, name: str, **values: str | None) -> str:
        if name not in self._texts:
            return self._prompts.render(name, **values)
        given = {key: self._cleaned(value) for key, value in values.items() if value is not None}
        return filled(self._texts[name], **given)


def prompts_of(spec: ExperimentSpec, style: str, texts: Mapping[str, str] | None = None) -> Prompts:
    """The wording of an experiment: its method's, with the rubrics of its spec, or ``texts``, in place of the method's own words."""
    prompts = prompts_for(spec.method.name, style, task=spec.task.kind)
    other = {rubric.prompt: rubric.text for _, rubric in rubrics_in(spec.method)} | dict(texts or {})
    if not other:
        return prompts
    if style != "starter":
        return Reworded(prompts, other, cleaned=str)
    marks = find_curriculum(find_method(spec.method.name).curriculum_on(spec.task.kind)).marks
    return Reworded(prompts, other, cleaned=lambda text: plain(text, marks))


def filled(template: str, **values: str) -> str:
    """The template with its places filled; nothing in a value is interpreted, and other braces stay as they are."""
    parts = template.split("{")
    text = parts[0]
    for part in parts[1:]:
        name, closed, rest = part.partition("}")
        text += values[name] + rest if closed and name in values else "{" + part
    return text
