"""How a policy's log-probs are computed: the way that costs least on this model, in the precision that was asked for.

Shapes: N completion tokens, laid end to end.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

from training_core.learn.logprobs import Text
from training_core.learn.passes import best_pass
from training_core.policies.loaded import LoadedPolicy
from training_core.spec.learner import LearnerSpec


class Scorer:
    """Log-probs of completions under one policy. Autograd is the caller's: use ``torch.no_grad`` where no gradient is wanted."""

    def __init__(self, policy: LoadedPolicy, settings: LearnerSpec) -> None:
        self.policy = policy
        self.autocasts = autocasts(settings, policy.model)
        if settings.gradient_checkpointing and policy.model.supports_gradient_checkpointing:
            policy.model.gradient_checkpointing_enable({"use_reentrant": False})
        with policy.active():
            self._pass = best_pass(policy, settings)

    def cut(self, texts: Sequence[Text], *, budget_tokens: int) -> list[list[int]]:
        """Indices of ``texts`` in micro-batches of at most ``budget_tokens`` tokens each (one text at the least)."""
        return self._pass.cut(texts, budget_tokens)

    def __call__(
        self, texts: Sequence[Text], *, temperature: float, with_entropy: bool = False
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Log-prob, and entropy if asked for, of every completion token in the order of ``texts``: N numbers each, in nats.

        The policy must be active.
        """
        with self._precision():
            return self._pass(texts, temperature=temperature, with_entropy=with_entropy)

    def _precision(self) -> AbstractContextManager[Any]:
        if not self.autocasts:
            return nullcontext()
        return torch.autocast(self.policy.model.device.type, dtype=torch.bfloat16)


def autocasts(settings: LearnerSpec, model: Any) -> bool:
    """Whether the passes run in bfloat16 although the weights are float32."""
    if model.dtype != torch.float32 or settings.precision == "float32":
        return False
    if settings.precision == "bfloat16":
        return True
    return bool(model.device.type == "cuda" and torch.cuda.is_bf16_supported())
