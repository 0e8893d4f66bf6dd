"""Events travel from the file to the database exactly once, whatever happens to the file in between."""

import json
import random
from pathlib import Path

import pytest

from tests.factories import points_of
from tests.workers.conftest import MakeRun, MakeWorker, expire, log, metric, write_lines
from webapp.experiments.models import Run
from webapp.fleet import services as fleet
from webapp.fleet.services import Claim
from webapp.telemetry.models import Event
from workers.relay import EventFile, Relay


def drain(file: EventFile) -> list[int]:
    seqs = []
    while batch := file.next_batch():
        seqs += [event["seq"] for event in batch.events]
        file.confirm(batch)
    return seqs


def cut_to(path: Path, num_lines: int) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    with path.open("r+b") as file:
        file.truncate(sum(map(len, lines[:num_lines])))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.jsonl"


def test_a_file_that_does_not_exist_yet_holds_nothing(path: Path) -> None:
    file = EventFile(path, last_seq=0)
    assert drain(file) == []
    write_lines(path, [log(1, 0, "a"), log(2, 0, "b")])
    assert drain(file) == [1, 2]
    write_lines(path, [log(3, 0, "c")])
    assert drain(file) == [3]


def test_a_line_without_its_end_is_left_for_later(path: Path) -> None:
    file = EventFile(path, last_seq=0)
    line = json.dumps(log(1, 0, "half"))
    path.write_text(line[:20])
    assert drain(file) == []
    path.write_text(line + "\n" + '{"seq": 2')
    assert drain(file) == [1]


def test_a_batch_that_was_not_confirmed_comes_again(path: Path) -> None:
    file = EventFile(path, last_seq=0)
    write_lines(path, [log(1, 0, "a")])
    first, again = file.next_batch(), file.next_batch()
    assert first == again


def test_lines_of_an_earlier_process_wait_until_the_new_one_has_written(path: Path) -> None:
    write_lines(path, [log(seq, 0, "old") for seq in range(1, 6)])
    file = EventFile(path, last_seq=2)
    assert drain(file) == []
    cut_to(path, 4)
    assert drain(file) == []
    write_lines(path, [log(5, 0, "new")])
    assert drain(file) == [3, 4, 5]
    assert file.first_own_seq == 5


@pytest.mark.parametrize("kept", [0, 1, 3, 5])
def test_a_cut_is_found_even_when_the_file_has_outgrown_its_old_size(path: Path, kept: int) -> None:
    write_lines(path, [log(seq, 0, f"old {seq}") for seq in range(1, 6)])
    file = EventFile(path, last_seq=5)
    cut_to(path, kept)
    write_lines(path, [log(seq, 0, f"new {seq}") for seq in range(kept + 1, 20)])
    assert drain(file) == list(range(kept + 1, 20))
    assert file.first_own_seq == kept + 1


def test_a_process_that_announces_the_same_line_again_is_recognised_by_its_time(path: Path) -> None:
    write_lines(path, [metric(1, 1, a=1.0), metric(2, 2, a=1.0)])
    file = EventFile(path, last_seq=2)
    cut_to(path, 1)
    write_lines(path, [{**metric(2, 2, a=1.0), "t": 1769009999.5}])
    assert drain(file) == [2]


def test_a_process_that_wrote_nothing_leaves_the_unsaved_rest_of_its_predecessor(path: Path) -> None:
    write_lines(path, [log(seq, 0, "old") for seq in range(1, 6)])
    file = EventFile(path, last_seq=3)
    file.process_has_ended()
    assert drain(file) == [4, 5]
    assert file.first_own_seq is None


def test_a_lost_file_starts_again_from_the_first_event(path: Path) -> None:
    file = EventFile(path, last_seq=7)
    write_lines(path, [log(1, 0, "new")])
    assert drain(file) == [1]


@pytest.mark.parametrize("line", ["not json", "[1, 2]", '{"seq": 9, "kind": "log"}', "{" * 100_000, '"\\ud800"', "\r"])
def test_a_line_that_cannot_be_read_becomes_a_log_event_in_its_place(path: Path, line: str) -> None:
    file = EventFile(path, last_seq=0)
    path.write_text(json.dumps(log(1, 4, "a")) + "\n" + line + "\n" + json.dumps(log(3, 4, "c")) + "\n")
    batch = file.next_batch()
    assert batch is not None
    assert [event["seq"] for event in batch.events] == [1, 2, 3]
    assert batch.events[1]["data"]["level"] == "error"
    assert batch.events[1]["data"]["text"].startswith("Line 2 of events.jsonl cannot be read")


def test_a_line_longer_than_a_batch_is_read_whole(path: Path) -> None:
    file = EventFile(path, last_seq=0)
    write_lines(path, [log(1, 0, "x" * 3_000_000), log(2, 0, "short")])
    assert drain(file) == [1, 2]


@pytest.fixture
def claim(make_run: MakeRun, make_worker: MakeWorker) -> Claim:
    make_run()
    claim = fleet.claim_run(worker=make_worker())
    assert claim is not None
    return claim


def stored() -> list[tuple[int, int]]:
    return list(Event.objects.order_by("seq").values_list("seq", "attempt"))


def test_attempts_killed_at_random_moments_leave_every_event_once(
    path: Path, make_run: MakeRun, make_worker: MakeWorker
) -> None:
    """A file as five killed processes leave it, relayed by five supervisors that die at any time too."""
    rng = random.Random(7)
    run, worker = make_run(max_attempts=100), make_worker()
    saved = 0
    for attempt in range(1, 6):
        claim = fleet.claim_run(worker=worker)
        assert claim is not None
        relay = Relay(claim, path)
        if attempt > 1:
            cut_to(path, saved)
        for seq in range(saved + 1, saved + 1 + rng.randint(5, 30)):
            write_lines(path, [{**metric(seq, seq, a=float(seq)), "t": 1769000000.0 + attempt}])
            if rng.random() < 0.3:
                relay.pump()
            if rng.random() < 0.15:
                saved = seq
        Run.objects.filter(pk=run.pk).update(status="running")
        expire(run)
        fleet.reap()
        Run.objects.filter(pk=run.pk).update(not_before=None)
    claim = fleet.claim_run(worker=worker)
    assert claim is not None
    relay = Relay(claim, path)
    relay.finish()
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(event.seq, event.t) for event in Event.objects.order_by("seq")] == [(e["seq"], e["t"]) for e in lines]
    assert points_of(run, "a") == [(event["step"], event["data"]["values"]["a"]) for event in lines]


def test_the_relay_notices_when_play_begins_and_what_the_process_says_last(path: Path, claim: Claim) -> None:
    relay = Relay(claim, path)
    state = {"seq": 1, "kind": "state", "step": 0, "t": 1.0, "data": {"phase": "preparing", "text": "Loading"}}
    write_lines(path, [state])
    relay.pump()
    assert not relay.has_begun
    write_lines(path, [{**state, "seq": 2, "data": {"phase": "running", "text": "Playing"}}, metric(3, 1, a=1.0)])
    relay.pump()
    assert relay.has_begun
    assert relay.last_step == 1
    assert relay.last_state == {"phase": "running", "text": "Playing"}


def test_what_an_earlier_process_said_is_not_taken_for_the_new_one(path: Path, claim: Claim) -> None:
    data = {"phase": "failed", "text": "Boom", "failure": "crash"}
    write_lines(path, [{"seq": 1, "kind": "state", "step": 0, "t": 1.0, "data": data}])
    relay = Relay(claim, path)
    relay.finish()
    assert stored() == [(1, 1)]
    assert relay.last_state is None
