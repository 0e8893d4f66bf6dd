"""What a report is made of. Blocks name runs and metrics; what these say is read whenever the report is shown."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

MAX_BLOCKS, MAX_RUNS, MAX_TEXT = 60, 50, 20_000


class _Block(BaseModel):
    model_config = ConfigDict(extra="forbid")

    @property
    def run_ids(self) -> list[UUID]:
        """The runs it reads."""
        return list(getattr(self, "runs", ()))


class TextBlock(_Block):
    """Words in Markdown: ``{"kind": "text", "text": "## What we tried"}``."""

    kind: Literal["text"] = "text"
    text: Annotated[str, Field(max_length=MAX_TEXT)] = ""


class _OfRuns(_Block):
    runs: Annotated[list[UUID], Field(max_length=MAX_RUNS)] = Field(default_factory=list)


class ChartBlock(_OfRuns):
    """A metric of some runs over their steps: ``{"kind": "chart", "metric": "reward/solver", "runs": [...]}``."""

    kind: Literal["chart"] = "chart"
    metric: Annotated[str, Field(max_length=80)] = ""


class ScoresBlock(_OfRuns):
    """Held-out scores of each run before and after."""

    kind: Literal["scores"] = "scores"


class SettingsBlock(_OfRuns):
    """The settings in which the runs differ."""

    kind: Literal["settings"] = "settings"


class SampleBlock(_OfRuns):
    """One sample of the first run, with what was said and what it earned."""

    kind: Literal["sample"] = "sample"
    seq: Annotated[int, Field(ge=0, lt=2**62)] = 0


class PassportBlock(_OfRuns):
    """The passports of the runs."""

    kind: Literal["passport"] = "passport"


AnyBlock = TextBlock | ChartBlock | ScoresBlock | SettingsBlock | SampleBlock | PassportBlock
Block = Annotated[AnyBlock, Field(discriminator="kind")]
_BLOCKS: TypeAdapter[list[AnyBlock]] = TypeAdapter(Annotated[list[Block], Field(max_length=MAX_BLOCKS)])

KINDS = {
    "text": "Text",
    "chart": "Chart",
    "scores": "Scores before and after",
    "settings": "Different settings",
    "sample": "Sample",
    "passport": "Passport",
}
"""Kinds of blocks with their titles, in the order in which they are offered."""


def read_blocks(stored: Sequence[Any]) -> list[AnyBlock]:
    """The blocks of a report; raises ``ValueError`` with a sentence where one cannot be understood."""
    try:
        return _BLOCKS.validate_python(list(stored))
    except ValidationError as error:
        first = error.errors()[0]
        place = first["loc"][0] if first["loc"] else None
        where = f"Block {int(place) + 1}" if isinstance(place, int) else "The report"
        raise ValueError(f"{where} cannot be used: {first['msg'][0].lower()}{first['msg'][1:]}.") from error


def dump_blocks(blocks: Sequence[AnyBlock]) -> list[dict[str, Any]]:
    return [block.model_dump(mode="json") for block in blocks]
