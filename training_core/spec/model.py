"""Which weights play, and how they are adapted."""

import re
from typing import Annotated, Literal

from pydantic import Field, field_validator

from training_core.spec.base import Block, Unit

PATH_STARTS = ("/", "./", "../", "~")
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


class LoraSpec(Block):
    """Train low-rank adapters and leave the base weights untouched (needs peft)."""

    rank: Annotated[int, Field(ge=1, le=512)] = 16
    """Rank of the update; higher learns more and costs more memory."""
    alpha: Annotated[float, Field(gt=0, le=1024)] = 32.0
    """Scale of the update; the effective factor is alpha / rank."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of adapter inputs dropped while training. Keep 0 for on-policy methods."""


class ModelSpec(Block):
    """The base model every role of the experiment starts from.

    Example: ``ModelSpec(source="Qwen/Qwen2.5-3B-Instruct", adapter=LoraSpec(rank=32))``.
    """

    source: Annotated[str, Field(min_length=1, max_length=300)] = "starter"
    """"starter" (made locally, no download), a folder with safetensors, or a hub id such as Qwen/Qwen2.5-3B-Instruct."""
    revision: Annotated[str, Field(max_length=100)] | None = None
    """Branch, tag or commit of a hub model; empty means its main branch."""
    adapter: LoraSpec | None = None
    """Empty trains all weights; LoRA trains a small adapter."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Number format of the weights. Use bfloat16 on GPUs only."""
    prompt_style: Literal["auto", "chat", "starter"] = "auto"
    """How instructions are written: full sentences through the chat template, or the starter's short marks."""
    max_context: Annotated[int, Field(ge=64, le=1_000_000), Unit("tokens")] | None = None
    """Longest prompt plus completion; empty takes the model's own limit."""

    @field_validator("source")
    @classmethod
    def _source_is_known_shape(cls, value: str) -> str:
        if value in STARTER_SOURCES or value.startswith(PATH_STARTS) or _HUB_ID.fullmatch(value):
            return value
        raise ValueError(
            f"{value!r} is neither {', '.join(map(repr, STARTER_SOURCES))}, a path that starts with / or ./, "
            "nor a hub id of the form owner/name"
        )

    @property
    def is_starter(self) -> bool:
        return self.source in STARTER_SOURCES

    @property
    def is_hub_id(self) -> bool:
        return not self.is_starter and not self.source.startswith(PATH_STARTS)


STARTER_SOURCES = ("starter", "starter:arithmetic", "starter:strings")


class WeightsSpec(Block):
    """Which roles speak with the same weights. Roles that are not trained keep the weights the run starts from."""

    kind: Annotated[Literal["shared", "separate", "adapters"], Field(title="Who shares weights")] = "shared"
    """shared leaves it to the method; separate gives every trained role a whole copy of the model, adapters a LoRA adapter."""
