"""The bench command: its arithmetic by hand, and the whole command on a tiny model."""

import json
from pathlib import Path

import pytest
import torch

from tests.tiny_model import make_tiny_model
from training_core.__main__ import main
from training_core.bench.breakdown import Breakdown
from training_core.bench.roofline import Shape, measure_peaks, shape_of
from training_core.policies.load import load_policy
from training_core.spec.model import ModelSpec
from training_core.spec.tasks import ArithmeticTask

SHAPE = Shape(num_body=100, num_head=10, num_layers=2, attention_width=4, cache_width=8, bytes_per_number=4)


def test_work_of_a_completion_counts_body_head_and_attention():
    # 3 prompt tokens and 2 completion tokens: 5 through the body, 2 through the head; they see 1+2+3 and 4+5 tokens.
    flops = SHAPE.forward_flops([(3, 2)], new_prompts=[3])
    assert flops == 2 * 100 * 5 + 2 * 10 * 2 + 4 * 2 * 4 * (6 + 9)


def test_a_shared_prompt_is_work_once():
    apart = SHAPE.forward_flops([(3, 2), (3, 2)], new_prompts=[3, 3])
    shared = SHAPE.forward_flops([(3, 2), (3, 2)], new_prompts=[3])
    assert apart - shared == SHAPE.forward_flops([], new_prompts=[3])


def test_weights_are_counted_without_the_embedding_but_with_a_tied_head(tmp_path: Path):
    policy = load_policy(
        ModelSpec(source=str(make_tiny_model(tmp_path))),
        task=ArithmeticTask(),
        models_dir=tmp_path,
        device="cpu",
        progress=lambda *_: None,
    )
    shape = shape_of(policy.model)
    assert shape.num_body == 2 * (4 * 32 * 32 + 3 * 32 * 64)
    assert shape.num_head == policy.model.config.vocab_size * 32
    assert (shape.num_layers, shape.attention_width, shape.cache_width) == (2, 32, 64)


def test_peaks_are_measured_in_float32_at_least_and_leave_the_threads_alone():
    before = torch.get_num_threads()
    peaks = measure_peaks(torch.device("cpu"), threads=1)
    assert {"float32"} <= {peak.dtype for peak in peaks}
    assert all(peak.flops_per_s > 0 and peak.threads == 1 for peak in peaks)
    assert torch.get_num_threads() == before


def test_what_no_part_tells_of_is_other():
    breakdown = Breakdown(steps=1, seconds={"rollout": 2.0, "decode": 1.5, "update": 1.0, "publish": 0.5})
    assert breakdown.step_s == 3.5
    assert ("other", 0.5, True) in breakdown.rows()


def test_the_command_writes_all_figures(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    folder, figures = make_tiny_model(tmp_path / "model"), tmp_path / "figures.json"
    options = ["--batch", "16", "--tokens", "8", "--repeats", "1", "--steps", "1", "--device", "cpu"]
    assert main(["bench", "--model", str(folder), *options, "--json", str(figures)]) == 0
    found = json.loads(figures.read_text())
    assert [phase["name"] for phase in found["phases"]] == ["prefill", "decode", "log-prob", "update"]
    assert all(phase["tokens_per_cpu_s"] > 0 and phase["least_s"] > 0 for phase in found["phases"])
    assert found["breakdown"]["seconds"].keys() >= {"rollout", "update", "forward", "backward", "optimizer", "decode"}
    assert "share of peak" in capsys.readouterr().out


def test_a_model_that_is_not_there_is_one_sentence_and_exit_code_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["bench", "--model", str(tmp_path / "nowhere")]) == 2
    assert "There is no model folder" in capsys.readouterr().err
