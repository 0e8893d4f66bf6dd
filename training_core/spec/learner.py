"""How the update is computed: precision, memory and the correction for completions sampled elsewhere."""

from typing import Annotated, Literal

from pydantic import Field

from training_core.spec.base import Block, Unit


class LearnerSpec(Block):
    """How the gradient is computed. Nothing here changes what is learnt, except precision, correction and ahead."""

    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Number format of the forward and backward pass; auto takes bfloat16 on GPUs that have it. The loss is always float32."""
    gradient_checkpointing: bool = False
    """Keep fewer activations and compute them again in the backward pass: about a third slower, far less memory."""
    share_prompts: Literal["auto", "always", "never"] = "auto"
    """Run a prompt once for all completions of it, with exact gradients; auto does so where it saves work, several processes never do."""
    logits_chunk: Annotated[int, Field(ge=1, le=1_000_000), Unit("tokens")] = 1024
    """Tokens whose scores over a large vocabulary are held in memory at once; fewer needs less memory."""
    correction: Literal["auto", "none", "truncated"] = "auto"
    """truncated weighs each token by how much likelier the learner finds it than the sampler did; auto does so where these may differ."""
    correction_cap: Annotated[float, Field(ge=1, le=100)] = 2.0
    """Largest weight of the correction."""
    ahead: Annotated[int, Field(ge=0, le=1), Unit("steps")] = 0
    """1 samples the next step while this one is learnt, from weights that are one update old; 0 waits for the update."""

    overrule_window: Annotated[int, Field(ge=0, le=64), Unit("steps")] = 16
    """Steps whose rollouts are kept, so that a verdict that a person overrules can still be learnt from; 0 keeps none."""

    def corrects(self, *, sampler_is_learner: bool) -> bool:
        """Whether the correction is on. Auto: completions come from elsewhere, or from older weights."""
        if self.correction == "auto":
            return self.ahead > 0 or not sampler_is_learner
        return self.correction == "truncated"
