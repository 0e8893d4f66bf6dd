"""What the update saw of every token it learnt from, in files beside the events. Torch-free: the web reads them too.

A run's folder holds, for each of the newest steps that were played, ``tokens/step-000012.jsonl.gz``: one line for each sample, each
a gzip member of its own, so that one can be read without the others. ``tokens/step-000012.index.json`` says where they are and is
written last: a step without it does not exist.
"""

import gzip
import json
from collections.abc import Callable, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from training_core.play.records import StepBatch
from training_core.play.requests import Completion
from training_core.spec.events import Turn

FOLDER = "tokens"
MAX_STEP_TOKENS = 400_000
"""Tokens of one step that are kept at most: samples that come after them have none."""
_DIGITS = 4

Decode = Callable[[int], str]
"""The text of one token."""


class TokenRow(BaseModel):
    """The tokens of one turn; lists are as long as ``texts``, or empty where nothing is known.

    Example: ``TokenRow(ids=[17, 2], texts=["19", "<end>"], logprobs=[-0.11, -0.02], entropies=[0.4, 0.1], learner=[], advantage=0.8)``.
    """

    model_config = ConfigDict(extra="forbid")

    ids: list[int]
    texts: list[str]
    logprobs: list[float] = []
    """Log-probability of each under the distribution it was drawn from, in nats."""
    entropies: list[float] = []
    """Entropy of that distribution, in nats."""
    learner: list[float] = []
    """Log-probability under the learner's weights when an update last saw it, in nats."""
    advantage: float | None = None
    """Of the whole completion; every token has the same."""


class TokenFiles:
    """Writes the files of a run and keeps those of the newest ``keep`` steps; 0 writes none."""

    def __init__(self, folder: Path, *, keep: int) -> None:
        self._folder = folder / FOLDER
        self._keep = keep

    def cut_back(self, *, step: int) -> None:
        """Forget the steps after ``step``: they will be played again, perhaps otherwise."""
        for path in self._folder.glob("step-*"):
            if _step_of(path) > step:
                path.unlink(missing_ok=True)

    def write(self, step: int, batch: StepBatch, decode: Decode) -> None:
        """The tokens of everything in the batch that was learnt from and that a reader sees."""
        if not self._keep:
            return
        rows = _rows(batch, decode)
        if not rows:
            return
        self._folder.mkdir(exist_ok=True)
        out, index = BytesIO(), {}
        for episode, turns in rows.items():
            start = out.tell()
            line = json.dumps({"episode": episode, "turns": turns}, ensure_ascii=False, separators=(",", ":"))
            out.write(gzip.compress(line.encode() + b"\n", compresslevel=1, mtime=0))
            index[episode] = [start, out.tell() - start]
        data, places = _paths(self._folder, step)
        places.unlink(missing_ok=True)
        data.write_bytes(out.getvalue())
        aside = places.with_suffix(".tmp")
        aside.write_text(json.dumps(index), encoding="utf-8")
        aside.rename(places)
        for path in self._folder.glob("step-*"):
            if _step_of(path) <= step - self._keep:
                path.unlink(missing_ok=True)


def read_tokens(run_folder: Path, step: int, episode: str) -> dict[int, TokenRow]:
    """The tokens of a sample by the place of their turn; empty where they were not written, or are not kept any more."""
    data, places = _paths(run_folder / FOLDER, step)
    try:
        start, length = json.loads(places.read_text(encoding="utf-8"))[episode]
        with data.open("rb") as file:
            file.seek(start)
            line = json.loads(gzip.decompress(file.read(length)))
        return _ROWS.validate_python(line["turns"])
    except (OSError, EOFError, KeyError, TypeError, ValueError, ValidationError):
        return {}


_ROWS = TypeAdapter(dict[int, TokenRow])


def _rows(batch: StepBatch, decode: Decode) -> dict[str, dict[int, dict[str, Any]]]:
    """By episode and place of the turn, until ``MAX_STEP_TOKENS`` are reached."""
    known: dict[int, tuple[Completion, Sequence[float]]] = {}
    for rollout in batch.rollouts:
        if rollout.turn is not None:
            known[id(rollout.turn)] = (rollout.completion, rollout.learner_logprobs)
    for pair in batch.pairs:
        for turn, said in zip(pair.turns or (), (pair.chosen, pair.rejected), strict=False):
            if isinstance(said, Completion) and said.logprobs:
                known[id(turn)] = (said, ())
    found: dict[str, dict[int, dict[str, Any]]] = {}
    num_tokens = 0
    for sample in batch.samples:
        turns = [(place, turn, *known[id(turn)]) for place, turn in enumerate(sample.turns) if id(turn) in known]
        num_tokens += sum(len(said.token_ids) for _, _, said, _ in turns)
        if num_tokens > MAX_STEP_TOKENS:
            break
        if turns:
            found[sample.episode] = {place: _row(turn, said, own, decode) for place, turn, said, own in turns}
    return found


def _row(turn: Turn, said: Completion, own: Sequence[float], decode: Decode) -> dict[str, Any]:
    row: Mapping[str, Any] = {
        "ids": said.token_ids,
        "texts": [decode(token) for token in said.token_ids],
        "logprobs": [round(value, _DIGITS) for value in said.logprobs],
        "entropies": [round(value, _DIGITS) for value in said.entropies],
        "learner": [round(value, _DIGITS) for value in own],
        "advantage": turn.advantage,
    }
    return {name: value for name, value in row.items() if value not in (None, [])}


def _paths(folder: Path, step: int) -> tuple[Path, Path]:
    return folder / f"step-{step:06d}.jsonl.gz", folder / f"step-{step:06d}.index.json"


def _step_of(path: Path) -> int:
    number = path.name.removeprefix("step-").split(".")[0]
    return int(number) if number.isdigit() else -1
