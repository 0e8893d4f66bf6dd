"""What a method's roles are asked, as a person fills it in; from the method's card, the starter's language, or a sample."""

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from training_core.curricula.registry import find_curriculum
from training_core.games.base import Game, Position
from training_core.games.registry import make_game
from training_core.games.replay import Unrepeatable, replay
from training_core.methods.card import read_card
from training_core.methods.registry import find_method
from training_core.play.match import move_prompt
from training_core.spec.casting import roles_of
from training_core.spec.events import Scene
from training_core.spec.experiment import ExperimentSpec
from training_core.spec.tasks import GamesTask
from training_core.tasks.base import DataError
from webapp.telemetry.rows import is_judge, is_proposer

_PLACE = re.compile(r"\{(\w+)\}")
_NOT_ASKED = frozenset({"demonstration", "reply"})
"""Wordings of answers, not of questions."""
_SPEAKERS: Mapping[str, tuple[str, ...]] = {
    "propose": ("proposer",),
    "propose_from": ("proposer",),
    "propose_from_answered": ("proposer",),
    "propose_free": ("proposer",),
    "judge": ("judge", "refiner"),
    "review": ("judge",),
    "compare": ("judge",),
    "revise": ("second",),
    "refine": ("refiner",),
    "solve": ("solver", "actor", "first", "player"),
    "move": ("player_0", "player"),
}
"""Roles that are asked a prompt, likeliest first."""


@dataclass(frozen=True, kw_only=True)
class PromptCard:
    """``PromptCard(name="judge", title="Judge: judge", role="judge", fields=("question", "answer"))``."""

    name: str
    title: str
    role: str
    """Empty where no role of the run is asked it."""
    fields: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Filled:
    """A prompt with what goes into it: ``Filled(name="solve", values={"question": "3+4"})``; a free text has no name."""

    name: str = ""
    values: Mapping[str, str] = field(default_factory=dict)
    text: str = ""


def prompts_of(spec: ExperimentSpec) -> list[PromptCard]:
    """The prompts of the run's method, in the card's order."""
    titles = {role.name: role.title for role in roles_of(spec)}
    chat = read_card(spec.method.name).prompts
    found = []
    for name in chat:
        if name in _NOT_ASKED:
            continue
        role = next((each for each in _SPEAKERS.get(name, ()) if each in titles), "")
        title = f"{titles[role]}: {name.replace('_', ' ')}" if role else name.replace("_", " ").capitalize()
        found.append(PromptCard(name=name, title=title, role=role, fields=_fields(spec, name, chat[name])))
    return found


def _fields(spec: ExperimentSpec, name: str, template: str) -> tuple[str, ...]:
    """What the prompt speaks about: by the starter's wording, by the sentences', or by both where the model may be either."""
    chat = list(dict.fromkeys(_PLACE.findall(template)))
    if spec.model.is_hub_id:
        return tuple(chat)
    method = find_method(spec.method.name)
    wording = find_curriculum(method.curriculum_on(spec.task.kind)).prompts.get(name)
    starter = [] if wording is None else _parameters(wording)
    if spec.model.is_starter and wording is not None:
        return tuple(each for each in starter if each in chat or name == "move") or tuple(chat)
    return tuple(dict.fromkeys([*chat, *(starter if name == "move" else [])]))


def _parameters(wording: Callable[..., str]) -> list[str]:
    kinds = {inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY}
    return [name for name, each in inspect.signature(wording).parameters.items() if each.kind in kinds]


