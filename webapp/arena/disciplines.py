"""What the checkpoints of runs can meet at, and who takes part."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from training_core.games.registry import make_game
from training_core.methods.registry import find_method
from training_core.spec.casting import cast
from training_core.spec.io import SpecError, parse_spec
from training_core.spec.tasks import GamesTask
from training_core.tasks.base import DataError
from webapp.arena.choices import EntrantKind
from webapp.experiments.models import Run
from webapp.jobs.weights import START, Moment, saved_steps
from webapp.telemetry.lens import lens_of

_PERFECT = frozenset({"tic_tac_toe"})
"""Games whose perfect play is worked out while it is played."""
_WITHOUT_TRUTH = frozenset({"choices"})
"""Tasks whose answers nobody can check, so that a judge would have to decide."""
_SOLVERS = frozenset({"solver", "actor", "first", "player"})
"""Roles that answer questions."""
MAX_TOKENS = 512


@dataclass(frozen=True, kw_only=True)
class Discipline:
    """``Discipline(key="game:kuhn_poker", title="Kuhn poker", contest={...}, max_tokens=16)``."""

    key: str
    title: str
    contest: dict[str, Any]
    max_tokens: int
    temperature: float = 1.0


def disciplines_of(run: Run) -> list[Discipline]:
    """The games of the run's task, or its held-out questions, graded by the verifier or by the start as a judge."""
    try:
        spec = parse_spec(run.spec)
    except SpecError:
        return []
    asked = run.spec.get("method", {}).get("sampling", {}).get("max_tokens", MAX_TOKENS)
    tokens = min(int(asked), MAX_TOKENS)
    if isinstance(spec.task, GamesTask):
        turns = int(run.spec["method"].get("max_turns", 50))
        return [
            Discipline(
                key=f"game:{name}",
                title=_title(name),
                contest={"kind": "game", "game": name, "max_turns": turns, "opening": []},
                max_tokens=tokens,
            )
            for name in spec.task.games
        ]
    task = spec.task.model_dump(mode="json")
    found = []
    if spec.task.kind not in _WITHOUT_TRUTH:
        contest = {"kind": "questions", "task": task, "judge": None}
        found.append(
            Discipline(
                key="verifier", title="held-out questions, the verifier decides", contest=contest, max_tokens=tokens
            )
        )
    if any("judge" in role.name for role in lens_of(run).roles):
        judge = Moment(run=run, step=START).weights().model_dump(mode="json")
        contest = {"kind": "questions", "task": task, "judge": judge}
        found.append(
            Discipline(
                key="judge", title="held-out questions, the frozen start judges", contest=contest, max_tokens=tokens
            )
        )
    return found


def _title(name: str) -> str:
    try:
        return make_game(name).title
    except (DataError, ValueError, ImportError):
        return name


def field_of(contest: dict[str, Any], runs: Sequence[Run], *, most: int) -> list[tuple[EntrantKind, Moment | None]]:
    """Rules first, then starts, then the newest checkpoint with its frozen weights, then older ones, spread evenly."""
    rules: list[tuple[EntrantKind, Moment | None]] = []
    if contest["kind"] == "game":
        rules.append((EntrantKind.RANDOM, None))
        if contest["game"] in _PERFECT:
            rules.append((EntrantKind.PERFECT, None))
    found = rules + [(EntrantKind.START, Moment(run=run, step=START)) for run in _different_starts(runs)]
    share = max(2, (most - len(found)) // max(1, len(runs)))
    for run in runs:
        found += _of_run(run, contest, share)
    return found[: max(0, most)]


def _different_starts(runs: Sequence[Run]) -> Iterator[Run]:
    """One run of each model that runs began with."""
    seen: set[str] = set()
    for run in runs:
        model = str(run.spec.get("model")) + str(run.spec.get("task"))
        if model not in seen:
            seen.add(model)
            yield run


def _of_run(run: Run, contest: dict[str, Any], most: int) -> Iterator[tuple[EntrantKind, Moment | None]]:
    spec = parse_spec(run.spec)
    parts = cast(spec)
    role = "player_0" if contest["kind"] == "game" else next((r for r in parts.policy_of if r in _SOLVERS), "")
    own = parts.policy_of.get(role, "")
    policy = own if own in parts.trained else next(iter(parts.trained), "main")
    steps = _spread(saved_steps(run), most)
    for place, step in enumerate(steps):
        yield EntrantKind.CHECKPOINT, Moment(run=run, step=step, policy=policy)
        if place == 0:
            for snapshot in find_method(spec.method.name).snapshots(spec.method):
                if snapshot.speaks:
                    yield EntrantKind.SNAPSHOT, Moment(run=run, step=step, policy=snapshot.name)


def _spread(steps: Sequence[int], most: int) -> list[int]:
    """So many of the steps, newest and oldest among them."""
    if len(steps) <= most:
        return list(steps)
    return [steps[round(place * (len(steps) - 1) / (most - 1))] for place in range(most)]
