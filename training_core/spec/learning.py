"""Blocks of the learning half: advantages, losses, optimiser. Their tensor code lives in ``training_core.learn``."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from training_core.spec.base import Block, Live, Probability, Unit


class ReinforcePlusPlus(Block):
    """One baseline and one scale per role, taken over all completion tokens of the role (task-relative REINFORCE++)."""

    kind: Literal["reinforce_plus_plus"] = "reinforce_plus_plus"
    formula: ClassVar[str] = "A = (r - mean) / deviation, both over all completion tokens of the role in the batch"


class GroupRelative(Block):
    """Compare each answer with its siblings: answers to one question share a baseline (GRPO)."""

    kind: Literal["group_relative"] = "group_relative"
    formula: ClassVar[str] = "A = (r - mean of the group) / deviation of the group"
    scale: Literal["std", "none"] = "std"
    """std divides by the spread of the group; none keeps the size of the reward difference."""


class LeaveOneOut(Block):
    """Compare each answer with the mean of its siblings, itself left out (RLOO)."""

    kind: Literal["leave_one_out"] = "leave_one_out"
    formula: ClassVar[str] = "A = r - mean of the siblings without itself"


class RoleMean(Block):
    """Compare each reward with the mean of its role in the batch, without any scale."""

    kind: Literal["mean"] = "mean"
    formula: ClassVar[str] = "A = r - mean of the role in the batch"


class RoleConditioned(Block):
    """Compare each return with a running baseline per role and game, carried from step to step (role-conditioned advantage)."""

    kind: Literal["role_conditioned"] = "role_conditioned"
    formula: ClassVar[str] = "A = R - b of the role and game; b <- decay b + (1 - decay) R"
    decay: Annotated[float, Field(ge=0, lt=1)] = 0.95
    """Share of the old baseline that each new return leaves in place; baselines begin at 0."""
    update: Literal["after", "before", "per_batch"] = "after"
    """after takes a return into the baseline once it has been compared, so that the baseline stays unbiased; before takes it in
    first, as the formula is printed; per_batch compares the whole batch with the baselines it began with."""


class NoBaseline(Block):
    """Compare with nothing: the advantage is the reward itself (plain REINFORCE)."""

    kind: Literal["none"] = "none"
    formula: ClassVar[str] = "A = r"


AdvantageSpec = Annotated[
    ReinforcePlusPlus | GroupRelative | LeaveOneOut | RoleMean | RoleConditioned | NoBaseline,
    Field(discriminator="kind"),
]


class ClippedPolicyLoss(Block):
    """PPO's clipped surrogate with asymmetric range, dual clip, entropy bonus and optional KL to the start."""

    kind: Literal["clipped"] = "clipped"
    clip_low: Annotated[float, Field(ge=0, le=1), Live()] = 0.2
    """The ratio is clipped from below at 1 - clip_low."""
    clip_high: Annotated[float, Field(ge=0, le=10), Live()] = 0.28
    """The ratio is clipped from above at 1 + clip_high."""
    dual_clip: Annotated[float, Field(gt=1, le=100)] | None = 3.0
    """Bound on the loss of negative advantages, as a multiple of the advantage; empty switches it off."""
    entropy_coef: Annotated[float, Field(ge=0, le=1), Live()] = 0.001
    """Weight of the entropy bonus."""
    kl_coef: Annotated[float, Field(ge=0, le=10), Live()] = 0.0
    """Weight of the KL penalty (k3 estimator) to the reference, which is the weights the run started from unless the method keeps
    others; above 0 costs one more forward pass."""


PolicyLossSpec = ClippedPolicyLoss


class DpoLoss(Block):
    """Direct preference optimisation: make the chosen completion likelier than the rejected one, measured against a reference."""

    kind: Literal["dpo"] = "dpo"
    beta: Annotated[float, Field(gt=0, le=10)] = 0.1
    """How hard the reference holds the policy back: small values let it go far."""


class IpoLoss(Block):
    """Identity preference optimisation: move the gap between chosen and rejected to one fixed width, and no further."""

    kind: Literal["ipo"] = "ipo"
    beta: Annotated[float, Field(gt=0, le=10)] = 0.1
    """The gap aimed at is 1 / (2 beta) nats: small values let the policy go far."""
    per_token: bool = True
    """Compare means over the tokens of a completion, as in the authors' experiments; off compares sums, as in the formula."""


