"""Finds stop strings in what is being sampled."""

from collections.abc import Callable, Sequence

from training_core.spec.learning import SamplingSpec

CHECK_EVERY = 8
"""Tokens between two looks at a row's text; what is drawn beyond a stop string is thrown away."""
_MARGIN = 8
"""Tokens decoded before the new ones besides those a stop string may reach back."""

Decode = Callable[[Sequence[Sequence[int]]], list[str]]


class StopFinder:
    """Looks for the stop strings of some sampling settings in decoded text."""

    def __init__(self, specs: Sequence[SamplingSpec], decode: Decode) -> None:
        self._stops = [spec.stop for spec in specs]
        self._decode = decode
        self.any = any(self._stops)

    def looks_at(self, spec: int) -> bool:
        """Whether rows of these settings may be stopped by a text."""
        return bool(self._stops[spec])

    def find(self, texts: Sequence[tuple[int, Sequence[int], int]]) -> list[tuple[int, int] | None]:
        """For each ``(settings, tokens, how many of them are new)``: the fewest tokens whose text holds a stop string, and
        where in that text it begins; None where there is none."""
        if not texts:
            return []
        windows = []
        for spec, ids, num_new in texts:
            reach = max(map(len, self._stops[spec])) + num_new + _MARGIN
            windows.append(ids[-reach:])
        return [
            self._exact(spec, ids, num_new) if any(stop in window for stop in self._stops[spec]) else None
            for (spec, ids, num_new), window in zip(texts, self._decode(windows), strict=True)
        ]

    def _exact(self, spec: int, ids: Sequence[int], num_new: int) -> tuple[int, int] | None:
        for num_tokens in range(len(ids) - num_new + 1, len(ids) + 1):
            text = self._decode([ids[:num_tokens]])[0]
            places = [place for stop in self._stops[spec] if (place := text.find(stop)) >= 0]
            if places:
                return num_tokens, min(places)
        return None