def asked_in(spec: ExperimentSpec, data: Mapping[str, Any], index: int) -> Filled:
    """What the speaker of a turn of a sample was asked, as far as the sample tells; a free text where it does not."""
    turns: Sequence[Mapping[str, Any]] = data["turns"]
    if data.get("layout") == "game":
        return _asked_to_move(spec, data, index)
    cards = {card.name: card for card in prompts_of(spec)}
    role, parent = str(turns[index]["role"]), turns[index].get("parent")
    question = _question(data, index)
    above = _said(turns[parent]) if isinstance(parent, int) and 0 <= parent < index else ""
    facts = data.get("facts") or {}
    reference = str(facts.get("reference") or "")
    values = {"question": question, "answer": above, "reference": reference, "attempt": above}
    values |= {"knowledge": str(facts.get("knowledge") or ""), "critique": "", "instruction": ""}
    for name in _candidates(role, on_question=parent is None or _is_proposer_turn(turns, parent), reference=reference):
        if name in cards:
            return Filled(name=name, values={each: values.get(each, "") for each in cards[name].fields})
    return Filled(text=question)


def _candidates(role: str, *, on_question: bool, reference: str) -> list[str]:
    """Prompts that a role may have been asked, likeliest first."""
    if is_proposer(role):
        return ["propose_from", "propose"] if reference else ["propose", "propose_free", "propose_from"]
    if is_judge(role) or role == "refiner":
        return ["review", "judge"] if on_question and role != "refiner" else ["judge", "review"]
    return ["revise", "solve"] if role == "second" else ["solve"]


def _is_proposer_turn(turns: Sequence[Mapping[str, Any]], index: Any) -> bool:
    return isinstance(index, int) and 0 <= index < len(turns) and is_proposer(str(turns[index]["role"]))


def _question(data: Mapping[str, Any], index: int) -> str:
    """What the nearest proposer above the turn asked, or the sample's title."""
    turns, at = data["turns"], data["turns"][index].get("parent")
    while isinstance(at, int) and 0 <= at < len(turns):
        if is_proposer(str(turns[at]["role"])):
            return _said(turns[at])
        above = turns[at].get("parent")
        at = above if isinstance(above, int) and above < at else None
    return str(data.get("title") or "")


def _said(turn: Mapping[str, Any]) -> str:
    return str(turn.get("parsed") or turn.get("text") or "")


# Games


def game_of(spec: ExperimentSpec, data: Mapping[str, Any]) -> Game | None:
    """The game a sample is of; None where it cannot be told or its package is not installed here."""
    if not isinstance(spec.task, GamesTask):
        return None
    title = str((data.get("facts") or {}).get("game") or "")
    for name in spec.task.games:
        try:
            game = make_game(name)
        except (DataError, ValueError, ImportError):
            continue
        if len(spec.task.games) == 1 or game.title == title:
            return game
    return None


def moves_before(turns: Sequence[Mapping[str, Any]], index: int) -> list[tuple[str, Scene]]:
    """The moves made before a turn, as ``replay`` takes them; raises ``Unrepeatable`` where one left no position."""
    moves = []
    for turn in turns[:index]:
        if not turn.get("parsed") or not turn.get("scene"):
            raise Unrepeatable("A move before this one left no position to go on from.")
        moves.append((str(turn["parsed"]), Scene.model_validate(turn["scene"])))
    return moves


class _Values:
    """Stands where prompts do, and remembers what they would be given."""

    def __init__(self) -> None:
        self.given: dict[str, str] = {}

    def render(self, name: str, **values: str | None) -> str:
        self.given = {key: value for key, value in values.items() if value is not None}
        return ""


def position_before(game: Game, turns: Sequence[Mapping[str, Any]], index: int) -> Position:
    """The position in which a turn was taken; raises ``Unrepeatable``.

    Before the first move nothing was seen of what chance had dealt, so the move itself has to tell.
    """
    if index == 0:
        return replay(game, moves_before(turns, 1))[0]
    return replay(game, moves_before(turns, index))[-1]


def _asked_to_move(spec: ExperimentSpec, data: Mapping[str, Any], index: int) -> Filled:
    fields = {card.name: card.fields for card in prompts_of(spec)}.get("move", ())
    game, values = game_of(spec, data), _Values()
    if game is not None:
        try:
            here = position_before(game, data["turns"], index)
            move_prompt(values, game, here, max(here.to_move, 0))
        except Unrepeatable:
            pass
    return Filled(name="move", values={each: values.given.get(each, "") for each in fields})
