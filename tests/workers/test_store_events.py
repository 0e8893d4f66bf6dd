"""What a run wrote reaches the database exactly once, in order, safely, and only from the holder of its lease."""

import math
from uuid import uuid4

import pytest

from tests.factories import points_of
from tests.workers.conftest import MakeRun, MakeWorker, expire, log, metric
from webapp.experiments.models import Run
from webapp.fleet import services as fleet
from webapp.fleet.leases import LeaseLost
from webapp.telemetry.models import Event, MetricBlock, MetricChunk
from webapp.telemetry.series import metric_names
from webapp.telemetry.services import EventGap, pack_metrics, store_events

HEADLINE = "eval/accuracy_sampled"


@pytest.fixture
def held(make_run: MakeRun, make_worker: MakeWorker) -> Run:
    make_run()
    claim = fleet.claim_run(worker=make_worker())
    assert claim is not None
    return Run.objects.get(pk=claim.run_id)


def store(run: Run, events: list, *, token: int | None = None, attempt: int | None = None) -> int:
    token = run.lease_token if token is None else token
    attempt = run.attempt if attempt is None else attempt
    stored = store_events(run_id=run.pk, token=token, attempt=attempt, events=events)
    run.refresh_from_db()
    return stored


def second_attempt(run: Run, make_worker: MakeWorker) -> None:
    """The worker is lost while the run runs, and another one claims it."""
    Run.objects.filter(pk=run.pk).update(status="running")
    expire(run)
    fleet.reap()
    Run.objects.filter(pk=run.pk).update(not_before=None)
    assert fleet.claim_run(worker=make_worker("beta")) is not None
    run.refresh_from_db()


def test_events_and_points_are_stored_and_the_run_moves_on(held: Run) -> None:
    state = {"seq": 1, "kind": "state", "step": 0, "t": 1.0, "data": {"phase": "preparing", "text": "Loading"}}
    state["data"]["fraction"] = 0.5
    assert store(held, [state, metric(2, 1, **{"reward/solver": 0.5, "loss/total": -1.25e-7}), log(3, 1, "hi")]) == 3
    assert list(Event.objects.order_by("seq").values_list("seq", "kind", "step", "attempt")) == [
        (1, "state", 0, 1),
        (2, "metric", 1, 1),
        (3, "log", 1, 1),
    ]
    assert points_of(held, "reward/solver") == [(1, 0.5)]
    assert points_of(held, "loss/total") == [(1, -1.25e-7)]
    assert (held.last_seq, held.last_step, held.phase_text, held.phase_fraction) == (3, 1, "Loading", 0.5)


def test_the_same_batch_twice_is_stored_once(held: Run) -> None:
    batch = [metric(seq, seq, a=float(seq)) for seq in range(1, 6)]
    assert store(held, batch) == 5
    assert store(held, batch) == 0
    assert store(held, [*batch[2:], metric(6, 6, a=6.0)]) == 1
    assert list(Event.objects.order_by("seq").values_list("seq", flat=True)) == [1, 2, 3, 4, 5, 6]
    assert points_of(held, "a") == [(seq, float(seq)) for seq in range(1, 7)]


def test_a_hole_in_the_numbers_is_refused(held: Run) -> None:
    with pytest.raises(EventGap, match="event 3 came, but events are stored only up to 0"):
        store(held, [metric(3, 1, a=1.0)])
    with pytest.raises(EventGap, match="event 3 came after event 1"):
        store(held, [metric(1, 1, a=1.0), metric(3, 1, a=1.0)])
    assert Event.objects.count() == 0


def test_a_stale_token_stores_nothing_although_the_row_is_there(held: Run) -> None:
    stale = held.lease_token
    expire(held)
    fleet.reap()
    with pytest.raises(LeaseLost):
        store(held, [metric(1, 1, a=1.0)], token=stale)
    assert Event.objects.count() == 0
    # The control: without the fence the same write finds its row.
    assert Run.objects.filter(pk=held.pk).update(last_step=99) == 1


def test_a_stale_attempt_stores_nothing(held: Run) -> None:
    with pytest.raises(LeaseLost):
        store(held, [metric(1, 1, a=1.0)], attempt=held.attempt + 1)


