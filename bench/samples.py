"""How fast samples are found again among very many: ``python -m bench.samples``.

Stores samples as a Multi-Agent Evolve run writes them (questions that come back, five answers, verdicts, a vocabulary with common and
rare words) through ``store_events`` into a Postgres of its own, then asks for pages as a person would, through the site's own
views: the list, a group, a sample, searches for rare, common and several words, and for numbers. Each page is asked for often, with
other arguments each time; p50 and p95 are of wall time and of the CPU time of this process and the server's together.

    python -m bench.samples                       200,000 samples in one run
    python -m bench.samples --samples 20000       a tenth of that
"""

import argparse
import json
import os
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import accumulate
from pathlib import Path
from statistics import quantiles
from typing import Any

import psutil

from bench.machine import describe

RESULTS = Path(__file__).resolve().parent / "results" / "samples.json"
BATCH, PER_STEP = 500, 64
TARGETS_S = {"list": 0.3, "group": 0.3, "rare word": 1.0, "common word": 1.0, "two words": 1.0, "number": 1.0}


def lexicon(rng: random.Random, size: int = 20_000) -> tuple[list[str], list[float]]:
    """Words with frequencies as language has them (Zipf): the first in every other text, the last in one of many thousands."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = ["the", "then", "so", "add", "digit", "carry", "ones", "tens", "therefore", "answer"]
    seen = set(words)
    while len(words) < size:
        word = "".join(rng.choice(letters) for _ in range(rng.randint(4, 10)))
        if word not in seen:
            seen.add(word)
            words.append(word)
    return words, [1 / (rank + 3) for rank in range(size)]


class Writer:
    """Makes samples, and remembers the questions that may come back."""

    def __init__(self) -> None:
        self.rng = random.Random(1)
        self.words, weights = lexicon(random.Random(0))
        self.cumulated = list(accumulate(weights))  # else each draw would add up twenty thousand weights
        self.questions: list[str] = []

    def sample(self, step: int, place: int) -> Any:
        """One episode: a question that was met before or a new one, five answers, a verdict on each."""
        rng, words, cumulated, questions = self.rng, self.words, self.cumulated, self.questions
        if rng.random() < 0.5 and questions:
            title, made = rng.choice(questions), False
        else:
            title, made = f"What is {rng.randint(10, 99_999)} + {rng.randint(10, 99_999)} {rng.choice(words)}?", True
            questions.append(title)
        turns: list[dict[str, Any]] = []
        if made:
            turns.append(
                {"role": "proposer", "text": f"<question>{title}</question>", "reward": rng.random(), "correct": True}
            )
        for _ in range(5):
            right, answer = rng.random() < 0.6, rng.randint(20, 200_000)
            said = " ".join(rng.choices(words, cum_weights=cumulated, k=24))
            parent = len(turns)
            turns.append(
                {
                    "role": "solver",
                    "text": f"<think>{said}</think><answer>{answer}</answer>",
                    "parsed": str(answer),
                    "rewards": {"judge": float(right), "format": 1.0},
                    "reward": 0.5 + right / 2,
                    "advantage": 1.0 if right else -1.0,
                    "trained": True,
                    "num_tokens": 40,
                    "correct": right,
                }
            )
            said = " ".join(rng.choices(words, cum_weights=cumulated, k=12))
            verdict = {
                "role": "judge",
                "text": f"<think>{said}</think><score>{9 if right else 2}</score>",
                "parent": parent,
            }
            turns.append({**verdict, "correct": rng.random() < 0.9})
        facts = {"kept": rng.random() < 0.7} if made else {}
        return {"episode": f"{step}-{place}", "title": title, "turns": turns, "facts": facts}


def batches(total: int, writer: Writer) -> Iterator[list[dict[str, Any]]]:
    for first in range(1, total + 1, BATCH):
        yield [
            {
                "seq": seq,
                "kind": "sample",
                "step": 1 + seq // PER_STEP,
                "t": 1769000000.0 + seq,
                "data": writer.sample(1 + seq // PER_STEP, seq % PER_STEP),
            }
            for seq in range(first, min(first + BATCH, total + 1))
        ]


def measure(num_samples: int, repeats: int) -> dict[str, Any]:
    from django.db import connection
    from django.test import Client
    from django.urls import reverse

    from training_core.spec.experiment import ExperimentSpec
    from webapp.accounts.models import User
    from webapp.experiments.models import Run
    from webapp.experiments.services import create_experiment
    from webapp.telemetry.sample_index import group_key
    from webapp.telemetry.services import store_events
    from webapp.workspaces.services import create_workspace

    ada = User.objects.create_user("ada@example.org")
    spec = ExperimentSpec(name="Samples", method={"name": "mae"})
    run = create_experiment(actor=ada, workspace=create_workspace(name="Bench", owner=ada), spec=spec).runs.get()
    Run.objects.filter(pk=run.pk).update(status="running", lease_token=1, attempt=1)
    writer = Writer()
    questions, words = writer.questions, writer.words
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        server = psutil.Process(cursor.fetchone()[0])

    def cpu() -> float:
        theirs = server.cpu_times()
        return time.process_time() + theirs.user + theirs.system

    stored_s = stored_cpu_s = 0.0
    for some in batches(num_samples, writer):
        begin, begin_cpu = time.perf_counter(), cpu()
        store_events(run_id=run.pk, token=1, attempt=1, events=some)
        stored_s, stored_cpu_s = stored_s + time.perf_counter() - begin, stored_cpu_s + cpu() - begin_cpu
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
        cursor.execute("SELECT pg_total_relation_size('telemetry_sample'), pg_total_relation_size('telemetry_event')")
        index_bytes, event_bytes = cursor.fetchone()

    client, rng = Client(), random.Random(2)
    client.force_login(ada)
    last_step = 1 + num_samples // PER_STEP
    pages: dict[str, Callable[[], tuple[str, dict[str, Any]]]] = {
        "list": lambda: ("run_find", {"page": rng.randint(1, 20)}),
        "step": lambda: ("run_find", {"step": rng.randint(1, last_step)}),
        "disagreements": lambda: ("run_find", {"show": "disagreement", "page": rng.randint(1, 5)}),
        "rare word": lambda: ("run_find", {"text": f'"{rng.choice(words[-5000:])}"'}),
        "common word": lambda: ("run_find", {"text": rng.choice(words[:10])}),
        "two words": lambda: ("run_find", {"text": f"{rng.choice(words[:200])} {rng.choice(words[500:3000])}"}),
        "number": lambda: ("run_find", {"text": str(rng.randint(10, 99_999))}),
        "all runs, common word": lambda: ("search", {"text": rng.choice(words[:10])}),
        "questions": lambda: ("run_groups", {}),
    }
    found = {
        name: _timed(
            repeats,
            cpu,
            lambda ask=ask: client.get(_address(reverse, run, ask()[0]), ask()[1]),  # type: ignore[misc]
        )
        for name, ask in pages.items()
    }
    found["group"] = _timed(
        repeats, cpu, lambda: client.get(reverse("run_group", args=[run.pk, group_key(rng.choice(questions))]))
    )
    found["sample"] = _timed(
        repeats, cpu, lambda: client.get(reverse("run_sample", args=[run.pk, rng.randint(1, num_samples)]))
    )
    return {
        "samples": num_samples,
        "questions": len(questions),
        "stored_per_s": round(num_samples / stored_s),
        "stored_per_cpu_s": round(num_samples / stored_cpu_s),
        "index_bytes_per_sample": round(index_bytes / num_samples),
        "event_bytes_per_sample": round(event_bytes / num_samples),
        "pages": found,
        "targets_p95_s": TARGETS_S,
        "met": all(found[name]["p95_s"] <= limit for name, limit in TARGETS_S.items()),
    }


def _address(reverse: Any, run: Any, name: str) -> str:
    return str(reverse(name) if name == "search" else reverse(name, args=[run.pk]))


def _timed(repeats: int, cpu: Callable[[], float], ask: Callable[[], Any]) -> dict[str, float]:
    """p50 and p95 of wall and CPU time; the first answer is not counted."""
    assert ask().status_code == 200
    walls, cpus = [], []
    for _ in range(repeats):
        begin, begin_cpu = time.perf_counter(), cpu()
        response = ask()
        walls.append(time.perf_counter() - begin)
        cpus.append(cpu() - begin_cpu)
        assert response.status_code == 200
    return {
        "p50_s": round(_share(walls, 50), 4),
        "p95_s": round(_share(walls, 95), 4),
        "cpu_p50_s": round(_share(cpus, 50), 4),
        "cpu_p95_s": round(_share(cpus, 95), 4),
    }


def _share(values: list[float], percent: int) -> float:
    return quantiles(values, n=100, method="inclusive")[percent - 1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=200_000)
    parser.add_argument("--repeats", type=int, default=40)
    parser.add_argument("--out", type=Path, default=RESULTS)
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="kumite-samples-") as folder:
        var = Path(folder)
        var.chmod(0o711)
        os.environ["KUMITE_VAR"] = str(var)
        from webapp.embedded import EmbeddedPostgres, EmbeddedRedis

        postgres, redis = EmbeddedPostgres(var), EmbeddedRedis(var)
        os.environ |= {
            "DATABASE_URL": postgres.url,
            "REDIS_URL": redis.url,
            "DJANGO_SETTINGS_MODULE": "webapp.settings",
        }
        os.environ["KUMITE_ALLOWED_HOSTS"] = "testserver,localhost"
        postgres.start()
        redis.start()
        try:
            import django
            from django.core.management import call_command

            django.setup()
            call_command("migrate", verbosity=0)
            found = measure(wanted.samples, wanted.repeats)
        finally:
            redis.stop()
            postgres.stop()
    report = {"measured_at": datetime.now(UTC).isoformat(timespec="seconds"), "machine": describe(), **found}
    wanted.out.parent.mkdir(parents=True, exist_ok=True)
    wanted.out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
