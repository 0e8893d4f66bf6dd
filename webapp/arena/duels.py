"""A match or an episode step by step: who said what, what it led to, what it paid, and another line from any step on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from training_core.games.replay import replay
from training_core.spec.io import SpecError, parse_spec
from training_core.spec.jobs import AnyJob
from training_core.spec.learning import SamplingSpec
from webapp.arena.models import Entrant, Meeting
from webapp.arena.prompts import asked_in, game_of, moves_before
from webapp.arena.services import player_of
from webapp.experiments.models import Run
from webapp.jobs.asking import parse_job
from webapp.jobs.models import Job
from webapp.jobs.weights import START, Moment, saved_steps
from webapp.telemetry.differences import Piece, difference
from webapp.telemetry.lens import Lens, lens_of
from webapp.telemetry.moves import Move, read_moves
from webapp.telemetry.rows import is_judge
from webapp.telemetry.turns import ReadTurn, read_turns

CONTINUATIONS = 8
"""Games that are played on from a position when somebody is swapped in."""


@dataclass(frozen=True, kw_only=True)
class Gain:
    """What a role has earned up to a step: ``Gain(name="Solver", hue=1, now=0.5, total=1.25)``."""

    name: str
    hue: int
    now: float | None
    total: float


@dataclass(frozen=True, kw_only=True)
class Step:
    """One turn of the duel."""

    number: int
    turn: ReadTurn
    made: str
    """The turn in a few words."""
    move: Move | None
    """The position it led to, in a game."""
    gains: list[Gain]
    pays: ReadTurn | None
    """The turn it answers, where that one's reward came out of it."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """What a duel shows, whether it is a sample of a run or a game of a meeting."""

    data: Mapping[str, Any]
    spec_of: Run | None
    """The run by whose method it was played."""
    lens: Lens
    step: int = 0
    """When it was sampled."""
    titles: Mapping[str, str] = field(default_factory=dict)
    """Who sat in the seats of a game, by role."""

    @property
    def is_game(self) -> bool:
        return self.data.get("layout") == "game"


def of_sample(run: Run, step: int, data: Mapping[str, Any]) -> Source:
    return Source(data=data, spec_of=run, lens=lens_of(run), step=step)


def outcome_words(meeting: Meeting, game: Mapping[str, Any]) -> str:
    """How a game of a meeting ended, with names instead of seats."""
    names = (meeting.first.name, meeting.second.name)
    seats = names if game["first_seat"] == 0 else names[::-1]
    words = str(game["result"])
    return words.replace("player 0", seats[0]).replace("player 1", seats[1]) if "player" in words else words


def of_meeting(meeting: Meeting, game: Mapping[str, Any]) -> Source:
    """A game of a meeting, with the players' names at their moves."""
    run = meeting.first.run or meeting.second.run
    seats = (meeting.first, meeting.second) if game["first_seat"] == 0 else (meeting.second, meeting.first)
    titles = {f"player_{seat}": entrant.name for seat, entrant in enumerate(seats)}
    data = {"layout": "game", "turns": game["turns"], "title": game["result"], "facts": {}}
    lens = lens_of(run) if run is not None else Lens(slug="", title="")
    return Source(data=data, spec_of=run, lens=lens, titles=titles)


def steps_of(source: Source) -> list[Step]:
    """The turns in order, each with its position and with what everybody has earned so far."""
    data = dict(source.data)
    turns = read_turns(data, source.lens)
    moves: list[Move | None] = [None] * len(turns)
    if source.is_game:
        titles = {turn.role: source.titles.get(turn.role, source.lens.role_title(turn.role)) for turn in turns}
        moves = list(read_moves(data, turns, titles))
        turns = [replace(turn, name=titles[turn.role]) for turn in turns]
    totals: dict[str, float] = {}
    found = []
    for turn, move in zip(turns, moves, strict=True):
        totals.setdefault(turn.role, 0.0)
        totals[turn.role] += turn.reward or 0.0
        parent = turns[turn.parent] if turn.parent is not None else None
        found.append(
            Step(
                number=turn.index + 1,
                turn=turn,
                made=(move.made if move else turn.parsed or turn.text)[:60],
                move=move,
                gains=_gains(source, turns, totals, turn),
                pays=parent if parent is not None and parent.rewards else None,
            )
        )
    return found


def _gains(source: Source, turns: Sequence[ReadTurn], totals: Mapping[str, float], now: ReadTurn) -> list[Gain]:
    if all(turn.reward is None for turn in turns):
        return []
    hue = {turn.role: turn.hue for turn in turns}
    return [
        Gain(
            name=source.titles.get(role, source.lens.role_title(role)),
            hue=hue[role],
            now=now.reward if role == now.role else None,
            total=total,
        )
        for role, total in totals.items()
    ]


