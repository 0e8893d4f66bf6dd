"""What a proposer reads before it writes: passages of a file, or facts of the task's own training side."""

import json
import random
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path

from training_core.tasks.base import DataError, Domain

Knowledge = Callable[[random.Random], str]
"""Draws one passage."""
_SUM = re.compile(r"(\d+)([+\-])(\d+)")


def knowledge_from(domain: Domain, corpus: str | None, *, max_characters: int) -> Knowledge:
    """Passages of the file ``corpus``, or what questions of the training side are about."""
    if corpus is None:
        return lambda rng: fact_of(domain.sample(rng).question)
    passages = read_corpus(Path(corpus), max_characters=max_characters)
    return lambda rng: rng.choice(passages)


def fact_of(question: str) -> str:
    """What a question is about, without asking it: ``345 12 -`` for ``345-12``; other questions stand as they are."""
    found = _SUM.fullmatch(question)
    if found is None:
        return question
    first, sign, second = found.groups()
    return f"{first} {second} {sign}"


@cache
def read_corpus(path: Path, *, max_characters: int) -> tuple[str, ...]:
    """Passages of a .jsonl file with a key "text", or of a text file whose passages are parted by empty lines.

    Longer ones are cut. Raises ``DataError`` in one sentence where there is nothing to read.
    """
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise DataError(f"the corpus {path} cannot be read: {error.strerror}") from None
    found = _lines_of(path, text) if path.suffix == ".jsonl" else re.split(r"\n\s*\n", text)
    passages = tuple(passage.strip()[:max_characters] for passage in found if passage.strip())
    if not passages:
        raise DataError(f"the corpus {path} holds no passage")
    return passages


def _lines_of(path: Path, text: str) -> list[str]:
    passages = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            passages.append(str(json.loads(line)["text"]))
        except (json.JSONDecodeError, KeyError, TypeError):
            raise DataError(f'line {number} of {path} is no JSON object with a key "text"') from None
    return passages
