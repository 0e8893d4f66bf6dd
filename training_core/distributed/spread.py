"""Rollouts spread over the processes of a run: each samples a part with an engine of its own. Torch-free."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from math import ceil

from training_core.distributed.parallel import Parallel, deal
from training_core.engine_health import EngineHealth
from training_core.play.requests import Completion, Engine, Request, Score
from training_core.stopwatch import Stopwatch


@dataclass(frozen=True, kw_only=True)
class Piece:
    """Some of the samples of one request: ``Piece(request=4, first=8, asked=Request(n=8, seed=15, ...))``."""

    request: int
    """Index of the request in the batch."""
    first: int
    """The first of its samples that belongs to this piece."""
    asked: Request


class SpreadEngine:
    """Data-parallel sampling. All ranks pass equal requests and get all completions, the same as one process would make:
    sample i of a request has seed ``seed + i`` wherever it is drawn."""

    def __init__(self, engine: Engine, parallel: Parallel) -> None:
        self._engine = engine
        self._parallel = parallel

    @property
    def watch(self) -> Stopwatch:
        """The seconds of this rank's own engine."""
        return self._engine.watch

    @property
    def health(self) -> EngineHealth:
        """That of this rank's own engine."""
        return self._engine.health

    def generate(self, requests: Sequence[Request]) -> list[list[Completion]]:
        """Completions of every request, in order."""
        pieces = cut(requests, size=self._parallel.size)
        hands = deal([piece.asked.n * piece.asked.sampling.max_tokens for piece in pieces], self._parallel.size)
        mine = sorted(hands[self._parallel.rank])
        found = self._engine.generate([pieces[index].asked for index in mine]) if mine else []
        everything = dict(self._parallel.gather_lists(list(zip(mine, found, strict=True))))
        results: list[list[Completion]] = [[] for _ in requests]
        for index, piece in enumerate(pieces):
            results[piece.request].extend(everything[index])
        return results

    def score(self, requests: Sequence[Score]) -> list[list[float]]:
        """Log-probs of every text of every request, in order."""
        largest = max(1, ceil(sum(len(request.texts) for request in requests) / self._parallel.size))
        pieces = [
            (index, replace(request, texts=request.texts[first : first + largest]))
            for index, request in enumerate(requests)
            for first in range(0, len(request.texts), largest)
        ]
        costs = [len(asked.prompt) + sum(map(len, asked.texts)) for _, asked in pieces]
        mine = sorted(deal(costs, self._parallel.size)[self._parallel.rank])
        found = self._engine.score([pieces[place][1] for place in mine]) if mine else []
        everything = dict(self._parallel.gather_lists(list(zip(mine, found, strict=True))))
        results: list[list[float]] = [[] for _ in requests]
        for place, (index, _) in enumerate(pieces):
            results[index].extend(everything[place])
        return results

    def publish(self, version: int, *, blended: Collection[str] = ()) -> None:
        self._engine.publish(version, blended=blended)

    def sleep(self) -> None:
        self._engine.sleep()

    def close(self) -> None:
        self._engine.close()


def cut(requests: Sequence[Request], *, size: int) -> list[Piece]:
    """The requests in pieces of at most a rank's even share of all samples, in order. Siblings mostly stay together, because
    the engine reads a prompt once for all of them."""
    largest = max(1, ceil(sum(request.n for request in requests) / size))
    return [
        Piece(
            request=index,
            first=first,
            asked=replace(request, n=min(largest, request.n - first), seed=request.seed + first),
        )
        for index, request in enumerate(requests)
        for first in range(0, request.n, largest)
    ]
