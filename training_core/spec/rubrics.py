"""What a judge is asked, in words other than the method's own: a text with places for what is judged.

Each kind names the prompt of the methods that it stands for, so a field of one of these types is all that a method needs to take
rubrics: ``prompts_of`` finds it.
"""

import re
from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from training_core.spec.base import Block

MAX_TEXT = 20_000
_STARTERS_MARK = "<|"
_PLACE = re.compile(r"\{([A-Za-z_]\w*)\}")


class RubricSpec(Block):
    """A rubric: the text itself, and of which version of the library's it is the text."""

    kind: ClassVar[str]
    title: ClassVar[str]
    """What it does, in words: grades an answer."""
    prompt: ClassVar[str]
    """The method's prompt it stands for."""
    places: ClassVar[tuple[str, ...]]
    """What may stand in braces."""
    needs: ClassVar[tuple[str, ...]]
    """What must: without it the judge would not see what it judges."""
    reads: ClassVar[str]
    """The tag its verdict is read from."""
    verdict: ClassVar[str]
    """What stands in that tag, in words."""

    text: Annotated[str, Field(max_length=MAX_TEXT)]
    """What the judge is told; {question} and the like stand for what is judged."""
    name: Annotated[str, Field(max_length=80)] = ""
    """Its name in the library; empty for words that stand in this spec only."""
    version: Annotated[int, Field(ge=0)] = 0
    """Its version in the library, from 1 on."""
    digest: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$", max_length=64)] = ""
    """sha256 of the text; filled in where it is empty."""

    @field_validator("text", mode="before")
    @classmethod
    def _plain_text(cls, value: Any) -> Any:
        return clean(value) if isinstance(value, str) else value

    @field_validator("text", mode="after")
    @classmethod
    def _shows_what_is_judged(cls, value: str) -> str:
        if problems := problems_of(cls, value):
            raise ValueError("; ".join(problems))
        return value

    @model_validator(mode="after")
    def _is_the_text_of_its_digest(self) -> "RubricSpec":
        digest = digest_of(self.text)
        if self.digest and self.digest != digest:
            raise ValueError(
                f"the text is not that of {self.label}: its digest is {digest[:12]}, not {self.digest[:12]}; empty name, "
                "version and digest for words of your own"
            )
        if not self.digest:
            vars(self)["digest"] = digest
        return self

    @property
    def label(self) -> str:
        """``Strict, version 2``"""
        return f"{self.name}, version {self.version}" if self.name else "words of its own"


class AnswerRubric(RubricSpec):
    """The judge is asked in the words of a rubric."""

    model_config = ConfigDict(json_schema_extra={"x-rubric": "answer"})
    kind = "answer"
    title = "Grades an answer"
    prompt = "judge"
    places = ("question", "answer")
    needs = ("answer",)
    reads = "score"
    verdict = "a whole number from 1 to 10"


class QuestionRubric(RubricSpec):
    """The judge is asked in the words of a rubric."""

    model_config = ConfigDict(json_schema_extra={"x-rubric": "question"})
    kind = "question"
    title = "Reviews a question"
    prompt = "review"
    places = ("question",)
    needs = ("question",)
    reads = "score"
    verdict = "a whole number from 1 to 10"


class PairRubric(RubricSpec):
    """The judge is asked in the words of a rubric."""

    model_config = ConfigDict(json_schema_extra={"x-rubric": "pair"})
    kind = "pair"
    title = "Compares two answers"
    prompt = "compare"
    places = ("question", "first", "second")
    needs = ("first", "second")
    reads = "better"
    verdict = "1 or 2"


class VoteRubric(RubricSpec):
    """The judge is asked in the words of a rubric."""

    model_config = ConfigDict(json_schema_extra={"x-rubric": "vote"})
    kind = "vote"
    title = "Accepts an answer or not"
    prompt = "judge"
    places = ("question", "answer")
    needs = ("answer",)
    reads = "verdict"
    verdict = "Yes or No"


RUBRICS: Mapping[str, type[RubricSpec]] = {
    each.kind: each for each in (AnswerRubric, QuestionRubric, PairRubric, VoteRubric)
}
"""Every kind of rubric by its name."""


def clean(text: str) -> str:
    """Line ends as they are stored, nothing around the text."""
    return text.replace("\r\n", "\n").strip()


def digest_of(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def problems_of(kind: type[RubricSpec], text: str) -> list[str]:
    """Why no judge could be asked with this text, each as a sentence; empty where one can."""
    if not text:
        return ["a rubric needs a text"]
    found = _PLACE.findall(text)
    unknown = [name for name in dict.fromkeys(found) if name not in kind.places]
    missing = [name for name in kind.needs if name not in found]
    offered = _listed([f"{{{name}}}" for name in kind.places])
    problems = [f"{{{name}}} is not known here; a rubric of this kind may show {offered}" for name in unknown]
    problems += [f"the judge's prompt never shows the {name}; put {{{name}}} where it belongs" for name in missing]
    return problems


def require_usable(kind: type[RubricSpec], text: str) -> None:
    """Raise ``ValueError``, in sentences, unless a judge can be asked with this text and it can be kept."""
    if len(text) > MAX_TEXT:
        raise ValueError(f"A rubric has at most {MAX_TEXT:,} characters, this one has {len(text):,}.")
    if "\0" in text:
        raise ValueError("A rubric cannot hold NUL characters.")
    if problems := problems_of(kind, text):
        raise ValueError(" ".join(f"{problem[0].upper()}{problem[1:]}." for problem in problems))


def hints_of(kind: type[RubricSpec], text: str) -> list[str]:
    """What is likely forgotten, though the text can be used. The starter's marks say by themselves what is asked."""
    hints = []
    if f"<{kind.reads}>" not in text and _STARTERS_MARK not in text:
        hints.append(
            f"It never asks for <{kind.reads}>. The verdict is read from between <{kind.reads}> and </{kind.reads}> "
            f"({kind.verdict}), and a model that is not told will not write it."
        )
    if "question" in kind.places and "{question}" not in text:
        hints.append("It never shows {question}, so the judge sees what was answered but not what was asked.")
    return hints


def rubrics_in(block: BaseModel, path: str = "") -> Iterator[tuple[str, RubricSpec]]:
    """Every rubric that a block of a spec holds, with the path of its field: ``("judge_rubric", AnswerRubric(...))``."""
    for name in type(block).model_fields:
        value = getattr(block, name)
        if isinstance(value, RubricSpec):
            yield f"{path}{name}", value
        elif isinstance(value, BaseModel):
            yield from rubrics_in(value, f"{path}{name}.")


def named_in(spec: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, str]]:
    """The rubrics of a dumped block as people name them: ``("judge_rubric", "Strict version 2")``."""
    for key, value in spec.items():
        if not isinstance(value, Mapping):
            continue
        if value.keys() == {"text", "name", "version", "digest"}:
            name = f"{value['name']} version {value['version']}" if value["name"] else f"words {value['digest'][:8]}"
            yield f"{path}{key}", name
        else:
            yield from named_in(value, f"{path}{key}.")


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
