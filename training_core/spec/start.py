"""Where a run begins when it does not begin anew."""

from typing import Annotated, Literal

from pydantic import Field

from training_core.spec.base import Block, Unit


class StartSpec(Block):
    """Begin from a checkpoint of another run: a fork.

    Example: ``StartSpec(run="0b0f2c1e-...", step=50, what="everything")``.
    """

    run: Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    """Id of that run, which is the name of its folder beside this run's folder."""
    step: Annotated[int, Field(ge=1, le=10_000_000), Unit("steps")]
    """Step of the checkpoint."""
    what: Literal["everything", "weights"] = "everything"
    """everything goes on from that step, with optimiser, pools and counters; weights begins at step 0 with those weights as its start."""
