"""Snapshots: frozen weights beside the trained ones, how they begin and the arithmetic that changes them.

A blend is carried out tensor by tensor on whatever part of it a process holds: policies that are split over the processes are split
alike. Of adapters the two factors of each update are blended apart, which is exact for a copy and close for weights that lie near
each other, as an average over few steps or a small extrapolation.
"""

import copy
import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

import torch

from training_core.distributed.tensors import part_like, whole
from training_core.play.records import Blend
from training_core.policies.loaded import LoadedPolicy, start_copy


def take_snapshot(policy: LoadedPolicy, name: str) -> LoadedPolicy:
    """A frozen copy of the policy: a model of its own, or one more adapter called ``name`` on the model they share."""
    if policy.adapter is None:
        return start_copy(policy)
    if any(name in path.split(".") for path, _ in policy.model.named_parameters()):
        raise ValueError(f"a snapshot cannot be called {name!r}, because a part of the model is")
    config = copy.deepcopy(policy.model.peft_config[policy.adapter])
    config.lora_dropout = 0.0  # it is also asked while the model is in training mode
    with torch.random.fork_rng(devices=[]):
        policy.model.add_adapter(name, config)
    policy.model.eval()
    snapshot = replace(policy, adapter=name)
    _blend(Blend(into=name, parts={"": 1.0}), {name: snapshot, "": policy})
    return snapshot


def carry_out(
    blends: Iterable[Blend],
    policies: Mapping[str, LoadedPolicy],
    *,
    moving: Collection[str],
    metrics: dict[str, float] | None = None,
) -> frozenset[str]:
    """Set policies to weighted sums of policies, one blend after the other, in place; returns the names of those that changed.

    Sums are taken in float32 and rounded once. What blends are to measure is put into ``metrics``. Raises ``ValueError`` for a
    policy that the run does not have, or that is not ``moving`` and yet to be changed.
    """
    changed = set()
    for blend in blends:
        if blend.into not in moving:
            raise ValueError(f"a blend is to change {blend.into!r}; this run can change {', '.join(moving)}")
        if not blend.parts or not blend.parts.keys() <= policies.keys():
            raise ValueError(f"a blend is made of {sorted(blend.parts)}; this run has {', '.join(policies)}")
        found = _blend(blend, policies)
        if metrics is not None:
            metrics |= found
        changed.add(blend.into)
    return frozenset(changed)


@torch.no_grad()
def _blend(blend: Blend, policies: Mapping[str, LoadedPolicy]) -> dict[str, float]:
    """Carry out one blend; returns what it is to measure."""
    parts = [(policies[name].tensors(), weight) for name, weight in blend.parts.items()]
    targets = {name: target for name, target in policies[blend.into].tensors().items() if target.is_floating_point()}

    def total(name: str, *, scale: float = 1.0) -> torch.Tensor:
        return _weighted_sum([(tensors[name], weight * scale) for tensors, weight in parts], targets[name])

    scale, metrics = 1.0, dict[str, float]()
    if blend.measures or blend.longest is not None:
        norm, cosine = _norm_and_cosine((total(name), target.float()) for name, target in targets.items())
        if blend.longest is not None and norm > blend.longest:
            scale = blend.longest / norm
        if blend.measures:
            found = {f"blend/{blend.into}_norm": norm * scale, f"blend/{blend.into}_cosine": cosine}
            metrics = {name: value for name, value in found.items() if value is not None}
    for name, target in targets.items():
        target.copy_(total(name, scale=scale))
    return metrics


def _norm_and_cosine(pairs: Iterable[tuple[torch.Tensor, torch.Tensor]]) -> tuple[float, float | None]:
    """L2 norm of the first tensors laid end to end, and the cosine of their angle to the second ones; None where either is 0."""
    new = both = old = 0.0
    for one, other in pairs:
        new += float(whole((one * one).sum()))
        both += float(whole((one * other).sum()))
        old += float(whole((other * other).sum()))
    return math.sqrt(new), both / math.sqrt(new * old) if new * old > 0 else None


def _weighted_sum(parts: Iterable[tuple[torch.Tensor, float]], target: torch.Tensor) -> torch.Tensor:
    """Sum of ``weight * tensor`` in float32, held as ``target`` is."""
    terms = (part_like(tensor, target).float() * weight for tensor, weight in parts)
    total = next(terms)
    for term in terms:
        total += term
    return total
