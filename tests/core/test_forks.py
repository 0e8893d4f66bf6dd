"""Runs that begin from a checkpoint of another run."""

import pytest
from safetensors.torch import load_file

from tests.tiny_model import make_tiny_model, spec_of
from training_core.checkpoints import tidy
from training_core.runner import Run
from training_core.spec.events import EventKind, RunPhase, deterministic
from training_core.spec.holds import held_steps
from training_core.spec.io import SpecError

SKIPPED = {EventKind.CHECKPOINT, EventKind.LOG, EventKind.EVALUATION}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def model(runs):
    return make_tiny_model(runs / "model")


@pytest.fixture(scope="module")
def parent(runs, model):
    Run(small(model), runs / "parent").execute()
    return runs / "parent"


def small(model, **changes):
    return spec_of(model, **{"evaluation": {"every": 2, "num_items": 8}, **changes})


def weights(folder, step):
    return load_file(folder / "checkpoints" / f"step-{step:06d}" / "policy" / "model.safetensors")


def told_after(folder, step):
    """What a run said of its own steps after ``step``, without its own bookkeeping."""
    return [
        {"step": event["step"], "data": found["data"]}
        for event in Run(None, folder).events()
        if event["step"] > step and event["kind"] not in SKIPPED and (found := deterministic(event))
    ]


def test_a_fork_with_everything_and_unchanged_knobs_continues_bit_for_bit(runs, parent, model):
    fork = runs / "fork"
    spec = small(model, start={"run": "parent", "step": 4})
    assert Run(spec, fork).execute() is RunPhase.SUCCEEDED
    mine, theirs = weights(fork, 6), weights(parent, 6)
    assert all(mine[name].equal(theirs[name]) for name in theirs)
    assert told_after(fork, 4) == told_after(parent, 4)
    first = next(Run(None, fork).events())
    assert (first["seq"], first["step"]) == (1, 4)
    assert [event["step"] for event in Run(None, fork).events(EventKind.EVALUATION)] == [4, 6]


def test_a_fork_that_is_resumed_goes_on_from_its_own_checkpoint(runs, parent, model):
    fork = runs / "resumed"
    spec = small(model, start={"run": "parent", "step": 2})
    (fork / "x").mkdir(parents=True)
    (fork / "control.jsonl").write_text('{"id": 1, "command": "stop", "reason": "enough"}\n')
    Run(spec, fork).execute()
    assert Run(spec, fork).execute(resume=True) is RunPhase.SUCCEEDED
    assert all(value.equal(weights(fork, 6)[name]) for name, value in weights(parent, 6).items())


def test_a_fork_of_the_weights_begins_anew_with_them(runs, parent, model):
    fork = runs / "weights"
    Run(small(model, steps=1, start={"run": "parent", "step": 4, "what": "weights"}), fork).execute()
    of_parent = {event["step"]: event["data"] for event in Run(None, parent).events(EventKind.EVALUATION)}
    first = next(Run(None, fork).events(EventKind.EVALUATION))
    assert (first["step"], first["data"]) == (0, of_parent[4])
    assert [event["step"] for event in Run(None, fork).events(EventKind.METRIC)][-1] == 1
    notes = [event["data"]["text"] for event in Run(None, fork).events(EventKind.LOG)]
    assert "Begins with the weights from step 4 of run parent" in notes


def test_a_checkpoint_that_is_gone_is_told_in_a_sentence(runs, parent, model):
    folder = runs / "lost"
    assert Run(small(model, start={"run": "parent", "step": 5}), folder).execute() is RunPhase.FAILED
    last = list(Run(None, folder).events())[-1]["data"]
    assert last["failure"] == "model"
    assert last["text"].startswith("The checkpoint of step 5 of the run parent is not on this machine")


@pytest.mark.parametrize(
    ("start", "sentence"),
    [
        ({"run": "parent", "step": 6}, "start goes on from step 6, but steps is 6"),
        ({"run": "../parent", "step": 1}, "must be a name of letters"),
        ({"run": "parent"}, "this field is required"),
    ],
)
def test_a_start_that_cannot_be_is_refused(start, sentence):
    with pytest.raises(SpecError, match=sentence):
        spec_of("./m", start=start)


def test_a_run_ends_in_good_order_when_its_tokens_are_spent(runs, model):
    folder = runs / "budget"
    assert Run(small(model, resources={"max_tokens": 1}), folder).execute() is RunPhase.SUCCEEDED
    last = list(Run(None, folder).events())[-1]["data"]["text"]
    assert last.startswith("Sampled ")
    assert last.endswith("tokens, all it may, by step 1 of 6.")
    assert [event["step"] for event in Run(None, folder).events(EventKind.CHECKPOINT)] == [1]
    assert Run(small(model, resources={"max_tokens": 1}), folder).execute(resume=True) is RunPhase.SUCCEEDED
    assert len(list(Run(None, folder).events(EventKind.CHECKPOINT))) == 1


def test_a_held_checkpoint_outlives_its_runs_own_limit(runs, model):
    folder = runs / "holding"
    folder.mkdir()

    def hold_the_first(event):
        if event["kind"] == EventKind.CHECKPOINT and event["step"] == 2:
            (folder / "holds.json").write_text("[2]")

    spec = small(model, checkpoint={"every": 2, "keep": 1})
    assert Run(spec, folder, listener=hold_the_first).execute() is RunPhase.SUCCEEDED
    assert sorted(path.name for path in (folder / "checkpoints").iterdir()) == ["step-000002", "step-000006"]
    (folder / "holds.json").write_text("[]")
    tidy(folder / "checkpoints", keep=1, held=held_steps(folder))
    assert [path.name for path in (folder / "checkpoints").iterdir()] == ["step-000006"]
