"""The base every block of a spec stands on: strict, documented, torch-free."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler
from pydantic_core import CoreSchema

__all__ = ["Block", "Group", "Live", "Probability", "Unit"]


class Block(BaseModel):
    """One swappable part of an experiment.

    Unknown keys are refused, field docstrings become the help text of the form, and
    blocks are frozen because a spec never changes after a run was created from it.
    """

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
        validate_default=True,
        allow_inf_nan=False,
        protected_namespaces=(),
    )


class _SchemaNote:
    """Writes one key into the JSON schema of the field it annotates."""

    key: str

    def __init__(self, value: str | bool) -> None:
        self.value = value

    def __get_pydantic_json_schema__(self, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {**handler(core_schema), self.key: self.value}


class Unit(_SchemaNote):
    """The unit a number is given in, shown behind its field: ``Unit("tokens")``."""

    key = "x-unit"


class Group(_SchemaNote):
    """The heading a field stands under in the form: ``Group("Rewards")``."""

    key = "x-group"


class Live(_SchemaNote):
    """The field may be changed while a run is at work, from one step to the next: ``Live()``."""

    key = "x-live"

    def __init__(self) -> None:
        super().__init__(True)


Probability = Annotated[float, Field(ge=0, le=1)]
