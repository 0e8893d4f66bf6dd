"""The knobs all online self-play methods share beside those of every training: advantage and policy loss."""

from typing import Annotated

from training_core.spec.base import Group
from training_core.spec.learning import AdvantageSpec, ClippedPolicyLoss, PolicyLossSpec, ReinforcePlusPlus
from training_core.spec.trained import TrainedSpec


class OnlineSpec(TrainedSpec):
    """Roll out with the current weights, score, update on what was just rolled out."""

    advantage: Annotated[AdvantageSpec, Group("Learning")] = ReinforcePlusPlus()
    """What a reward is compared with."""
    loss: Annotated[PolicyLossSpec, Group("Learning")] = ClippedPolicyLoss()
    """The policy loss."""

    @property
    def needs_reference(self) -> bool:
        return self.loss.kl_coef > 0 or super().needs_reference
