"""From meetings to a league: who took how many points from whom, ratings with intervals, rings.

Ratings are Bradley-Terry by maximum likelihood on the Elo scale (``training_core.play.league``): the anchor, the random player or
else a start, has 1000 points, and intervals are those of the difference to it.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from training_core.play.league import Results
from webapp.arena.choices import EntrantKind
from webapp.arena.cycles import Cycle, cycles
from webapp.arena.drawing import Drawing, Rated, draw
from webapp.arena.models import Entrant
from webapp.telemetry.leagues import HEAT_STEPS, ReadLeague, read_league

Tallies = Mapping[tuple[int, int], tuple[float, float, float]]
"""``{(first, second): (won, drawn, lost)}`` by entrant, as the first sees it."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """Of the row's player against the column's: ``Cell(opponent=..., words="0.75", heat="3", games=16)``."""

    opponent: Entrant
    words: str
    heat: str
    games: int


@dataclass(frozen=True, kw_only=True)
class Standings:
    """A league as its page shows it."""

    table: ReadLeague | None
    rows: list[tuple[Entrant, Any, list[Cell]]] = field(default_factory=list)
    """Strongest first: the entrant, its row of ``table``, and its cells."""
    rings: list[Cycle] = field(default_factory=list)
    drawing: Drawing | None = None
    curve: list[tuple[str, Rated]] = field(default_factory=list)
    """The drawing as a table: run and rating."""
    num_games: int = 0


def standings(entrants: Sequence[Entrant], tallies: Tallies) -> Standings:
    """Everybody who has played, strongest first."""
    by_id = {entrant.pk: entrant for entrant in entrants}
    scores = _by_pair(tallies)
    playing = {pk for pair in scores for pk in pair}
    if not playing:
        return Standings(table=None)
    results = Results()
    results.load_state_dict([[by_id[a].name, by_id[b].name, *score] for (a, b), score in scores.items()])
    anchor = _anchor([entrant for entrant in entrants if entrant.pk in playing])
    league = results.league(anchor=anchor.name).model_dump(mode="json")
    table = read_league([(0, league)])
    assert table is not None
    named = {entrant.name: entrant for entrant in entrants}
    order = [named[player.name] for player in table.players]
    rows = [
        (entrant, player, [_cell(scores, entrant, other) for other in order])
        for entrant, player in zip(order, table.players, strict=True)
    ]
    pairs = {
        (by_id[a].name, by_id[b].name): (won + drawn / 2, won + drawn + lost)
        for (a, b), (won, drawn, lost) in scores.items()
    }
    curves = _curves(rows)
    return Standings(
        table=table,
        rows=rows,
        rings=cycles(pairs, [entrant.name for entrant in order]),
        drawing=draw(curves),
        curve=[(name, rated) for name, every in curves.items() for rated in every],
        num_games=round(sum(map(sum, scores.values()))),
    )


def _by_pair(tallies: Tallies) -> dict[tuple[int, int], list[float]]:
    """Meetings in both orders of a pair together, seen by the entrant that is older in the league."""
    scores: dict[tuple[int, int], list[float]] = defaultdict(lambda: [0, 0, 0])
    for (first, second), (won, drawn, lost) in tallies.items():
        turned = first > second
        pair = (second, first) if turned else (first, second)
        for place, games in enumerate((lost, drawn, won) if turned else (won, drawn, lost)):
            scores[pair][place] += games
    return {pair: score for pair, score in scores.items() if sum(score)}


def _anchor(playing: Sequence[Entrant]) -> Entrant:
    order = list(EntrantKind)
    wanted = [EntrantKind.RANDOM, EntrantKind.START]
    return min(playing, key=lambda each: (each.kind not in wanted, order.index(EntrantKind(each.kind)) * -1, each.pk))


def _cell(scores: Mapping[tuple[int, int], Sequence[float]], row: Entrant, column: Entrant) -> Cell:
    own = scores.get((row.pk, column.pk))
    if own is None and (seen := scores.get((column.pk, row.pk))) is not None:
        own = seen[::-1]
    if own is None:
        return Cell(opponent=column, words="", heat="", games=0)
    games = sum(own)
    share = (own[0] + own[1] / 2) / games
    return Cell(opponent=column, words=f"{share:.2f}", heat=str(round(HEAT_STEPS * share)), games=round(games))


def _curves(rows: Iterable[tuple[Entrant, Any, Any]]) -> dict[str, list[Rated]]:
    """Ratings of each run's checkpoints, from its start on."""
    found: dict[str, list[Rated]] = {}
    for entrant, player, _ in rows:
        if entrant.run is None or entrant.kind == EntrantKind.SNAPSHOT:
            continue
        name = f"{entrant.run.experiment.name} run {entrant.run.number}"
        if entrant.policy != "main" and entrant.kind != EntrantKind.START:
            name += f", {entrant.policy}"
        found.setdefault(name, []).append(
            Rated(step=entrant.step, rating=player.rating, low=player.low, high=player.high)
        )
    return {name: sorted(every, key=lambda each: each.step) for name, every in sorted(found.items())}
