"""Means of a step, gathered piece by piece and over processes."""

from collections import defaultdict

import torch

from training_core.distributed.parallel import Parallel

Number = float | torch.Tensor


class Meter:
    """Weighted means by name, and maxima. Tensors stay where they are until ``take``, so that a GPU is not waited for.

    Example: ``meter.add("loss/policy", -12.5, weight=64)`` twice, then ``meter.take(Alone())["loss/policy"]`` is -25 / 128.
    """

    def __init__(self) -> None:
        self._sums: dict[str, Number] = defaultdict(float)
        self._weights: dict[str, float] = defaultdict(float)
        self._maxima: dict[str, list[Number]] = defaultdict(list)

    def add(self, name: str, total: Number, *, weight: float) -> None:
        """Add ``total``, the sum over ``weight`` items."""
        self._sums[name] += total
        self._weights[name] += weight

    def highest(self, name: str, value: Number) -> None:
        """The largest value counts."""
        self._maxima[name].append(value)

    def take(self, parallel: Parallel) -> dict[str, float]:
        """Means and maxima over all processes; a name without weight has mean 0."""
        sums = parallel.all_sum({name: float(value) for name, value in self._sums.items()})
        weights = parallel.all_sum(self._weights)
        means = {name: value / (weights[name] or 1.0) for name, value in sums.items()}
        own = {name: max(map(float, values)) for name, values in self._maxima.items()}
        maxima: dict[str, float] = {}
        for found in parallel.gather_lists([own]):
            maxima |= {name: max(value, maxima.get(name, value)) for name, value in found.items()}
        return means | maxima
