"""Who grades answers and questions."""

from typing import Annotated, Literal

from pydantic import Field

from training_core.spec.base import Block, Probability


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


AUDITOR = "auditor"
"""The role of a hidden auditor that is a model."""


class NoAudit(Block):
    """Nobody looks over the judge's shoulder."""

    kind: Literal["none"] = "none"


class VerifierAudit(Block):
    """The task's own verifier grades a share of the answers again; nothing is learnt from it."""

    kind: Literal["verifier"] = "verifier"
    share: Probability = 0.5
    """Share of the judged answers that are audited."""


class FrozenAudit(Block):
    """A frozen copy of the weights the run began with judges a share of the answers again; nothing is learnt from it."""

    kind: Literal["frozen"] = "frozen"
    share: Probability = 0.25
    """Share of the judged answers that are audited; each costs one more verdict."""


AuditSpec = Annotated[NoAudit | VerifierAudit | FrozenAudit, Field(discriminator="kind")]
