"""What a task gives to play on, before anything is launched: ten items of it, the opening of its games, the lines of a file."""

import json
import random
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from django.conf import settings

from training_core.games.base import Games, settle
from training_core.spec.tasks import JsonlTask, TaskSpec
from training_core.tasks.base import DataError, Domain
from training_core.tasks.jsonl import Glance, glance
from training_core.tasks.registry import make_domain

NUM_ITEMS = 10
MAX_FILES = 200
MAX_CELL = 300


@dataclass(frozen=True, kw_only=True)
class ShownItem:
    """``ShownItem(question="345-12", answer="333", difficulty=0.67)``"""

    question: str
    answer: str
    difficulty: float


@dataclass(frozen=True, kw_only=True)
class ShownGame:
    title: str
    rules: str
    opening: str
    """What the first player sees."""


@dataclass(frozen=True, kw_only=True)
class Column:
    """A key of a file's objects and what it is used as: ``Column(name="q", use="question")``."""

    name: str
    use: str


@dataclass(frozen=True, kw_only=True)
class Preview:
    """One of the three kinds is filled, or ``problem`` says why none is."""

    items: tuple[ShownItem, ...] = ()
    games: tuple[ShownGame, ...] = ()
    columns: tuple[Column, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    note: str = ""
    problem: str = ""


def preview(task: TaskSpec, *, team: str = "") -> Preview:
    """What the task gives to members of a workspace (``team``, its id); asking twice costs nothing the second time."""
    return _preview(task.model_dump_json(), _version_of(task), team)


@lru_cache(maxsize=128)
def _preview(text: str, _version: float, team: str) -> Preview:
    values = json.loads(text)
    if values["kind"] == "jsonl":
        return _of_file(JsonlTask(**values), team)
    try:
        return _of_domain(make_domain(_task(values)))
    except DataError as error:
        return Preview(problem=f"{str(error)[:1].upper()}{str(error)[1:]}.")


def _task(values: dict[str, Any]) -> TaskSpec:
    from training_core.spec.tasks import TASKS

    task: TaskSpec = TASKS[values["kind"]](**values)
    return task


def _version_of(task: TaskSpec) -> float:
    """Changes when a file does."""
    try:
        return Path(task.path).stat().st_mtime if isinstance(task, JsonlTask) else 0.0
    except OSError:
        return 0.0


def _of_domain(domain: Domain | Games) -> Preview:
    rng = random.Random(0)
    if isinstance(domain, Games):
        games = []
        for game in domain.games:
            position = settle(game.start(), rng)
            games.append(ShownGame(title=game.title, rules=game.rules, opening=position.observation(position.to_move)))
        return Preview(games=tuple(games))
    items = [domain.sample(rng) for _ in range(NUM_ITEMS)]
    shown = [ShownItem(question=item.question, answer=item.answer, difficulty=item.difficulty) for item in items]
    return Preview(items=tuple(shown), note="Drawn from the training side; held-out items are never shown to a method.")


def _of_file(task: JsonlTask, team: str) -> Preview:
    if not is_offered(task.path, team=team):
        return Preview(
            note=(
                f"Only files below {settings.DATA_DIR} can be shown here. A worker reads any path of its own machine; "
                "whether this one can be used is told when the run starts."
            )
        )
    try:
        found = glance(task, num_rows=NUM_ITEMS)
    except DataError as error:
        return Preview(problem=_capital(str(error)))
    looked_at = "" if found.is_whole else "the first "
    lines = f"{found.num_lines:,} line{'s' * (found.num_lines != 1)}"
    return Preview(
        columns=tuple(Column(name=name, use=_use(task, name)) for name in found.columns),
        rows=_rows(found),
        note=f"Looked at {looked_at}{lines}.",
        problem=_capital(found.problem),
    )


def _rows(found: Glance) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(_cell(row.get(name)) for name in found.columns) for row in found.rows)


def _cell(value: Any) -> str:
    text = "" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= MAX_CELL else f"{text[:MAX_CELL]}…"


def _use(task: JsonlTask, column: str) -> str:
    return "question" if column == task.question_field else "answer" if column == task.answer_field else ""


def _capital(sentence: str) -> str:
    return f"{sentence[:1].upper()}{sentence[1:]}." if sentence else ""


TEAMS = "teams"
"""Below this folder of ``DATA_DIR`` every workspace has one of its own, named by its id."""


def is_offered(path: str, *, team: str = "") -> bool:
    """Whether a file lies below the installation's folder of data sets, wherever its links lead, and is no other workspace's."""
    folder = Path(settings.DATA_DIR).resolve()
    try:
        inside = Path(path).resolve().relative_to(folder)
    except (OSError, ValueError):
        return False
    return inside.parts[:1] != (TEAMS,) or inside.parts[1:2] == (team,)


def data_files(*, team: str = "") -> list[str]:
    """Paths of the workspace's own data sets and of the installation's, in the order of the alphabet."""
    folder = Path(settings.DATA_DIR)
    own = sorted((folder / TEAMS / team).rglob("*.jsonl")) if team else []
    common = sorted(path for path in folder.rglob("*.jsonl") if path.relative_to(folder).parts[0] != TEAMS)
    return [str(path) for path in [*own, *common][:MAX_FILES] if is_offered(str(path), team=team)]
