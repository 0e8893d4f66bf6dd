"""How a method's requests are worded: full sentences for instruction-tuned models, short marks for the starter."""

from typing import Protocol

from training_core.methods.card import read_card
from training_core.tasks import language


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
    """The starter's own language (``training_core.tasks.language``)."""

    def render(self, name: str, **values: str | None) -> str:
        match name:
            case "propose" | "propose_from" | "propose_from_answered":
                return language.propose_prompt(values.get("reference"), values.get("reference_answer"))
            case "solve":
                return language.solve_prompt(values["question"] or "")
            case "judge":
                return language.judge_prompt(values["question"] or "", values["answer"] or "")
            case "review":
                return language.review_prompt(values["question"] or "")
        raise ValueError(f"the starter model was not taught to {name}; use an instruction-tuned model for this method")


def prompts_for(slug: str, style: str) -> Prompts:
    """The wording a method uses with a model of this style."""
    return StarterPrompts() if style == "starter" else ChatPrompts(slug)
