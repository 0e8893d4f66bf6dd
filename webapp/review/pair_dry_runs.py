"""Dry runs of rubrics that compare two answers: ten stored pairs, shown in both orders, beside how they were compared.

Pairs are those an oracle compared or a method preferred one of; where there are none, siblings of which one is right.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from training_core.spec.jobs import Graded
from webapp.experiments.models import Run
from webapp.review.dry_runs import MAX_SAMPLES, NUM, informative, word_of_people
from webapp.telemetry.models import Event, Sample
from webapp.telemetry.rows import is_answering, is_given

UNDECIDED = 0.5


@dataclass(frozen=True, kw_only=True)
class StoredPair:
    """Two answers to one question: ``StoredPair(id="812/0-2", question="3+4", first="<answer>8...", second=..., value=0.3, ...)``."""

    id: str
    seq: int
    step: int
    question: str
    first: str
    second: str
    """The texts as they were written, which is what a judge is shown."""
    first_read: str
    second_read: str
    """What was read out of them."""
    value: float | None = None
    """The chance that the first beats the second, as it was found out then; None where nobody compared them."""
    truth: bool | None = None
    """Whether the first is the better one; None where both are right or wrong, or that is unknown."""
    by_people: bool = False

    @property
    def texts(self) -> tuple[str, ...]:
        """Without the order: a judge is asked both ways."""
        return self.question, *sorted((self.first, self.second))

    @property
    def dispute(self) -> float:
        """How far the comparison was from the truth, or where that is unknown how undecided it was; 0 to 1."""
        value = UNDECIDED if self.value is None else self.value
        return 1 - abs(2 * value - 1) if self.truth is None else abs(value - float(self.truth))

    @property
    def preferred(self) -> bool | None:
        return preferred(self.value)

    @property
    def graded(self) -> Graded:
        return Graded(id=self.id, question=self.question, answer=self.first, other=self.second, right=self.truth)


def preferred(value: float | None) -> bool | None:
    """Whether a chance to beat the other is above one half; None where it is one half, or unknown."""
    return None if value is None or value == UNDECIDED else value > UNDECIDED


@dataclass(frozen=True, kw_only=True)
class PairLine:
    """One stored pair beside what the judge says of it now."""

    stored: StoredPair
    value: float | None
    """The chance that the first beats the second, over both orders; None where no verdict can be read."""
    orders: tuple[float, float]
    """The same where the first is shown first, and where it is shown second."""
    scores: tuple[float | None, ...]
    """One a verdict, 1 for the first answer: those of the first order, then those of the other."""
    verdict: str
    turned: str
    """What the judge wrote in the first order and in the other."""

    @property
    def prefers(self) -> bool | None:
        return preferred(self.value)

    @property
    def flips(self) -> bool:
        return None not in (self.prefers, self.stored.preferred) and self.prefers != self.stored.preferred

    @property
    def contradicts(self) -> bool:
        """Whether it prefers another answer when the two change places."""
        one, other = (preferred(order) for order in self.orders)
        return None not in (one, other) and one != other


@dataclass(frozen=True, kw_only=True)
class PairOutcome:
    """Ten pairs and what they come to."""

    lines: Sequence[PairLine]

    @property
    def known(self) -> list[PairLine]:
        return [line for line in self.lines if line.stored.truth is not None]

    @property
    def num_known(self) -> int:
        return len(self.known)

    @property
    def num_by_people(self) -> int:
        return sum(line.stored.by_people for line in self.lines)

    @property
    def num_compared(self) -> int:
        """Pairs of known truth that were compared then."""
        return sum(line.stored.value is not None for line in self.known)

    @property
    def agreed(self) -> int:
        """Comparisons as they were that are in line with the truth; one that is undecided is not."""
        return sum(line.stored.preferred == line.stored.truth for line in self.known)

    @property
    def agree(self) -> int:
        return sum(line.prefers == line.stored.truth for line in self.known)

    @property
    def num_flips(self) -> int:
        return sum(line.flips for line in self.lines)

    @property
    def num_contradict(self) -> int:
        return sum(line.contradicts for line in self.lines)

    @property
    def num_unread(self) -> int:
        """Pairs of which no verdict can be read."""
        return sum(line.value is None for line in self.lines)

    @property
    def first_shown(self) -> float | None:
        """Share of the readable verdicts that prefer the answer shown first: one half where its place does not count."""
        votes = [vote for line in self.lines for vote in _votes_for_place(line.scores) if vote is not None]
        return sum(votes) / len(votes) if votes else None


def _votes_for_place(scores: Sequence[float | None]) -> Iterator[float | None]:
    """By verdict, 1 where it prefers the answer shown first: in the second half, the other one of the pair."""
    half = len(scores) // 2
    for place, score in enumerate(scores):
        yield score if score is None or place < half else 1 - score


def stored_pairs_in(run: Run, *, num_samples: int = MAX_SAMPLES) -> list[StoredPair]:
    """Of each of the run's newest samples the pair that was disputed most and the one that was least, oldest first.

    Where the better one of some pairs is known, the others are left out.
    """
    index = Sample.objects.filter(run=run).exclude(layout="game").order_by("-step", "-seq")
    seqs = list(index.values_list("seq", flat=True)[:num_samples])
    people = word_of_people(run)
    found: list[StoredPair] = []
    for event in Event.objects.filter(run=run, seq__in=seqs).order_by("seq"):
        pairs = _pairs(event, people)
        ranked = sorted([pair for pair in pairs if pair.truth is not None] or pairs, key=lambda pair: -pair.dispute)
        found += ranked if len(ranked) < 2 else (ranked[0], ranked[-1])
    return found


def informative_pairs(stored: Sequence[StoredPair], num: int = NUM) -> list[StoredPair]:
    """As for single answers; pairs of which nobody knows the better one are taken only where the others do not suffice."""
    known = informative([pair for pair in stored if pair.truth is not None], num)
    return known if len(known) == num else informative(stored, num)


def pairs_by_ids(run: Run, ids: Iterable[str]) -> dict[str, StoredPair]:
    """The pairs that a job was given, as they stand in the run now."""
    wanted, people = set(ids), word_of_people(run)
    seqs = {int(each.partition("/")[0]) for each in wanted}
    events = Event.objects.filter(run=run, seq__in=seqs)
    return {pair.id: pair for event in events for pair in _pairs(event, people) if pair.id in wanted}


def _pairs(event: Event, people: Mapping[tuple[str, int], bool]) -> list[StoredPair]:
    """Every pair of a sample whose texts differ."""
    data: dict[str, Any] = event.data
    turns: list[dict[str, Any]] = data["turns"]
    said = {place: people.get((str(data["episode"]), place)) for place in range(len(turns))}
    right = [said[place] if said[place] is not None else turn.get("correct") for place, turn in enumerate(turns)]
    found = []
    for one, other, value in _compared(data, right):
        first, second = turns[one], turns[other]
        if not first["text"] or not second["text"] or first["text"] == second["text"]:
            continue
        differ = None not in (right[one], right[other]) and right[one] != right[other]
        found.append(
            StoredPair(
                id=f"{event.seq}/{one}-{other}",
                seq=event.seq,
                step=event.step,
                question=str(data["title"]),
                first=str(first["text"]),
                second=str(second["text"]),
                first_read=str(first.get("parsed") or first["text"]),
                second_read=str(second.get("parsed") or second["text"]),
                value=value,
                truth=bool(right[one]) if differ else None,
                by_people=differ and {said[one], said[other]} != {None},
            )
        )
    return found


def _compared(data: Mapping[str, Any], right: Sequence[bool | None]) -> Iterator[tuple[int, int, float | None]]:
    """Places of two turns with the chance that the first beats the second: of an oracle's table, else 1 for what a method
    preferred, else None for siblings of which one is right."""
    turns, table = data["turns"], data.get("table")
    if table and len(table) <= len(turns):
        for one, other in combinations(range(len(table)), 2):
            yield one, other, float(table[one][other])
        return
    answers = [place for place, turn in enumerate(turns) if is_answering(str(turn["role"]))]
    listed = [(pair["chosen"], pair["rejected"]) for pair in data.get("pairs") or ()]
    preferred_ones = [(one, other) for one, other in listed if {one, other} <= set(answers)]
    for one, other in preferred_ones:
        yield min(one, other), max(one, other), float(one < other)
    if preferred_ones:
        return
    given = [place for place, turn in enumerate(turns) if is_given(str(turn["role"]))]
    for one, other in combinations(sorted([*answers, *given]), 2):
        if None not in (right[one], right[other]) and right[one] != right[other]:
            yield one, other, None
