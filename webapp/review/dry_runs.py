"""Dry runs: ten stored samples judged or paid anew, beside what was, before a run is spent on it.

With a judge the samples are graded by a job; with other weights alone the rewards follow from the stored terms.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, Protocol, TypeVar

from django.contrib.auth.models import AnonymousUser
from django.db.models import Exists, OuterRef, Q

from training_core.methods.registry import all_methods, find_method
from training_core.spec.forms import form_of, walk
from training_core.spec.jobs import Graded
from webapp.accounts.models import User
from webapp.experiments.models import Run
from webapp.jobs.weights import Moment, moments_of
from webapp.review.judged import judged_turns
from webapp.review.models import ACCEPT_AT, Label, Verdict
from webapp.review.selectors import reviewable_runs, settled
from webapp.telemetry.models import Event, Sample
from webapp.telemetry.reckoning import Reckoning, reckonings
from webapp.telemetry.rows import is_judge
from webapp.workspaces.models import Workspace

NUM = 10
MAX_SAMPLES = 150
"""The newest so many samples are looked through."""
MAX_RUNS = 12
JUDGED_TERM = {"answer": "judge", "question": "quality", "vote": "judge"}
"""The reward term that the verdict of a kind of rubric is; a comparison of two answers is none."""
TRIED = (*JUDGED_TERM, "pair")
"""Kinds of rubric that a dry run can be made of."""


@dataclass(frozen=True, kw_only=True)
class Stored:
    """A turn as it was judged and paid: ``Stored(id="812/1", question="3+4", answer="8", value=0.9, truth=False, ...)``."""

    id: str
    seq: int
    step: int
    role: str
    question: str
    answer: str
    value: float | None = None
    """What the judge said, 0 to 1; None where nobody judged it."""
    truth: bool | None = None
    by_people: bool = False
    """Whether the truth is what most people say; otherwise it is a verifier's."""
    sum: Reckoning | None = None

    @property
    def dispute(self) -> float:
        """How far the judge was from the truth, or where that is unknown how undecided it was; 0 to 1."""
        assert self.value is not None
        if self.truth is None:
            return 1 - abs(2 * self.value - 1)
        return abs(self.value - float(self.truth))

    @property
    def texts(self) -> tuple[str, ...]:
        """What the judge sees: equal ones need not be asked twice."""
        return self.question, self.answer

    @property
    def graded(self) -> Graded:
        return Graded(id=self.id, question=self.question, answer=self.answer, right=self.truth)


@dataclass(frozen=True, kw_only=True)
class Part:
    """One term of a reward then and now: ``Part(name="judge", before=0.45, after=0.05, weight=0.5, value=0.1)``."""

    name: str
    before: float
    after: float
    weight: float | None
    value: float | None
    """Weight and value now, where the method says how the term is weighed."""

    @property
    def differs(self) -> bool:
        return abs(self.after - self.before) > 1e-9


