"""Runs of several processes."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.core.test_runner import REPOSITORY, facts
from tests.own_methods import known_as
from tests.ports import free_port
from tests.shadow import Shadow
from tests.tiny_model import make_tiny_model, spec_of
from training_core import checkpoints
from training_core.distributed.launch import conclude, gang_of
from training_core.distributed.lifeline import RankFailure, tell
from training_core.distributed.parallel import Alone, deal, neighbours
from training_core.distributed.shards import is_sharded, load_shards
from training_core.distributed.spread import SpreadEngine, cut
from training_core.play.requests import Request
from training_core.runner import Run
from training_core.spec.events import EventKind, RunPhase
from training_core.spec.io import SpecError, dump_yaml
from training_core.spec.learning import SamplingSpec
from training_core.spec.run import ResourceSpec
from training_core.stopwatch import Stopwatch


def test_one_process_does_all_of_the_work_itself():
    alone = Alone()
    assert (alone.rank, alone.size) == (0, 1)
    assert alone.gather_lists(alone.share("abc")) == ["a", "b", "c"]
    assert alone.all_sum({"loss": 2.0}) == {"loss": 2.0}
    assert alone.broadcast("x") == "x"


def test_one_process_needs_no_torch():
    code = "import sys, training_core.distributed.parallel; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("size", [1, 2, 3, 7])
@pytest.mark.parametrize("count", [0, 1, 2, 5, 14])
def test_parts_are_even_and_together_give_the_whole(count, size):
    parts = [neighbours(range(count), rank=rank, size=size) for rank in range(size)]
    assert [item for part in parts for item in part] == list(range(count))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_dealt_hands_hold_every_index_once_and_cost_about_the_same():
    costs = [50, 3, 3, 20, 20, 8, 8, 8, 1, 29]
    hands = deal(costs, 3)
    assert sorted(index for hand in hands for index in hand) == list(range(len(costs)))
    totals = [sum(costs[index] for index in hand) for hand in hands]
    assert max(totals) - min(totals) <= 3


class ByName:
    """An engine that answers with the policy, the prompt and the seed of every sample."""

    watch = Stopwatch()

    def __init__(self):
        self.asked = []

    def generate(self, requests):
        self.asked += requests
        return [[f"{r.policy}/{r.prompt}/{r.seed + place}" for place in range(r.n)] for r in requests]


class Line:
    """One of several ranks in one process: its gathering gives what every rank would contribute."""

    def __init__(self, rank, size, requests):
        self.rank, self.size, self.requests = rank, size, requests

    def gather_lists(self, part):
        pieces = cut(self.requests, size=self.size)
        hands = deal([piece.asked.n * piece.asked.sampling.max_tokens for piece in pieces], self.size)
        parts = [[(i, ByName().generate([pieces[i].asked])[0]) for i in sorted(hand)] for hand in hands]
        assert list(part) == parts[self.rank]
        return [item for each in parts for item in each]


def requests_of(*counts):
    sampling = SamplingSpec(max_tokens=8)
    return [
        Request(policy="main", prompt=f"p{index}", n=count, sampling=sampling, seed=1000 * index)
        for index, count in enumerate(counts)
    ]


@pytest.mark.parametrize("counts", [(1,), (7,), (64, 1, 1), (3, 3, 3, 3), ()])
@pytest.mark.parametrize("size", [2, 3])
def test_what_is_sampled_does_not_depend_on_how_many_engines_sample_it(counts, size):
    requests = requests_of(*counts)
    expected = ByName().generate(requests)
    for rank in range(size):
        assert SpreadEngine(ByName(), Line(rank, size, requests)).generate(requests) == expected


def test_one_large_request_is_spread_over_all_engines():
    pieces = cut(requests_of(64), size=4)
    assert [(piece.first, piece.asked.n, piece.asked.seed) for piece in pieces] == [
        (0, 16, 0),
        (16, 16, 16),
        (32, 16, 32),
        (48, 16, 48),
    ]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return make_tiny_model(tmp_path_factory.mktemp("tiny"))


JOBS = {
    # name: (changes to the spec, processes, name of the run it goes on from)
    "adamw": ({"optimizer": "adamw"}, 2, None),
    "muon, ahead": ({"optimizer": "muon", "learner": {"ahead": 1}}, 2, None),
    "adapters": ({"optimizer": "adamw", "adapters": True, "format": "sharded"}, 2, None),
    "begun by two": ({"optimizer": "adamw", "steps": 2, "format": "sharded"}, 2, None),
    "begun by one": ({"optimizer": "adamw"}, 2, "one"),
    "snapshots": ({"name": "shadow", "format": "sharded", "learner": {"ahead": 1}}, 2, None),
    "adapters with snapshots": ({"name": "shadow", "adapters": True}, 2, "one"),
}


def small_spec(
    model, *, processes=1, name="mae", optimizer="adamw", steps=4, format="whole", adapters=False, **changes
):
    plain = spec_of(model).method.model_dump() if name == "mae" else {"name": name, "sampling": {"max_tokens": 8}}
    method = {**plain, "optimizer": {"kind": optimizer, "lr": 1e-3, "micro_batch_tokens": 256, "minibatches": 2}}
    if adapters:
        changes |= {"model": {"source": str(model), "adapter": {"rank": 4}}, "weights": {"kind": "adapters"}}
    return spec_of(
        model,
        steps=steps,
        method=method,
        evaluation={"every": 4, "num_items": 4},
        checkpoint={"every": 2, "format": format},
        resources={"processes": processes},
        **changes,
    )


@pytest.fixture(scope="module")
def folders(model, tmp_path_factory):
    """Runs of two processes and, under "one ...", the same runs of one."""
    with known_as("shadow", Shadow):
        return run_all(model, tmp_path_factory)


def run_all(model, tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    for name in ("adamw", "muon, ahead", "adapters"):
        Run(small_spec(model, **{**JOBS[name][0], "format": "whole"}), root / f"one {name}").execute()
    Run(small_spec(model, steps=2), root / "begun by one").execute()
    for name in ("snapshots", "adapters with snapshots"):
        Run(small_spec(model, **{**JOBS[name][0], "format": "whole"}), root / f"one {name}").execute()
    Run(small_spec(model, steps=2, name="shadow", adapters=True), root / "adapters with snapshots").execute()
    jobs = []
    for name, (changes, processes, resumed) in JOBS.items():
        spec = root / f"{name}.yaml"
        spec.write_text(dump_yaml(small_spec(model, processes=processes, **changes)))
        jobs.append({"spec": str(spec), "dir": str(root / name), "size": processes, "resume": resumed is not None})
    (root / "jobs.json").write_text(json.dumps(jobs))
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "tests.ranks", str(root / "jobs.json")], cwd=REPOSITORY, env=environment, check=False
    )
    assert done.returncode == 0
    Run(small_spec(model), root / "begun by two").execute(resume=True)
    shutil.copytree(root / "snapshots", root / "snapshots begun by two")
    shutil.rmtree(root / "snapshots begun by two" / "checkpoints" / "step-000004")
    Run(small_spec(model, name="shadow", learner={"ahead": 1}), root / "snapshots begun by two").execute(resume=True)
    return root


def texts(folder):
    """Everything that was sampled and shown, with its rewards."""
    return [
        (event["step"], [(turn["text"], turn.get("reward")) for turn in event["data"]["turns"]])
        for event in Run(None, folder).events(EventKind.SAMPLE)
    ]


def weights_of(folder, step=4, policy="policy"):
    place = folder / "checkpoints" / f"step-{step:06d}" / policy
    return load_file(next(path for path in place.glob("*model.safetensors")))


def distance(left, right):
    assert left.keys() == right.keys()
    return max(float((left[name] - right[name]).abs().max()) for name in left)


@pytest.mark.parametrize(("name", "tolerance"), [("adamw", 2e-5), ("muon, ahead", 4e-4)])
def test_two_processes_learn_what_one_learns(name, tolerance, folders, model):
    """Muon computes its directions in bfloat16, which makes much of little differences."""
    assert texts(folders / name) == texts(folders / f"one {name}")
    moved = distance(weights_of(folders / f"one {name}"), load_file(model / "model.safetensors"))
    assert distance(weights_of(folders / name), weights_of(folders / f"one {name}")) < min(tolerance, moved / 4)


def test_two_processes_report_the_metrics_of_one(folders):
    for one, two in zip(facts(folders / "one adamw"), facts(folders / "adamw"), strict=True):
        if one["kind"] == EventKind.METRIC:
            assert two["data"]["values"] == pytest.approx(one["data"]["values"], rel=1e-3, abs=1e-4)


def test_events_of_two_processes_are_numbered_without_gaps(folders):
    events = list(Run(None, folders / "adamw").events())
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert events[-1]["data"]["phase"] == "succeeded"


@pytest.mark.parametrize("name", ["begun by one", "begun by two"])
def test_a_run_goes_on_with_another_number_of_processes(name, folders):
    assert list(Run(None, folders / name).events())[-1]["data"]["phase"] == "succeeded"
    assert texts(folders / name) == texts(folders / "one adamw")
    assert distance(weights_of(folders / name), weights_of(folders / "one adamw")) < 2e-5


def test_shards_are_safetensors_and_hold_what_one_file_holds(folders, model):
    place = folders / "adapters" / "checkpoints" / "step-000004"
    assert {path.suffix for path in place.rglob("*") if path.is_file()} <= {".json", ".jinja", ".safetensors"}
    assert len(list((place / "policy-solver").glob("shard-*.safetensors"))) == 2
    assert texts(folders / "adapters") == texts(folders / "one adapters")
    found = load_shards(place / "policy-solver", lambda _name, shape, dtype: torch.empty(shape, dtype=dtype), size=1)
    assert distance(found, weights_of(folders / "one adapters", policy="policy-solver")) < 2e-5


def parts_of(folder, policy):
    """The policy of the last checkpoint, written whole or in parts."""
    place = folder / "checkpoints" / "step-000004" / checkpoints.policy_folder(policy)
    if is_sharded(place):
        return load_shards(place, lambda _name, shape, dtype: torch.empty(shape, dtype=dtype), size=1)
    return load_file(next(place.glob("*model.safetensors")))


@pytest.mark.parametrize(
    ("name", "one", "player"),
    [
        ("snapshots", "one snapshots", "main"),
        ("adapters with snapshots", "one adapters with snapshots", "player"),
        ("snapshots begun by two", "one snapshots", "main"),
    ],
)
def test_snapshots_are_the_same_in_one_process_and_in_two(name, one, player, folders):
    assert last_state(folders / name)["text"] == "Finished all 4 steps."
    for policy in (player, "iterate", "average", "past"):
        assert distance(parts_of(folders / name, policy), parts_of(folders / one, policy)) < 1e-4
    assert distance(parts_of(folders / name, "past"), parts_of(folders / name, player)) > 5e-4
    measured, expected = (Run(None, folders / each).series("eval/past") for each in (name, one))
    assert measured[-1][1] == pytest.approx(expected[-1][1], abs=1e-3)


def test_a_library_call_says_how_to_start_several_processes(model, tmp_path):
    assert Run(small_spec(model, processes=2), tmp_path).execute() is RunPhase.FAILED
    state = list(Run(None, tmp_path).events())[-1]["data"]
    assert state["failure"] == "spec"
    assert "asks for 2 processes, but 1 took part" in state["text"]


# The launcher


def start(spec, folder, *extra):
    command = [sys.executable, "-m", "training_core", "run", str(spec), "--dir", str(folder), *extra]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(command, cwd=REPOSITORY, env=environment, stderr=subprocess.PIPE, text=True)


def wait_for_step(folder, step, *processes):
    deadline = time.monotonic() + 200
    while not any(event["step"] >= step for event in Run(None, folder).events()):
        assert all(process.poll() is None for process in processes), processes[0].communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)


def ranks_of(launcher):
    children = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                parent = (process / "stat").read_text().rpartition(")")[2].split()[1]
            except OSError:
                continue
            if parent == str(launcher.pid):
                children.append(int(process.name))
    return sorted(children)


def last_state(folder):
    return list(Run(None, folder).events(EventKind.STATE))[-1]["data"]


def endless(model, path, **resources):
    spec = small_spec(model).model_copy(update={"steps": 100_000, "resources": ResourceSpec(**resources)})
    path.write_text(dump_yaml(spec))
    return path


def test_sigterm_to_the_launcher_stops_all_processes_with_a_checkpoint_and_sigusr1_shows_their_stacks(model, tmp_path):
    spec = endless(model, tmp_path / "spec.yaml", processes=2)
    launcher = start(spec, tmp_path / "run")
    wait_for_step(tmp_path / "run", 1, launcher)
    ranks = ranks_of(launcher)
    assert len(ranks) == 2
    launcher.send_signal(signal.SIGUSR1)
    time.sleep(1)
    launcher.terminate()
    _, errors = launcher.communicate(timeout=200)
    assert launcher.returncode == 3
    assert last_state(tmp_path / "run")["phase"] == "stopped"
    assert errors.count("most recent call first") >= 2
    assert not any(Path(f"/proc/{pid}").exists() for pid in ranks)
    assert not (tmp_path / "run" / "control.jsonl").exists()
    step = checkpoints.newest(tmp_path / "run" / "checkpoints").step
    one = small_spec(model).model_copy(update={"steps": step + 1})
    assert Run(one, tmp_path / "run").execute(resume=True) is RunPhase.SUCCEEDED


def test_two_hosts_end_together_with_a_clear_sentence_when_a_process_of_one_is_killed(model, tmp_path):
    spec = endless(model, tmp_path / "spec.yaml", hosts=2)
    meeting = ["--rendezvous", f"127.0.0.1:{free_port()}"]
    folder = tmp_path / "run"
    second = start(spec, folder, "--host-rank", "1", *meeting)
    first = start(spec, folder, "--host-rank", "0", *meeting)
    wait_for_step(folder, 3, first, second)
    (rank,) = ranks_of(second)
    os.kill(rank, signal.SIGKILL)
    _, errors = first.communicate(timeout=200)
    second.communicate(timeout=200)
    assert (first.returncode, second.returncode) == (4, 4)
    state = last_state(folder)
    assert state["failure"] == "lost_worker"
    assert "killed process 1 of 2, counted from 0 (SIGKILL), most often because memory ran out" in state["text"]
    assert state["text"] in errors
    events = list(Run(None, folder).events())
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert not (folder / ".failures").exists()
    assert checkpoints.newest(folder / "checkpoints").step >= 2


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def is_bound(pid):
    """Python has taken over the process and made its first wishes known, among them to die with the launcher."""
    mask = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("SigCgt"))
    return bool(int(mask.split()[1], 16) >> (signal.SIGUSR1 - 1) & 1)


def test_processes_die_with_a_launcher_that_is_killed(model, tmp_path):
    spec = endless(model, tmp_path / "spec.yaml", processes=2)
    launcher = start(spec, tmp_path / "run")
    deadline = time.monotonic() + 100
    while len(ranks := ranks_of(launcher)) < 2 or not all(is_bound(pid) for pid in ranks):
        assert launcher.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    launcher.kill()
    launcher.communicate()
    while any(is_running(pid) for pid in ranks):
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("resources", "host_rank", "rendezvous", "part"),
    [
        ({"hosts": 2}, 0, None, r"the spec asks for 2: start the run on each of them with --host-rank 0 to 1"),
        ({"hosts": 2}, 2, "h:1", "--host-rank cannot be 2"),
        ({"hosts": 2}, 1, "h", "HOST:PORT is needed"),
        ({"processes": 2}, 0, "h:1", "nobody to meet"),
    ],
)
def test_a_host_that_has_no_place_in_the_run_is_told_so(resources, host_rank, rendezvous, part):
    with pytest.raises(SpecError, match=part):
        gang_of(ResourceSpec(**resources), host_rank=host_rank, rendezvous=rendezvous)


def test_the_failure_that_made_the_others_is_told_with_its_traceback(tmp_path):
    (tmp_path / "events.jsonl").write_text(
        '{"seq":1,"kind":"state","step":4,"t":1.0,"data":{"phase":"running","text":""}}\n{"se'
    )
    tell(tmp_path, RankFailure(rank=0, kind="lost_worker", text="lost"))
    tell(
        tmp_path,
        RankFailure(rank=3, kind="crash", text="ZeroDivisionError: division by zero", traceback="Traceback ..."),
    )
    gang = gang_of(ResourceSpec(processes=4), host_rank=0, rendezvous=None)
    conclude(tmp_path, gang, RankFailure(rank=-1, kind="lost_worker", text="lost"), since=2.0)
    event = list(Run(None, tmp_path).events())[-1]
    assert (event["seq"], event["step"]) == (2, 4)
    assert event["data"]["text"] == "In process 3 of 4, counted from 0: ZeroDivisionError: division by zero"
    assert (event["data"]["failure"], event["data"]["traceback"]) == ("crash", "Traceback ...")
