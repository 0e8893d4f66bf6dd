"""The method of docs/write-a-method.md, as printed there."""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from training_core import methods
from training_core.methods.base import SelfPlay
from training_core.methods.card import read_card
from training_core.methods.registry import _slugs, find_method

DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "write-a-method.md"


def block(language: str) -> str:
    """The document's first block in this language."""
    found = re.search(rf"```{language}\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.S)
    assert found is not None
    return found[1]


def write_method(folder: Path) -> None:
    """Do what the document asks for: both files into a folder."""
    (folder / "quorum.py").write_text(block("python"), encoding="utf-8")
    (folder / "quorum.yaml").write_text(block("yaml"), encoding="utf-8")


@contextmanager
def quorum_known(folder: Path) -> Iterator[type[SelfPlay]]:
    """For a while this process is as if it had been started with the folder in ``KUMITE_METHODS``."""
    before = list(methods.__path__)
    methods.__path__ += methods.folders_outside(str(folder))
    _forget()
    try:
        yield find_method("quorum")
    finally:
        methods.__path__[:] = before
        _forget()


def _forget() -> None:
    sys.modules.pop("training_core.methods.quorum", None)
    for remembered in (_slugs, find_method, read_card):
        remembered.cache_clear()
