"""What holds for every method there is: its card is sound, it runs, and it resumes bit for bit.

``small_runs/<slug>.yaml`` says what makes a method's starter preset a run of seconds on an untaught model, and which charts and
metrics of formulas such a model has nothing to show for.
"""

import json
from pathlib import Path

import pytest
import yaml
from safetensors.torch import load_file

from bench.claims import merged
from tests.formulas import formulas_that_hold
from tests.tiny_model import make_tiny_model
from training_core.methods.registry import all_methods
from training_core.runner import Run
from training_core.spec.equations import equations_of
from training_core.spec.events import EventKind, RunPhase, deterministic
from training_core.spec.forms import find_field
from training_core.spec.io import dump_yaml, load_yaml, parse_spec

SMALL_RUNS = Path(__file__).parent / "small_runs"
DOCS = Path(__file__).resolve().parents[2] / "docs" / "methods"
METHODS = all_methods()
STEPS = 4


@pytest.fixture(params=METHODS, ids=lambda method: method.slug)
def method(request):
    return request.param


@pytest.fixture(scope="module")
def small_run(tmp_path_factory):
    """A method's starter preset with few steps, on an untaught model of its curriculum; each is run once."""
    done = {}

    def run(method):
        if method.slug not in done:
            base = tmp_path_factory.mktemp(method.slug)
            spec = spec_of(method, make_tiny_model(base / "model", curriculum=method.curriculum))
            assert Run(spec, base / "whole").execute() is RunPhase.SUCCEEDED
            done[method.slug] = spec, base / "whole"
        return done[method.slug]

    return run


def spec_of(method, model):
    preset = next(preset for preset in method.presets if preset.slug == "starter")
    small = {
        "steps": STEPS,
        "seed": 3,
        "model": {"source": str(model)},
        "evaluation": {"every": 2, "num_items": 6, "samples_per_item": 1},
        "checkpoint": {"every": 2},
    }
    changes = {key: value for key, value in small_run_of(method).items() if not key.startswith("silent_")}
    return parse_spec(merged(merged(preset.spec, small), changes))


def small_run_of(method):
    return yaml.safe_load((SMALL_RUNS / f"{method.slug}.yaml").read_text())


def facts(folder):
    found = (deterministic(event) for event in Run(None, folder).events() if event["kind"] != EventKind.CHECKPOINT)
    return [event for event in found if event]


def test_it_has_a_starter_and_a_paper_preset_that_survive_yaml(method):
    assert {"starter", "paper"} <= {preset.slug for preset in method.presets}
    for preset in method.presets:
        spec = parse_spec(preset.spec)
        assert load_yaml(dump_yaml(spec)) == spec


def test_its_drawing_joins_boxes_that_exist_and_opens_knobs_that_exist(method):
    boxes = {node.id for node in method.flow_nodes}
    assert all({edge.source, edge.target} <= boxes for edge in method.flow_edges)
    assert len({(node.x, node.y) for node in method.flow_nodes}) == len(method.flow_nodes)
    for node in method.flow_nodes:
        for knob in node.knobs:
            assert find_field(method.slug, knob) is not None, knob


def test_its_page_is_written_and_shows_its_figure(method):
    text = (DOCS / f"{method.slug}.md").read_text(encoding="utf-8")
    assert f"/static/methods/{method.slug}-curves.svg" in text
    assert "## Equations" in text
    assert method.paper.arxiv in text


def test_it_runs_and_reports_what_its_charts_show(method, small_run):
    _, folder = small_run(method)
    run = Run(None, folder)
    reported = {name for event in run.events(EventKind.METRIC) for name in event["data"]["values"]}
    assert method.headline_metric in reported
    silent = {
        chart.title
        for chart in method.charts
        if not chart.on_demand
        and not any(name == has or has.startswith(f"{name}/") for name, _ in chart.series for has in reported)
    }
    assert silent == set(small_run_of(method).get("silent_charts", []))
    assert any(event["data"]["turns"] for event in run.events(EventKind.SAMPLE))


def test_its_formulas_hold_for_what_it_measures(method, small_run):
    spec, folder = small_run(method)
    equations = [each.equation for _, applied in equations_of(spec) for each in applied]
    steps = [event["data"]["values"] for event in Run(None, folder).events(EventKind.METRIC) if event["step"]]
    reported = {name for values in steps for name in values}
    symbols = [symbol for equation in equations for symbol in (*equation.symbols, *equation.beside) if symbol.metric]
    silent = {symbol.metric for symbol in symbols if symbol.absent is None} - reported
    assert silent == set(small_run_of(method).get("silent_metrics", []))
    assert any(formulas_that_hold(spec, values) for values in steps)


def test_stopped_and_resumed_it_equals_the_run_that_was_not(method, small_run, tmp_path):
    spec, whole = small_run(method)

    def stop_after_step_2(event):
        if event["kind"] == "metric" and event["step"] == 2:
            (tmp_path / "control.jsonl").write_text(json.dumps({"id": 1, "command": "stop"}) + "\n")

    assert Run(spec, tmp_path, listener=stop_after_step_2).execute() is RunPhase.STOPPED
    assert Run(spec, tmp_path).execute(resume=True) is RunPhase.SUCCEEDED
    assert facts(tmp_path) == facts(whole)
    left, right = final_weights(tmp_path), final_weights(whole)
    assert left.keys() == right.keys()
    assert all(left[name].equal(right[name]) for name in left)


def final_weights(folder):
    """Every tensor of the last checkpoint by file and name: policies, snapshots and optimisers."""
    last = folder / "checkpoints" / f"step-{STEPS:06d}"
    return {
        f"{path.relative_to(last)}:{name}": tensor
        for path in sorted(last.rglob("*.safetensors"))
        for name, tensor in load_file(path).items()
    }
