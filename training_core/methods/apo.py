"""APO: Accelerated Preference Optimization (Jiafan He et al., 2024; arXiv 2410.06293): momentum across rounds.

Preference optimisation in rounds is a proximal-point method. After every round the new policy is pushed a little further along
the way it just went, as in Nesterov's acceleration: theta_t+1 = hat_t+1 + alpha (hat_t+1 - hat_t). What stands there answers the
next round's prompts, starts it and is its reference.
"""

from dataclasses import replace
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from training_core.evaluate.held_out import Evaluation, accuracy
from training_core.methods.base import Role, Snapshot
from training_core.methods.sppo import ITERATE, RoundsOfPreferenceSpec, SelfPlayPreferenceOptimization
from training_core.play.play import Play
from training_core.play.records import Blend
from training_core.play.rounds import Place
from training_core.spec.base import Group
from training_core.spec.learning import DpoLoss, IpoLoss, OptimizerSpec, SamplingSpec, SppoLoss

HAT = "hat"
"""What the last round's optimisation came to, before the momentum."""
MOMENTUM = "momentum"
"""The last round's step, from hat to hat. It holds a difference of weights and never speaks."""


class ApoSpec(RoundsOfPreferenceSpec):
    """The knobs of APO; defaults are the paper's where they are known."""

    name: Literal["apo"] = "apo"

    alpha: Annotated[float, Field(ge=0, lt=1), Group("Momentum")] = 0.3
    """How far beyond its end each round's step is carried on, as a share of the step; 0 is the plain method in rounds."""
    max_step_norm: Annotated[float, Field(gt=0, le=1e9), Group("Momentum")] | None = None
    """Longest step that is extrapolated, as an L2 norm over all weights; longer ones are shortened first. Empty means no limit."""
    return_hat: Annotated[bool, Group("Momentum")] = True
    """End with the last round's own result, without extrapolating it."""

    preference: Annotated[DpoLoss | SppoLoss | IpoLoss, Field(discriminator="kind"), Group("Learning")] = DpoLoss()
    """The method that is accelerated."""
    optimizer: Annotated[OptimizerSpec, Group("Learning")] = OptimizerSpec(kind="rmsprop", lr=5e-7)
    """The optimiser; it begins anew with every round, or there would be two momenta."""
    sampling: Annotated[SamplingSpec, Group("Sampling")] = SamplingSpec(max_tokens=2048)
    """How answers are drawn."""


class AcceleratedPreferenceOptimization(SelfPlayPreferenceOptimization):
    """Rounds of preference optimisation as in SPPO; the momentum is in how a round ends."""

    slug = "apo"
    Spec: ClassVar[type[RoundsOfPreferenceSpec]] = ApoSpec

    @classmethod
    def roles(cls, spec: RoundsOfPreferenceSpec) -> tuple[Role, ...]:
        hat = Role(
            name=HAT,
            title="Before momentum",
            policy=HAT,
            trained=False,
            reads="a held-out prompt",
            writes="an answer to compare the player's with",
        )
        return (*super().roles(spec), hat)

    @classmethod
    def snapshots(cls, spec: RoundsOfPreferenceSpec) -> tuple[Snapshot, ...]:
        hat, momentum = Snapshot(name=HAT, of="player"), Snapshot(name=MOMENTUM, of="player", speaks=False)
        return (*super().snapshots(spec), hat, momentum)

    def end_of_round(self, place: Place, player: str) -> tuple[Blend, ...]:
        """Extrapolate from hat to hat, not from where the round began: that would leave out what earlier rounds gained.

        The player is hat_t+1 here and the snapshot hat_t; in the first round that is the start, so momentum acts at once.
        """
        spec = self.spec
        assert isinstance(spec, ApoSpec)
        ends = place.round + 1 == spec.iterations and spec.return_hat
        step = {player: 1.0, HAT: -1.0}
        # A snapshot begins as a copy of the player, but no step lies behind the first one.
        none_yet = (Blend(into=MOMENTUM, parts={MOMENTUM: 0.0}),) if place.round == 0 else ()
        return (
            *none_yet,
            Blend(into=MOMENTUM, parts=step, longest=spec.max_step_norm, measures=True),
            Blend(into=HAT, parts={player: 1.0}),
            Blend(into=ITERATE, parts={HAT: 1.0, MOMENTUM: 0.0 if ends else spec.alpha}),
            Blend(into=player, parts={ITERATE: 1.0}),
        )

    async def evaluate(self, play: Play) -> Evaluation:
        """As in SPPO, with the hat beside the player on the same items: the gap after a round is what its momentum bought."""
        found = await super().evaluate(play)
        hat = accuracy(self.domain, await self.answers_of(play, HAT))
        return replace(found, metrics=found.metrics | {f"eval/hat_{name}": share for name, share in hat.items()})