@dataclass(frozen=True, kw_only=True)
class Line:
    """One stored sample beside what it would have been."""

    stored: Stored
    value: float | None = None
    """What the judge says now; None where it was not asked, or cannot be read."""
    is_read: bool = True
    verdict: str = ""
    parts: tuple[Part, ...] = ()
    reward: float | None = None

    @property
    def accepted(self) -> bool | None:
        return None if self.stored.value is None else self.stored.value >= ACCEPT_AT

    @property
    def accepts(self) -> bool | None:
        return None if self.value is None else self.value >= ACCEPT_AT

    @property
    def flips(self) -> bool:
        return self.accepts is not None and self.accepts != self.accepted

    @property
    def change(self) -> float | None:
        before = self.stored.sum.reward if self.stored.sum else None
        return None if before is None or self.reward is None else self.reward - before


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Ten lines and what they come to."""

    lines: Sequence[Line]
    is_judged: bool
    num_looked_at: int = 0
    """Of weights alone: how many turns were reckoned anew to find the ten."""
    mean_before: float | None = None
    mean_after: float | None = None

    @property
    def num_known(self) -> int:
        return sum(line.stored.truth is not None for line in self.lines)

    @property
    def num_by_people(self) -> int:
        return sum(line.stored.by_people for line in self.lines)

    @property
    def agreed(self) -> int:
        """Verdicts as they were that are in line with the truth."""
        return sum(line.stored.truth is not None and line.accepted == line.stored.truth for line in self.lines)

    @property
    def agree(self) -> int:
        return sum(line.stored.truth is not None and line.accepts == line.stored.truth for line in self.lines)

    @property
    def num_flips(self) -> int:
        return sum(line.flips for line in self.lines)

    @property
    def num_unread(self) -> int:
        return sum(not line.is_read for line in self.lines)


# What there is to try on


def runs_to_try(user: User | AnonymousUser, workspace: Workspace, kind: str, *, method: str = "") -> list[Run]:
    """Runs with stored samples of the kind, newest first: judged ones, or for ``weights`` those whose rewards can be weighed anew."""
    runs = reviewable_runs(user, workspace).select_related("experiment")
    if method:
        runs = runs.filter(experiment__method=method)
    if kind == "weights":
        runs = runs.filter(Exists(Sample.objects.filter(run=OuterRef("pk"))))
        return [run for run in runs[:MAX_RUNS] if weights_of(run.spec)]
    samples = Sample.objects.filter(run=OuterRef("pk"))
    if kind == "vote":  # the votes on a turn are its value; nobody speaks as the judge
        voting = [method.slug for method in all_methods() if "vote" in kinds_of(method.slug)]
        return list(runs.filter(Exists(samples), experiment__method__in=voting)[:MAX_RUNS])
    if kind == "pair":  # two answers that were compared, or of which one is right
        compared = samples.filter(Q(num_pairs__gt=0) | Q(num_right__gt=0, num_wrong__gt=0))
        return list(runs.filter(Exists(compared))[:MAX_RUNS])
    return list(runs.filter(Exists(samples.filter(roles__contains=[{"role": "judge"}])))[:MAX_RUNS])


@dataclass(frozen=True, kw_only=True)
class Bench:
    """What a dry run may be made with: runs whose samples are stored, and whose weights may judge them."""

    kinds: Sequence[str]
    runs: Sequence[Run]
    judges: Sequence[Moment]


def bench_for(user: User | AnonymousUser, workspace: Workspace, kinds: Sequence[str], *, method: str = "") -> Bench:
    """For kinds of rubric, and for ``weights``."""
    tried = [kind for kind in kinds if kind in TRIED or kind == "weights"]
    runs = {run.pk: run for kind in tried for run in runs_to_try(user, workspace, kind, method=method)}
    listed = sorted(runs.values(), key=lambda run: run.created_at, reverse=True)[:MAX_RUNS]
    return Bench(kinds=tried, runs=listed, judges=[moment for run in listed for moment in moments_of(run)])


def kinds_of(slug: str) -> list[str]:
    """What can be tried of a method: its kinds of rubric, and its reward weights."""
    fields = (field for group in form_of(slug) for field in walk(group.fields))
    rubrics = dict.fromkeys(each.rubric for each in fields if each.rubric in TRIED)
    return [*rubrics, *(["weights"] if find_method(slug).reward_weights else [])]


def weights_of(spec: Mapping[str, Any]) -> dict[str, float]:
    """The knobs that weigh reward terms, with their values: ``{"w_judge": 0.5}``; empty where a method names none."""
    method: Mapping[str, Any] = spec["method"]
    knobs = {knob for terms in weighed_terms(spec).values() for knob in terms.values()}
    return {knob: float(method[knob]) for knob in sorted(knobs) if method.get(knob) is not None}


def weighed_terms(spec: Mapping[str, Any]) -> Mapping[str, Mapping[str, str]]:
    """By role and reward term, the knob that weighs it; empty where the method names none."""
    try:
        return find_method(str(spec["method"]["name"])).reward_weights
    except ValueError:
        return {}


def stored_in(run: Run, kind: str, *, num_samples: int = MAX_SAMPLES) -> list[Stored]:
    """The judged turns of a kind in a run's newest samples, or for ``weights`` every turn with weighed terms, oldest first."""
    index = Sample.objects.filter(run=run).order_by("-step", "-seq")
    if kind in {"answer", "question"}:
        index = index.filter(roles__contains=[{"role": "judge"}])
    seqs = list(index.values_list("seq", flat=True)[:num_samples])
    people = word_of_people(run)
    found: list[Stored] = []
    for event in Event.objects.filter(run=run, seq__in=seqs).order_by("seq"):
        found += _stored(run, event, kind, people)
    return found


def stored_by_ids(run: Run, ids: Iterable[str], kind: str) -> dict[str, Stored]:
    """The turns that a job was given, as they stand in the run now."""
    wanted, people = set(ids), word_of_people(run)
    seqs = {int(each.partition("/")[0]) for each in wanted}
    events = Event.objects.filter(run=run, seq__in=seqs)
    return {each.id: each for event in events for each in _stored(run, event, kind, people) if each.id in wanted}