class HingeLoss(Block):
    """Push chosen and rejected apart until their margin is 1, and leave them there (SLiC on log-ratios)."""

    kind: Literal["hinge"] = "hinge"
    beta: Annotated[float, Field(gt=0, le=10)] = 0.1
    """The margin is reached at 1 / beta nats: small values let the policy go far."""


class SppoLoss(Block):
    """Self-play preference optimisation: move each completion of the pair to the log-ratio that its own win rate earns."""

    kind: Literal["sppo"] = "sppo"
    eta: Annotated[float, Field(gt=0, le=100_000)] = 1000.0
    """Step towards the equilibrium: the log-ratio aimed at is eta times (win rate - 1/2). Small models need about 10."""


class SppoSingleLoss(Block):
    """The same with one number per pair: the win rate of chosen against rejected, with opposite signs."""

    kind: Literal["sppo_single"] = "sppo_single"
    eta: Annotated[float, Field(gt=0, le=100_000)] = 1000.0
    """Step towards the equilibrium: the log-ratio aimed at is eta times (win rate - 1/2). Small models need about 10."""


PreferenceLossSpec = Annotated[DpoLoss | IpoLoss | HingeLoss | SppoLoss | SppoSingleLoss, Field(discriminator="kind")]


class OptimizerSpec(Block):
    """AdamW, RMSprop, or Muon on the matrices with AdamW on the rest."""

    kind: Literal["adamw", "muon", "rmsprop"] = "adamw"
    """Muon learns faster on small models trained from scratch; RMSprop keeps no gradient mean and needs half of AdamW's memory."""
    lr: Annotated[float, Field(gt=0, le=1), Live()] = 1e-6
    """Step size."""
    weight_decay: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Pull of the weights towards zero."""
    betas: tuple[Probability, Probability] = (0.9, 0.999)
    """Memory of the gradient mean and of its square, for AdamW. RMSprop remembers the square with 0.99."""
    warmup_steps: Annotated[int, Field(ge=0, le=100_000), Unit("steps")] = 0
    """Steps over which the step size grows from 0."""
    grad_clip: Annotated[float, Field(gt=0, le=1000), Live()] = 1.0
    """Longest gradient allowed (L2 norm)."""
    epochs: Annotated[int, Field(ge=1, le=16)] = 1
    """Passes over each batch."""
    minibatches: Annotated[int, Field(ge=1, le=64)] = 1
    """Optimiser updates per pass; every update sees all roles in proportion."""
    micro_batch_tokens: Annotated[int, Field(ge=256, le=10_000_000), Unit("tokens")] | None = None
    """Tokens in one forward pass; empty takes 8,192 on a CPU, whose cache then holds more of it, and 16,384 on a GPU. Changes memory
    and speed, never the gradient."""

    def pass_tokens(self, device: str) -> int:
        """Tokens in one forward pass on a device of this kind, "cpu" or "cuda"."""
        return self.micro_batch_tokens or (8_192 if device == "cpu" else 16_384)


class SamplingSpec(Block):
    """How completions are drawn."""

    temperature: Annotated[float, Field(ge=0, le=5), Live()] = 1.0
    """Randomness of sampling; 0 always takes the most likely token."""
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Keep the most likely tokens that together reach this probability. Keep 1 for training."""
    top_k: Annotated[int, Field(ge=0, le=100_000), Unit("tokens")] = 0
    """Keep only this many most likely tokens; 0 keeps all. Keep 0 for training."""
    min_p: Probability = 0.0
    """Keep tokens at least this share as likely as the most likely one; 0 keeps all. Keep 0 for training."""
    max_tokens: Annotated[int, Field(ge=1, le=131_072), Unit("tokens")] = 8192
    """Longest completion."""
    stop: Annotated[tuple[Annotated[str, Field(min_length=1, max_length=256)], ...], Field(max_length=16)] = ()
    """A completion ends where one of these texts appears; its text stops before it. Commas stand between texts."""