def test_an_unknown_run_is_a_lost_lease(db: None) -> None:
    with pytest.raises(LeaseLost):
        store_events(run_id=uuid4(), token=1, attempt=1, events=[log(1, 0, "x")])


def test_a_new_attempt_replaces_what_came_after_its_checkpoint(held: Run, make_worker: MakeWorker) -> None:
    store(held, [metric(seq, seq, **{HEADLINE: seq / 10}) for seq in range(1, 9)])
    second_attempt(held, make_worker)
    store(held, [metric(5, 5, **{HEADLINE: 0.55})])
    assert list(Event.objects.order_by("seq").values_list("seq", "attempt")) == [(1, 1), (2, 1), (3, 1), (4, 1), (5, 2)]
    assert (held.last_seq, held.last_step) == (5, 5)
    assert held.headline == [[1, 0.1], [2, 0.2], [3, 0.3], [4, 0.4], [5, 0.55]]
    assert points_of(held, HEADLINE) == [(1, 0.1), (2, 0.2), (3, 0.3), (4, 0.4), (5, 0.55)]
    store(held, [metric(6, 6, **{HEADLINE: 0.66})])
    assert held.headline[-1] == [6, 0.66]


def test_a_new_attempt_may_start_from_the_beginning(held: Run, make_worker: MakeWorker) -> None:
    store(held, [metric(seq, seq, a=1.0) for seq in range(1, 4)])
    second_attempt(held, make_worker)
    store(held, [log(1, 0, "again")])
    assert list(Event.objects.values_list("seq", "kind", "attempt")) == [(1, "log", 2)]
    assert held.last_seq == 1


def test_numbers_that_are_not_finite_become_null_and_leave_a_gap(held: Run) -> None:
    store(held, [metric(1, 1, a=math.nan, b=math.inf, c=1.0, d=10**400)])
    assert Event.objects.get().data == {"values": {"a": None, "b": None, "c": 1.0, "d": None}}
    assert metric_names(held) == ["c"]


def test_text_with_nul_and_half_surrogates_is_kept(held: Run) -> None:
    store(held, [log(1, 0, "a\0b\ud800c \\u0000 \N{GRINNING FACE}\t\n\r\\"), metric(2, 0, **{"x\0y": 1.0})])
    text = Event.objects.get(seq=1).data["text"]
    assert text == "a\N{SYMBOL FOR NULL}b\N{REPLACEMENT CHARACTER}c \\u0000 \N{GRINNING FACE}\t\n\r\\"
    assert metric_names(held) == ["x\N{SYMBOL FOR NULL}y"]


def test_a_sample_with_nan_rewards_is_kept(held: Run) -> None:
    turn = {"role": "solver", "text": "4", "rewards": {"judge": math.nan}, "reward": math.nan}
    data = {"episode": "1-0", "title": "2+2?", "turns": [turn], "facts": {"quality": math.nan}}
    store(held, [{"seq": 1, "kind": "sample", "step": 1, "t": 1.0, "data": data}])
    stored = Event.objects.get()
    assert stored.kind == "sample"
    assert stored.data["turns"][0]["rewards"] == {"judge": None}


def nested(depth: int) -> list:
    value: list = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    "event",
    [
        {"seq": 1, "kind": "poem", "step": 0, "t": 1.0, "data": {}},
        {"seq": 1, "kind": "metric", "step": -1, "t": 1.0, "data": {"values": {}}},
        {"seq": 1, "kind": "metric", "step": 0, "t": math.nan, "data": {"values": {}}},
        {"seq": 1, "kind": "metric", "step": 0, "t": 1.0, "data": {"values": {"a": "high"}}},
        {"seq": 1, "kind": "metric", "step": 0, "t": 1.0, "data": {"values": [1]}},
        {"seq": 1, "kind": "sample", "step": 0, "t": 1.0, "data": {"title": "no turns"}},
        {"seq": 1, "kind": "log"},
        {"seq": 1, "kind": "log", "step": True, "t": 1.0, "data": {"level": "info", "text": "x"}},
        {"seq": 1, "kind": "log", "step": 1, "t": 10**400, "data": {"level": "info", "text": "x"}},
        {"seq": 1, "kind": "log", "step": 1, "t": 1.0, "data": nested(5000)},
        {"seq": 1, "kind": ["log"], "step": 1, "t": 1.0, "data": []},
    ],
)
def test_an_event_against_the_contract_becomes_a_log_line_with_its_number(held: Run, event: dict) -> None:
    assert store(held, [event, metric(2, 1, a=1.0)]) == 2
    complaint = Event.objects.get(seq=1)
    assert complaint.kind == "log"
    assert complaint.data["level"] == "error"
    assert "does not follow the contract" in complaint.data["text"]


