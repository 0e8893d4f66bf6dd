"""The knobs all preference methods share beside those of every training: the loss of a pair, and imitation of what was chosen."""

from typing import Annotated

from pydantic import Field

from training_core.spec.base import Group
from training_core.spec.learning import DpoLoss, PreferenceLossSpec
from training_core.spec.trained import TrainedSpec


class PreferenceSpec(TrainedSpec):
    """Write several completions, let somebody prefer one over another, learn from the pairs."""

    preference: Annotated[PreferenceLossSpec, Group("Learning")] = DpoLoss()
    """The loss of a pair."""
    imitation_coef: Annotated[float, Field(ge=0, le=100), Group("Learning")] = 0.0
    """Weight of the negative log-likelihood per token of the chosen completions beside the preference loss; 0 switches it off."""

    @property
    def needs_reference(self) -> bool:
        return True