# Another line


@dataclass(frozen=True, kw_only=True)
class OtherLine:
    """What came of swapping somebody in: ``at`` is the step from which on it differs."""

    job: Job
    at: int
    who: str
    words: str = ""
    steps: list[Step] = field(default_factory=list)
    """The first of the games that were played on."""
    original: list[Piece] = field(default_factory=list)
    answer: list[Piece] = field(default_factory=list)
    """Both answers of a turn that is not of a game, with what differs."""


def swap_job(source: Source, index: int, moment: Moment, *, others: Mapping[str, Entrant] | None = None) -> AnyJob:
    """The job that lets ``moment`` take the turn ``index`` and, in a game, play on in that seat; raises ``ValueError``.

    ``others`` are the players of a meeting by role; in a sample the other seat keeps its run's weights, from the checkpoint
    nearest to the sample.
    """
    turns = source.data["turns"]
    if source.spec_of is None or not 0 <= index < len(turns):
        raise ValueError("There is no such turn to take over.")
    try:
        spec = parse_spec(source.spec_of.spec)
    except SpecError as error:
        raise ValueError("The spec of this run is of an older version and cannot be read.") from error
    weights = moment.weights().model_dump(mode="json")
    if not source.is_game:
        asked = asked_in(spec, source.data, index)
        prompt = {"name": asked.name, "values": dict(asked.values)} if asked.name else {"text": asked.text}
        sampling: dict[str, float] = {"max_tokens": _max_tokens(source.spec_of)}
        judged_at = source.spec_of.spec["method"].get("judge_temperature")
        if is_judge(str(turns[index]["role"])) and judged_at is not None:
            sampling["temperature"] = judged_at
        return parse_job("say", {"speakers": [weights], "prompt": prompt, "sampling": sampling})
    game = game_of(spec, source.data)
    if game is None:
        raise ValueError("The game of this sample is not known here, so it cannot be played on.")
    made = moves_before(turns, index)
    replay(game, made)  # says in a sentence what cannot be repeated, before a worker is asked
    role = str(turns[index]["role"])
    players = [
        {"kind": "weights", "weights": weights} if seat == role else _other(source.spec_of, seat, source.step, others)
        for seat in ("player_0", "player_1")
    ]
    contest = {
        "kind": "game",
        "game": game.name,
        "max_turns": max(len(made) + 1, int(source.spec_of.spec["method"].get("max_turns", 50))),
        "opening": [{"action": action, "scene": scene.model_dump(mode="json")} for action, scene in made],
    }
    return parse_job(
        "match",
        {
            "first": players[0],
            "second": players[1],
            "contest": contest,
            "num_games": CONTINUATIONS,
            "sampling": SamplingSpec(max_tokens=_max_tokens(source.spec_of)).model_dump(mode="json"),
        },
    )


def _other(run: Run, role: str, step: int, others: Mapping[str, Entrant] | None) -> dict[str, Any]:
    if others is not None:
        return player_of(others[role])
    nearest = min([START, *saved_steps(run)], key=lambda saved: abs(saved - step))
    kept = Moment(run=run, step=nearest)
    return {"kind": "weights", "weights": kept.weights().model_dump(mode="json")}


def _max_tokens(run: Run) -> int:
    return min(int(run.spec.get("method", {}).get("sampling", {}).get("max_tokens", 256)), 1024)


def other_line(source: Source, job: Job) -> OtherLine | None:
    """The line of a job that ``swap_job`` made, as far as it is; None for any other job."""
    at, who = job.note.get("at"), str(job.note.get("who", ""))
    if not isinstance(at, int) or not 0 <= at < len(source.data["turns"]):
        return None
    line = OtherLine(job=job, at=at, who=who)
    if job.result is None:
        return line
    if not source.is_game:
        original = str(source.data["turns"][at]["text"])
        pieces = difference(original, job.result["answers"][0]["completions"][0]["text"])
        return replace(line, original=pieces[0], answer=pieces[1])
    role = str(source.data["turns"][at]["role"])
    seat = int(role.rpartition("_")[2])
    first = job.result["games"][0]
    told = {**source.data, "turns": first["turns"]}
    titles = {**source.titles, role: who}
    return replace(
        line,
        steps=steps_of(replace(source, data=told, titles=titles)),
        words=_tally_words(job.result["tally"], seat=seat, who=who, result=str(first["result"])),
    )


def _tally_words(tally: Mapping[str, int], *, seat: int, who: str, result: str) -> str:
    won, lost = (tally["won"], tally["lost"]) if seat == 0 else (tally["lost"], tally["won"])
    games = sum(tally.values())
    return f"Of {games} games played on from here, {who} won {won}, drew {tally['drawn']} and lost {lost}. The first: {result}."
