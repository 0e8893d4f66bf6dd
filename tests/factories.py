"""Rows and events for tests: runs in any state, and events that read like those of a real Multi-Agent Evolve run."""

import math
import random
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Any

from django.utils import timezone

from training_core.spec.io import dump_dict, parse_spec
from webapp.accounts.models import User
from webapp.experiments.choices import HELD, TERMINAL, RunStatus
from webapp.experiments.models import Experiment, Run
from webapp.telemetry.series import metric_series
from webapp.telemetry.services import store_events
from webapp.workspaces.models import Workspace

START_T = 1_790_000_000.0


def make_experiment(workspace: Workspace, user: User, **spec: Any) -> Experiment:
    resolved = dump_dict(parse_spec({"name": "First light", "method": {"name": "mae"}, "steps": 60, **spec}))
    return Experiment.objects.create(
        workspace=workspace, name=resolved["name"], method="mae", spec=resolved, created_by=user
    )


def make_run(experiment: Experiment, status: str = "running", **fields: Any) -> Run:
    """A run in any state; a held one has a lease, a finished one an end."""
    now = timezone.now()
    if status in HELD:
        fields = {"lease_token": 1, "attempt": 1, "lease_expires_at": now + timedelta(hours=1), **fields}
    if status in TERMINAL:
        fields = {"attempt": 1, "finished_at": now, **fields}
    if status != RunStatus.QUEUED:
        fields.setdefault("started_at", now - timedelta(minutes=3))
    return Run.objects.create(
        experiment=experiment,
        number=experiment.runs.count() + 1,
        spec=experiment.spec,
        total_steps=experiment.spec["steps"],
        created_by=experiment.created_by,
        status=status,
        **fields,
    )


def tell(run: Run, events: Sequence[dict[str, Any]]) -> None:
    """Store events the way a worker does, with the run's lease; the run may be in any state."""
    run.refresh_from_db()
    before = {"status": run.status, "lease_token": run.lease_token, "lease_expires_at": run.lease_expires_at}
    if run.status not in HELD:
        held = {"status": "running", "lease_token": 1, "lease_expires_at": timezone.now() + timedelta(hours=1)}
        Run.objects.filter(pk=run.pk).update(**held)
        run.refresh_from_db()
    store_events(run_id=run.pk, token=run.lease_token, attempt=run.attempt, events=events)
    if before["status"] not in HELD:
        Run.objects.filter(pk=run.pk).update(**before)
    run.refresh_from_db()


def points_of(run: Run, name: str) -> list[tuple[int, float | None]]:
    """Every stored (step, value) of a metric."""
    line = metric_series(run, [name], 100_000)[name]
    return list(zip(line.steps, line.values, strict=True))


def next_attempt(run: Run) -> Run:
    """The run as another worker has claimed it."""
    run.refresh_from_db()
    run.attempt += 1
    run.lease_token += 1
    run.save(update_fields=["attempt", "lease_token"])
    return run


def metric_events(count: int, *, first: int = 1, name: str = "reward/solver") -> list[dict[str, Any]]:
    """``count`` metric events, one a step."""
    return [
        {"seq": seq, "kind": "metric", "step": seq, "t": START_T + seq, "data": {"values": {name: seq / 10}}}
        for seq in range(first, first + count)
    ]


def mae_events(steps: int, *, seed: int = 0, per_step: int = 2, evaluate_every: int = 10) -> list[dict[str, Any]]:
    """A run of ``steps`` steps: phases, metrics, samples with answers and verdicts, evaluations, checkpoints, logs."""
    return [{"seq": seq, **event} for seq, event in enumerate(_mae(steps, seed, per_step, evaluate_every), start=1)]


def with_a_lenient_judge(events: list[dict[str, Any]], *, after: int) -> list[dict[str, Any]]:
    """The same run, with a judge that gives more and more than is right after a step."""
    for event in events:
        values = event["data"].get("values", {})
        if "judge/live_score" in values and event["step"] > after:
            values["judge/live_score"] = values["judge/live_truth"] + 0.3
            values["judge/live_false_accept"] = 0.5
    return events


def _mae(steps: int, seed: int, per_step: int, evaluate_every: int) -> Iterator[dict[str, Any]]:
    rng = random.Random(seed)
    clock = START_T

    def event(kind: str, step: int, data: dict[str, Any]) -> dict[str, Any]:
        nonlocal clock
        clock += 0.8
        return {"kind": kind, "step": step, "t": clock, "data": data}

    yield event("state", 0, {"phase": "preparing", "text": "Loading the starter model", "fraction": 0.4})
    yield event("log", 0, {"level": "info", "text": "model ready: 0.3 million parameters"})
    yield event("state", 0, {"phase": "running", "text": "Learning", "fraction": None})
    yield from _evaluation(event, rng, 0, steps)
    for step in range(1, steps + 1):
        yield event("metric", step, {"values": _metrics(rng, step, steps)})
        for index in range(per_step):
            yield event("sample", step, _sample(rng, step, index, steps))
        if step % evaluate_every == 0:
            yield from _evaluation(event, rng, step, steps)
            path = f"checkpoints/step-{step:06d}"
            yield event("checkpoint", step, {"path": path, "num_bytes": 1_843_200, "digest": f"{step:064x}"})
        if step % 17 == 0:
            yield event("log", step, {"level": "warning", "text": f"3 of 128 verdicts at step {step} had no score"})


def _skill(step: int, steps: int) -> float:
    return 0.41 + 0.38 * (1 - math.exp(-3 * step / steps))


