"""Questions and answers from a file, one JSON object per line."""

import json
import random
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from training_core.spec.tasks import JsonlTask
from training_core.tasks.base import MAX_TEXT, DataError, Domain, Item, hash_share
from training_core.tasks.math_check import CheckError, MathChecker

MAX_FILE_BYTES = 2 * 1024**3
_DIGIT = re.compile(r"[0-9]")


class Jsonl(Domain):
    """A data set of somebody else's. Questions outside the file are welcome, but nobody knows their truth."""

    has_verifier: ClassVar[bool] = False

    def __init__(self, spec: JsonlTask) -> None:
        self.spec = spec
        self.held_out_share = spec.held_out_share
        items = _read(Path(spec.path).expanduser(), spec)
        self._by_question = {_squeeze(item.question): item for item in items}
        self._training = [item for item in self._by_question.values() if not self.is_held_out(item.question)]
        self._held_out = sorted(
            (item for item in self._by_question.values() if self.is_held_out(item.question)),
            key=lambda item: hash_share("order:" + item.question),
        )
        self._checker = MathChecker()
        if not self._training or not self._held_out:
            raise DataError(
                f"{spec.path} has {len(self._by_question)} different questions, too few to keep "
                f"{spec.held_out_share:.0%} of them aside for evaluation; add lines or change held_out_share"
            )

    def sample(self, rng: random.Random) -> Item:
        return rng.choice(self._training)

    def held_out(self, num_items: int) -> list[Item]:
        return self._held_out[:num_items]

    def canonical(self, question: str) -> str | None:
        if len(question) > MAX_TEXT:
            return None
        return _squeeze(question) or None

    def truth(self, question: str) -> str | None:
        canonical = self.canonical(question)
        item = self._by_question.get(canonical) if canonical else None
        return item.answer if item else None

    def check(self, answer: str, expected: str) -> bool:
        same_text = len(answer) <= MAX_TEXT and _fold(answer) == _fold(expected)
        if same_text or self.spec.check == "exact":
            return same_text
        try:
            return self._checker.check(answer, expected)
        except CheckError:
            self.check_failures += 1
            return same_text

    def wrong_answer(self, item: Item, rng: random.Random) -> str:
        for _ in range(100):
            answer = _slip(item.answer, rng) if rng.random() < 0.7 else rng.choice(self._training).answer
            if answer and _fold(answer) != _fold(item.answer):
                return answer
        return item.answer + "0"


@dataclass(frozen=True, kw_only=True)
class Glance:
    """The first lines of a file: ``Glance(columns=("q", "a"), rows=({"q": "1+1", "a": 2},), num_lines=20, problem="")``."""

    columns: tuple[str, ...]
    """Keys of the objects, in the order of their first appearance."""
    rows: tuple[dict[str, Any], ...]
    num_lines: int
    """Lines looked at; empty ones do not count."""
    is_whole: bool
    """Whether these are all lines of the file."""
    problem: str
    """What is wrong first, in a sentence; empty where all lines looked at can be used."""


def glance(spec: JsonlTask, *, num_rows: int = 10, max_lines: int = 2000, max_bytes: int = 4 * 1024**2) -> Glance:
    """Look at the beginning of a file without reading all of it, whatever its field names. Raises ``DataError`` where it cannot be read."""
    path = Path(spec.path).expanduser()
    try:
        with path.open("rb") as file:
            text, is_whole = file.read(max_bytes), not file.read(1)
    except OSError as error:
        raise DataError(f"the data file {path} cannot be read ({error.strerror}); check task.path") from error
    lines = text.splitlines() if is_whole else text.splitlines()[:-1]
    numbered = [(number, line) for number, line in enumerate(lines, start=1) if line.strip()]
    rows: list[dict[str, Any]] = []
    problem = "" if numbered else f"the data file {path} is empty; each line should hold one question and its answer"
    for number, line in numbered[:max_lines]:
        try:
            if len(rows) < num_rows:
                rows.append(_object(line, number, path, spec))
            if not problem:
                _item(line, number, path, spec)
        except DataError as error:
            problem = problem or str(error)
    return Glance(
        columns=tuple(dict.fromkeys(key for row in rows for key in row)),
        rows=tuple(rows),
        num_lines=min(len(numbered), max_lines),
        is_whole=is_whole and len(numbered) <= max_lines,
        problem=problem,
    )


def _read(path: Path, spec: JsonlTask) -> list[Item]:
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise DataError(f"{path} is larger than {MAX_FILE_BYTES // 1024**3} GiB; split it into smaller files")
        with path.open("rb") as lines:
            items = [_item(line, number, path, spec) for number, line in enumerate(lines, start=1) if line.strip()]
    except OSError as error:
        raise DataError(f"the data file {path} cannot be read ({error.strerror}); check task.path") from error
    if not items:
        raise DataError(f"the data file {path} is empty; each line should hold one question and its answer")
    longest = max(len(item.question) for item in items)
    return [Item(question=item.question, answer=item.answer, difficulty=len(item.question) / longest) for item in items]


def _item(line: bytes, number: int, path: Path, spec: JsonlTask) -> Item:
    value = _object(line, number, path, spec)
    return Item(
        question=_text(value, spec.question_field, number, path),
        answer=_text(value, spec.answer_field, number, path),
        difficulty=0.0,
    )


def _object(line: bytes, number: int, path: Path, spec: JsonlTask) -> dict[str, Any]:
    try:
        value = json.loads(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise DataError(f"line {number} of {path} is not UTF-8 text; save the file as UTF-8") from error
    except (json.JSONDecodeError, RecursionError) as error:
        raise DataError(f"line {number} of {path} is not valid JSON; each line holds one object") from error
    if not isinstance(value, dict):
        raise DataError(f'line {number} of {path} is no JSON object; write {{"{spec.question_field}": "...", ...}}')
    return value


def _text(value: dict[str, Any], field: str, number: int, path: Path) -> str:
    if field not in value:
        known = ", ".join(sorted(map(repr, value))[:8]) or "none"
        raise DataError(
            f"line {number} of {path} has no field {field!r} (it has: {known}); check the field names of the task"
        )
    found = value[field]
    if isinstance(found, bool) or not isinstance(found, str | int | float) or not str(found).strip():
        raise DataError(f"field {field!r} in line {number} of {path} is neither text nor a number")
    text = str(found).strip()
    if len(text) > MAX_TEXT:
        raise DataError(f"field {field!r} in line {number} of {path} is longer than {MAX_TEXT} characters")
    return text


def _squeeze(text: str) -> str:
    return " ".join(text.split())


def _fold(text: str) -> str:
    return "".join(text.split()).casefold()


def _slip(answer: str, rng: random.Random) -> str:
    digits = [match.start() for match in _DIGIT.finditer(answer)]
    if not digits:
        return answer[::-1]
    at = rng.choice(digits)
    return answer[:at] + str((int(answer[at]) + rng.choice((-2, -1, 1, 2))) % 10) + answer[at + 1 :]
