"""The lines of docs/library.md work as printed; only the model is smaller here, so that nobody has to wait."""

import re
from pathlib import Path

import pytest

from tests.tiny_model import make_tiny_model
from training_core import ExperimentSpec

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "library.md"
SPEC_LINE = 'spec = preset("mae", "starter", steps=40)\n'
SMALL = """spec = ExperimentSpec(
    steps=2,
    model={"source": tiny_model},
    evaluation={"every": 1, "num_items": 4},
    method={"name": "mae", "batch_per_role": 4, "quality_samples": 1, "difficulty_samples": 1, "probe_items": 0,
            "sampling": {"max_tokens": 8}},
)
"""


def snippet() -> str:
    found = re.search(r"```python\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.S)
    assert found is not None
    return found[1]


def test_the_snippet_keeps_to_ten_lines() -> None:
    assert len([line for line in snippet().splitlines() if line]) <= 10


def test_the_spec_of_the_snippet_is_the_starter_demo() -> None:
    head = snippet().split(SPEC_LINE)[0]
    names: dict[str, object] = {}
    exec(head + SPEC_LINE, names)
    spec = names["spec"]
    assert isinstance(spec, ExperimentSpec)
    assert (spec.steps, spec.method.name, spec.model.is_starter) == (40, "mae", True)


def test_the_snippet_trains_and_prints_its_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert SPEC_LINE in snippet()
    names = {"tiny_model": str(make_tiny_model(tmp_path / "tiny")), "ExperimentSpec": ExperimentSpec}
    exec(snippet().replace(SPEC_LINE, SMALL), names)
    assert "succeeded" in capsys.readouterr().out
    assert (tmp_path / "runs" / "first" / "events.jsonl").exists()