def _metrics(rng: random.Random, step: int, steps: int) -> dict[str, float]:
    skill, noise = _skill(step, steps), lambda scale: rng.gauss(0, scale)
    return {
        "reward/proposer": 0.55 + noise(0.04),
        "reward/solver": skill + noise(0.03),
        "reward/judge": 0.97 + noise(0.01),
        "judge/live_score": skill + 0.04 + noise(0.03),
        "judge/live_truth": skill + noise(0.03),
        "judge/live_false_accept": 0.11 + noise(0.02),
        "reward_term/proposer_quality": 0.8 + noise(0.03),
        "reward_term/proposer_difficulty": 1 - skill + noise(0.04),
        "reward_term/proposer_format": 0.98 + noise(0.005),
        "questions/well_posed": 0.9 + noise(0.03),
        "questions/accepted": 0.7 + noise(0.04),
        "questions/duplicate": 0.1 + noise(0.02),
        "pool/questions": 16.0 + 21 * step,
        "pool/pairs": 128.0 * step,
        "format/proposer": 0.98 + noise(0.005),
        "format/solver": 0.99 + noise(0.004),
        "format/judge": 0.97 + noise(0.01),
        "entropy/proposer": 0.9 - 0.2 * step / steps + noise(0.02),
        "entropy/solver": 0.6 - 0.3 * step / steps + noise(0.02),
        "entropy/judge": 0.3 - 0.1 * step / steps + noise(0.01),
        "length/proposer_tokens": 14 + noise(0.5),
        "length/solver_tokens": 22 + noise(0.8),
        "length/judge_tokens": 27 + noise(0.8),
        "grad/norm": abs(0.8 + noise(0.2)),
        "loss/clip_share": abs(0.04 + noise(0.01)),
        "tokens/sampled_per_s": 5200 + noise(300),
        "tokens/trained_per_s": 2400 + noise(150),
        **_seconds(noise),
        "machine/peak_memory_mib": 900.0 + step,
    }


def _seconds(noise: Callable[[float], float]) -> dict[str, float]:
    """Where a step's time goes: play is a little more than its parts, and so is the update."""
    parts = {"prefill": 0.2, "decode": 1.1, "logprobs": 0.1, "forward": 0.3, "backward": 0.5, "optimizer": 0.1}
    seconds = {part: mean * abs(1 + noise(0.05)) for part, mean in parts.items()}
    seconds["rollout"] = seconds["prefill"] + seconds["decode"] + 0.3
    seconds["update"] = sum(seconds[part] for part in ("logprobs", "forward", "backward", "optimizer")) + 0.1
    seconds["publish"] = 0.02
    return {f"time/{part}_s": value for part, value in seconds.items()}


def _sample(rng: random.Random, step: int, index: int, steps: int) -> dict[str, Any]:
    left, right = rng.randint(10, 999), rng.randint(10, 999)
    truth, quality = left + right, round(rng.uniform(0.5, 1), 2)
    kept = quality >= 0.7
    question = f"What is {left} + {right}?"
    turns: list[dict[str, Any]] = [
        {
            "role": "proposer",
            "text": f"<question>{question}</question>",
            "parsed": question,
            "rewards": {"quality": quality, "difficulty": 0.4, "format": 1.0},
            "reward": round((quality + 1.4) / 3, 3),
            "advantage": round(rng.gauss(0, 1), 2),
            "trained": True,
            "num_tokens": 14,
            "correct": True,
        }
    ]
    for _ in range(4):
        is_right = rng.random() < _skill(step, steps)
        answer = truth if is_right else truth + rng.choice([-10, 1, 10, 100])
        fooled = rng.random() < 0.12
        says_right = is_right != fooled
        parent = len(turns)
        turns.append(
            {
                "role": "solver",
                "text": f"<think>{left} + {right}: ones first, then tens.</think><answer>{answer}</answer>",
                "parsed": str(answer),
                "parent": 0,
                "rewards": {"judge": 1.0 if says_right else 0.0, "format": 1.0},
                "reward": 1.0 if says_right else 0.5,
                "advantage": 0.8 if says_right else -1.1,
                "trained": True,
                "num_tokens": 22,
                "correct": is_right,
            }
        )
        score = 10 if says_right else 1
        turns.append(
            {
                "role": "judge",
                "text": f"<think>{left} + {right} = {truth if says_right == is_right else answer}.</think>"
                f"<score>{score}</score>",
                "parsed": str(score),
                "parent": parent,
                "rewards": {"format": 1.0},
                "reward": 1.0,
                "num_tokens": 27,
                "correct": says_right == is_right,
            }
        )
    facts: dict[str, Any] = {"truth": str(truth), "difficulty": 0.4, "quality": quality, "kept": kept}
    if not kept:
        facts["reject_reason"] = "quality below the threshold of 0.7"
    return {"episode": f"{step}-{index}", "title": question, "turns": turns, "facts": facts}


def _evaluation(event: Any, rng: random.Random, step: int, steps: int) -> Iterator[dict[str, Any]]:
    sampled = round(_skill(step, steps), 3)
    scores = {"accuracy_sampled": sampled, "accuracy_greedy": round(0.83 + 0.08 * step / steps, 3)}
    items = [
        {
            "question": f"What is {40 + n} + {7 * n}?",
            "expected": str(40 + 8 * n),
            "answer": str(40 + 8 * n) if rng.random() < sampled else str(39 + 8 * n),
            "correct": rng.random() < sampled,
        }
        for n in range(8)
    ]
    for item in items:
        item["correct"] = item["answer"] == item["expected"]
    yield event("evaluation", step, {"suite": "held_out", "num_items": 256, "scores": scores, "items": items})
    probe = {"judge/auc": 0.93 - 0.02 * step / steps, "judge/false_accept": 0.09, "judge/false_reject": 0.03}
    yield event("metric", step, {"values": {f"eval/{name}": score for name, score in scores.items()} | probe})
