"""How many metric points a second of CPU time brings into the database: ``python -m bench.ingest``.

Writes events as a run does (one metric event per step with 30 values, a sample every fourth) through ``store_events``
into a Postgres of its own, and counts the CPU time of this process and of the server process that serves it.
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

RESULTS = Path(__file__).resolve().parent / "results" / "ingest.json"
VALUES_PER_EVENT = 30
TURN = {
    "role": "solver",
    "text": "Working: 12 + 30 = 42. <answer>42</answer> " * 4,
    "rewards": {"judge": 0.9, "format": 1.0},
}


def events(first: int, count: int) -> list[dict[str, Any]]:
    return [event(seq) for seq in range(first, first + count)]


def event(seq: int) -> dict[str, Any]:
    head = {"seq": seq, "step": seq, "t": 1769000000.0 + seq}
    if seq % 5 == 0:
        data: dict[str, Any] = {"episode": f"{seq}-0", "title": "12 + 30 = ?", "turns": [TURN] * 8}
        return {**head, "kind": "sample", "data": data}
    values = {f"reward_term/term_{index:02d}": (seq * 31 + index) % 997 / 997 for index in range(VALUES_PER_EVENT)}
    return {**head, "kind": "metric", "data": {"values": values}}


def batches(total: int, size: int) -> Iterator[list[dict[str, Any]]]:
    """Through JSON text and back, because reading the lines is part of the cost."""
    for first in range(1, total + 1, size):
        yield [json.loads(json.dumps(one)) for one in events(first, min(size, total + 1 - first))]


def measure(num_events: int, batch: int) -> dict[str, float]:
    from django.db import connection

    from training_core.spec.experiment import ExperimentSpec
    from training_core.spec.io import dump_dict
    from webapp.accounts.models import User
    from webapp.experiments.models import Run
    from webapp.experiments.services import create_experiment
    from webapp.telemetry.models import Event
    from webapp.telemetry.services import store_events
    from webapp.workspaces.services import create_workspace

    ada = User.objects.create_user("ada@example.org")
    spec = ExperimentSpec(name="Ingest", method={"name": "mae"})
    experiment = create_experiment(actor=ada, workspace=create_workspace(name="Bench", owner=ada), spec=spec)
    run = experiment.runs.get()
    assert dump_dict(spec) == run.spec
    Run.objects.filter(pk=run.pk).update(status="running", lease_token=1, attempt=1)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        server = psutil.Process(cursor.fetchone()[0])
    ready = list(batches(num_events, batch))

    def cpu() -> tuple[float, float]:
        theirs = server.cpu_times()
        return time.process_time(), theirs.user + theirs.system

    ours_before, theirs_before = cpu()
    begin = time.perf_counter()
    for some in ready:
        store_events(run_id=run.pk, token=1, attempt=1, events=some)
    wall = time.perf_counter() - begin
    ours, theirs = (after - before for after, before in zip(cpu(), (ours_before, theirs_before), strict=True))
    points = VALUES_PER_EVENT * Event.objects.filter(run=run, kind="metric").count()
    return {
        "points": points,
        "points_per_worker_cpu_s": points / ours,
        "points_per_total_cpu_s": points / (ours + theirs),
        "points_per_wall_s": points / wall,
        "worker_cpu_s": ours,
        "postgres_cpu_s": theirs,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=10_000)
    parser.add_argument("--batch", type=int, default=500, help="events per transaction")
    parser.add_argument("--save", action="store_true", help=f"record the figures in {RESULTS.name}")
    options = parser.parse_args()
    from webapp.embedded import EmbeddedPostgres

    with tempfile.TemporaryDirectory(prefix="kumite-bench-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        postgres = EmbeddedPostgres(folder)
        postgres.start()
        os.environ |= {"KUMITE_VAR": name, "DATABASE_URL": postgres.url, "KUMITE_LOG_LEVEL": "ERROR"}
        os.environ["DJANGO_SETTINGS_MODULE"] = "webapp.settings"
        try:
            import django

            django.setup()
            from django.core.management import call_command

            call_command("migrate", verbosity=0)
            figures = measure(options.events, options.batch)
            for key, value in figures.items():
                print(f"{key:26} {value:12,.1f}")
            if options.save:
                conditions = {"events": options.events, "batch": options.batch, "cores": os.cpu_count()}
                RESULTS.write_text(json.dumps({**conditions, **figures}, indent=2) + "\n", encoding="utf-8")
        finally:
            postgres.stop()


if __name__ == "__main__":
    main()
