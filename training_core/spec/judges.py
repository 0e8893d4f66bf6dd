"""Who grades answers and questions."""

from typing import Annotated, Literal

from pydantic import Field

from training_core.spec.base import Block


class CurrentJudge(Block):
    """The weights being trained judge as well, as in the paper."""

    kind: Literal["current"] = "current"


class FrozenJudge(Block):
    """A frozen copy of the weights the run began with judges; it cannot drift."""

    kind: Literal["frozen"] = "frozen"


class VerifierJudge(Block):
    """The task's own verifier judges. An upper line to compare with; needs a task whose questions can be solved by rule."""

    kind: Literal["verifier"] = "verifier"


class RandomJudge(Block):
    """Scores drawn at random. A control: nothing should be learnt."""

    kind: Literal["random"] = "random"


JudgeSpec = Annotated[CurrentJudge | FrozenJudge | VerifierJudge | RandomJudge, Field(discriminator="kind")]