def _stored(run: Run, event: Event, kind: str, people: Mapping[tuple[str, int], bool]) -> list[Stored]:
    turns: list[dict[str, Any]] = event.data["turns"]
    sums = reckonings(turns)
    judged = {each.turn: each for each in settled(run, judged_turns(event.data))}
    weighed = weighed_terms(run.spec)
    found = []
    for place, turn in enumerate(turns):
        each, role = judged.get(place), str(turn["role"])
        if kind == "weights" and (sums[place] is None or role not in weighed):
            continue
        if kind == "vote" and (turn.get("value") is None or is_judge(role)):
            continue
        if kind in {"answer", "question"} and (each is None or each.kind != kind or not each.scores):
            continue
        said = people.get((str(event.data["episode"]), place))
        found.append(
            Stored(
                id=f"{event.seq}/{place}",
                seq=event.seq,
                step=event.step,
                role=role,
                question=str(event.data["title"]),
                answer="" if kind == "question" else str(turn.get("parsed") or turn["text"]),
                value=each.value if each else turn.get("value"),
                truth=said if said is not None else each.truth if each else turn.get("correct"),
                by_people=said is not None,
                sum=sums[place],
            )
        )
    return found


def word_of_people(run: Run) -> dict[tuple[str, int], bool]:
    """By episode and turn, what most people say; nothing where they are divided."""
    clear = Verdict.objects.filter(run=run, withdrawn_at=None).exclude(label=Label.UNCLEAR)
    votes: Counter[tuple[str, int]] = Counter()
    for episode, turn, label in clear.values_list("episode", "turn", "label"):
        votes[episode, turn] += 1 if label == Label.RIGHT else -1
    return {place: balance > 0 for place, balance in votes.items() if balance}


class Disputed(Protocol):
    """What can be ranked by how far a judge was from the truth about it."""

    @property
    def id(self) -> str: ...
    @property
    def step(self) -> int: ...
    @property
    def texts(self) -> tuple[str, ...]: ...
    @property
    def dispute(self) -> float: ...


Each = TypeVar("Each", bound=Disputed)


def informative(stored: Iterable[Each], num: int = NUM) -> list[Each]:
    """The half the judge was most at odds with the truth about, or most undecided; the rest evenly from there to where it agreed.

    So a change that mends the disputed ones and spoils the others is seen. Equal turns count once, the newest of them.
    """
    different = {each.texts: each for each in stored}
    ranked = sorted(different.values(), key=lambda each: (-each.dispute, -each.step, each.id))
    first, rest = ranked[: num // 2], ranked[num // 2 :]
    left = min(num - len(first), len(rest))
    spread = [rest[round(place * (len(rest) - 1) / max(left - 1, 1))] for place in range(left)]
    return [*first, *spread]


# What comes of it


def paid(
    stored: Stored, old: Mapping[str, Any], weights: Mapping[str, float], *, term: str = "", value: float | None = None
) -> tuple[tuple[Part, ...], float | None]:
    """A turn's reward with other weights, and with another value of one term.

    r' = r + sum over terms of (part' - part), part' = part w'/w, or w' v where the term counted for nothing or is another one.
    """
    if stored.sum is None:
        return (), None
    knobs = weighed_terms(old).get(stored.role, {})
    parts = []
    for each in stored.sum.terms:
        knob, is_other = knobs.get(each.name, ""), each.name == term and value is not None
        was = old["method"].get(knob) if knob else each.weight
        weight = weights.get(knob, was) if knob else was
        before = each.part if stored.sum.adds_up else was and was * each.value
        if before is None:  # a term whose share of the reward nothing tells stays in it as it was
            continue
        now = value if is_other and value is not None else each.value
        after = before
        if weight is not None and (is_other or not was):
            after = weight * now
        elif weight is not None and was:
            after = before * weight / was
        parts.append(Part(name=each.name, before=before, after=after, weight=weight, value=now))
    return tuple(parts), stored.sum.reward + sum(part.after - part.before for part in parts)


def weighed_anew(run: Run, weights: Mapping[str, float]) -> Outcome:
    """Rewards that were given, with other weights: the ten that change most, and the means over all."""
    stored = stored_in(run, "weights")
    lines = []
    for each in stored:
        parts, reward = paid(each, run.spec, weights)
        lines.append(Line(stored=each, parts=parts, reward=reward))
    before = [line.stored.sum.reward for line in lines if line.stored.sum]
    after = [line.reward for line in lines if line.reward is not None]
    return Outcome(
        lines=_most_changed(lines),
        is_judged=False,
        num_looked_at=len(lines),
        mean_before=sum(before) / len(before) if before else None,
        mean_after=sum(after) / len(after) if after else None,
    )


def _most_changed(lines: Sequence[Line]) -> list[Line]:
    """The ten that change most, every role in turn; equal turns count once. Where nothing changes, the newest."""
    changed = [line for line in lines if line.change and abs(line.change) > 1e-9]
    ranked = sorted(changed or lines, key=lambda line: (-abs(line.change or 0.0), -line.stored.step, line.stored.id))
    by_role: dict[str, dict[tuple[str, str], Line]] = {}
    for line in ranked:
        by_role.setdefault(line.stored.role, {}).setdefault((line.stored.question, line.stored.answer), line)
    turns = zip_longest(*(found.values() for found in by_role.values()))
    return [line for turn in turns for line in turn if line is not None][:NUM]
