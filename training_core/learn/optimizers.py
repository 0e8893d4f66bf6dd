"""Optimisers and their state as plain tensors."""

from collections.abc import Iterable, Sequence
from math import isfinite
from typing import Any

import torch

from training_core.distributed.tensors import is_split, part_like, whole
from training_core.learn.muon import StackedMuon
from training_core.spec.learning import OptimizerSpec

EMBEDDING_NAMES = ("embed_tokens", "lm_head", "wte", "wpe")


class OptimizerSet:
    """One or two torch optimisers behind one step, with warm-up, and a state that safetensors can hold."""

    def __init__(self, spec: OptimizerSpec, named_parameters: Iterable[tuple[str, torch.nn.Parameter]]) -> None:
        self._spec = spec
        trained = list(named_parameters)  # an adapter that is not active asks for no gradient just now
        self.parameters = [parameter for _, parameter in trained]
        self._names = {id(parameter): name for name, parameter in trained}
        matrices = [p for n, p in trained if spec.kind == "muon" and _is_hidden_matrix(n, p)]
        chosen = {id(parameter) for parameter in matrices}
        rest = [parameter for parameter in self.parameters if id(parameter) not in chosen]
        self._optimizers: list[torch.optim.Optimizer] = []
        if matrices:
            # Muon's update has unit spectral norm; this factor gives it AdamW's usual size, so one lr serves both.
            self._optimizers.append(
                StackedMuon(matrices, lr=spec.lr, weight_decay=spec.weight_decay, adjust_lr_fn="match_rms_adamw")
            )
        if rest:
            self._optimizers.append(_rmsprop(spec, rest) if spec.kind == "rmsprop" else _adamw(spec, rest))
        self._num_steps = 0
        self.num_skipped = 0
        """Updates left out because the gradient was not finite."""
        self.num_skipped_in_a_row = 0

    def zero_grad(self) -> None:
        for optimizer in self._optimizers:
            optimizer.zero_grad(set_to_none=True)

    def restart(self) -> None:
        """Forget the moments and begin the warm-up again."""
        for optimizer in self._optimizers:
            optimizer.state.clear()
        self._num_steps = 0

    def retune(self, spec: OptimizerSpec) -> None:
        """Take another step size and another limit of the gradient from the next step on; the moments stay."""
        self._spec = spec

    def step(self, *, lr_scale: float = 1.0) -> float:
        """Clip, update and return the gradient's norm before clipping. A gradient that is not finite changes nothing.

        A parameter without gradient is updated as if its gradient were 0. ``lr_scale`` multiplies the step size of this update.
        """
        for parameter in self.parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        norm = float(whole(torch.nn.utils.clip_grad_norm_(self.parameters, self._spec.grad_clip)))
        if not isfinite(norm):
            self.num_skipped += 1
            self.num_skipped_in_a_row += 1
        else:
            self.num_skipped_in_a_row = 0
            self._num_steps += 1
            warm = min(1.0, self._num_steps / (self._spec.warmup_steps or 1))
            for optimizer in self._optimizers:
                for group in optimizer.param_groups:
                    group["lr"] = self._spec.lr * warm * lr_scale
                optimizer.step()
        self.zero_grad()
        return norm

    def state_dict(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        """Tensors by ``parameter/key``, split where the parameter is, and the few numbers beside them."""
        tensors: dict[str, torch.Tensor] = {}
        for optimizer in self._optimizers:
            for parameter, state in optimizer.state.items():
                for key, value in state.items():
                    tensor = value if torch.is_tensor(value) else torch.tensor(value)
                    tensors[f"{self._names[id(parameter)]}/{key}"] = tensor.contiguous()
        numbers = {
            "num_steps": self._num_steps,
            "num_skipped": self.num_skipped,
            "num_skipped_in_a_row": self.num_skipped_in_a_row,
        }
        return tensors, numbers

    def empty_state(self, path: str, shape: torch.Size, dtype: torch.dtype) -> torch.Tensor:
        """A tensor to read one of those of ``state_dict`` into."""
        name = path.rpartition("/")[0]
        parameter = next(parameter for parameter in self.parameters if self._names[id(parameter)] == name)
        return torch.empty_like(parameter, dtype=dtype) if shape == parameter.shape else torch.empty(shape, dtype=dtype)

    def load_state_dict(self, tensors: dict[str, torch.Tensor], numbers: dict[str, Any]) -> None:
        by_name: dict[str, dict[str, torch.Tensor]] = {}
        for path, tensor in tensors.items():
            name, key = path.rsplit("/", 1)
            by_name.setdefault(name, {})[key] = tensor
        for optimizer in self._optimizers:
            for group in optimizer.param_groups:
                for parameter in group["params"]:
                    if state := by_name.get(self._names[id(parameter)]):
                        device = parameter.device if group.get("fused") else "cpu"  # where the step is counted
                        optimizer.state[parameter] = {
                            key: value.to(device).clone() if key == "step" else part_like(value, parameter).clone()
                            for key, value in state.items()
                        }
        self._num_steps = int(numbers["num_steps"])
        self.num_skipped = int(numbers["num_skipped"])
        self.num_skipped_in_a_row = int(numbers["num_skipped_in_a_row"])


def _adamw(spec: OptimizerSpec, parameters: Sequence[torch.nn.Parameter]) -> torch.optim.Optimizer:
    # The fused kernel is several times faster, but knows no tensors that are held in parts.
    fused = not any(map(is_split, parameters))
    return torch.optim.AdamW(parameters, lr=spec.lr, betas=spec.betas, weight_decay=spec.weight_decay, fused=fused)


def _rmsprop(spec: OptimizerSpec, parameters: Sequence[torch.nn.Parameter]) -> torch.optim.Optimizer:
    return torch.optim.RMSprop(parameters, lr=spec.lr, alpha=0.99, weight_decay=spec.weight_decay)


def _is_hidden_matrix(name: str, parameter: torch.nn.Parameter) -> bool:
    return parameter.ndim == 2 and not any(part in name for part in EMBEDDING_NAMES)