def test_an_overlong_metric_name_is_cut_rather_than_lost(held: Run) -> None:
    store(held, [metric(1, 1, **{"n" * 200: 1.0})])
    assert metric_names(held) == ["n" * 80]


def test_a_newer_checkpoint_forgives_lost_attempts_but_one_announced_again_does_not(
    held: Run, make_worker: MakeWorker
) -> None:
    def checkpoint(seq: int, step: int) -> dict:
        data = {"path": f"checkpoints/step-{step:06d}", "num_bytes": 1, "digest": "d"}
        return {"seq": seq, "kind": "checkpoint", "step": step, "t": 1.0, "data": data}

    store(held, [metric(1, 5, a=1.0), checkpoint(2, 5), metric(3, 6, a=1.0)])
    second_attempt(held, make_worker)
    assert held.failed_attempts == 1
    store(held, [checkpoint(2, 5)])
    assert held.failed_attempts == 1
    store(held, [checkpoint(3, 10)])
    assert held.failed_attempts == 0


def test_full_blocks_of_metrics_are_packed_and_the_rest_when_the_process_ends(held: Run) -> None:
    """1,100 events are 8 blocks of 128 at level 0 and one of level 1 above them; 76 events stay in the tail."""
    store(held, [metric(seq, seq, a=float(seq), b=-float(seq)) for seq in range(1, 1101)])
    assert list(MetricBlock.objects.order_by("level", "number").values_list("level", "number", "last_seq")) == [
        *((0, number, 128 * (number + 1)) for number in range(8)),
        (1, 0, 1024),
    ]
    assert MetricChunk.objects.filter(name="a").count() == 9
    assert points_of(held, "a") == [(seq, float(seq)) for seq in range(1, 1101)]
    pack_metrics(run_id=held.pk, token=held.lease_token)
    assert MetricBlock.objects.filter(level=0).count() == 9
    assert points_of(held, "b") == [(seq, -float(seq)) for seq in range(1, 1101)]
    pack_metrics(run_id=held.pk, token=held.lease_token)
    store(held, [metric(1101, 1101, a=0.5)])
    assert points_of(held, "a")[-2:] == [(1100, 1100.0), (1101, 0.5)]


@pytest.mark.parametrize("first", [1, 64, 128, 129, 700, 1024, 1025, 1090])
def test_a_new_attempt_replaces_points_inside_packed_blocks(held: Run, make_worker: MakeWorker, first: int) -> None:
    store(held, [metric(seq, seq, a=float(seq)) for seq in range(1, 1101)])
    second_attempt(held, make_worker)
    store(held, [metric(first, first, a=-1.0), metric(first + 1, first + 1, a=-2.0)])
    kept = [(seq, float(seq)) for seq in range(1, first)]
    assert points_of(held, "a") == [*kept, (first, -1.0), (first + 1, -2.0)]
    assert MetricChunk.objects.count() == MetricBlock.objects.count()
    store(held, [metric(seq, seq, a=0.0) for seq in range(first + 2, first + 1102)])
    assert points_of(held, "a") == [
        *kept,
        (first, -1.0),
        (first + 1, -2.0),
        *((seq, 0.0) for seq in range(first + 2, first + 1102)),
    ]


def test_the_same_metrics_in_any_batches_are_packed_alike(held: Run) -> None:
    """A batch that ends inside a block, on it or far beyond it leaves the same rows."""
    events = [metric(seq, seq // 2, a=float(seq % 7)) for seq in range(1, 1301)]
    for first, last in [(0, 1), (1, 127), (127, 128), (128, 130), (130, 700), (700, 1300)]:
        store(held, events[first:last])
    assert MetricBlock.objects.filter(level=0).count() == 10
    assert points_of(held, "a") == [(seq // 2, float(seq % 7)) for seq in range(1, 1301)]
