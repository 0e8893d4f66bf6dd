"""The collapse doctor: names what goes wrong in a run, with three facts that prove it and a knob that may cure it. Torch-free.

Every disease is a rule on the run's metrics; a rule speaks only where the method reports them, and only of what lasts: a
finding needs ``LASTING`` steps in a row at the end. Thresholds are set so that healthy runs of the presets stay silent.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean as mean
from typing import Any

from training_core.methods.base import Role

Line = Sequence[tuple[int, float]]
"""(step, value), oldest first."""
LASTING = 5
SMOOTH = 5
"""Values whose mean a rule looks at."""
LEAST_STEPS = 8
"""Values a line needs before it is judged."""


@dataclass(frozen=True, kw_only=True)
class Fact:
    """One proof: ``Fact(metric="entropy/solver", step=180, value=0.01, words="entropy of the Solver, 0.62 at the start")``."""

    metric: str
    step: int
    value: float
    words: str


@dataclass(frozen=True, kw_only=True)
class Cure:
    """A knob that may help: ``Cure(path="method.judge", value={"kind": "frozen"}, words="a frozen judge cannot drift")``."""

    path: str
    value: Any
    words: str


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """A disease with its proofs. ``show`` names the kind of samples that show it."""

    disease: str
    title: str
    words: str
    since: int
    """The step at which it began."""
    facts: tuple[Fact, ...]
    cures: tuple[Cure, ...] = ()
    """The first one whose knob the method has is proposed."""
    grave: bool = False
    """Whether going on makes things worse."""
    show: str = "all"
    role: str = ""


@dataclass(frozen=True, kw_only=True)
class Patient:
    """What the doctor sees: the lines by metric, who plays, the headline, and how it gets better."""

    lines: Mapping[str, Line]
    roles: Sequence[Role]
    headline: str
    headline_falls: bool = False
    total_steps: int = 0

    def line(self, name: str) -> Line:
        """The line, where it is long enough to be judged; else nothing."""
        found = self.lines.get(name, ())
        return found if len(found) >= LEAST_STEPS else ()

    @property
    def learners(self) -> list[Role]:
        """Trained roles that are paid for more than the shape of what they say; judges are watched by rules of their own."""
        return [role for role in self.roles if role.trained and "judge" not in role.name]


Rule = Callable[[Patient], Iterator[Diagnosis]]


def examine(patient: Patient) -> list[Diagnosis]:
    """Every disease the run shows, the grave ones first, then by when they began."""
    found = [diagnosis for rule in RULES for diagnosis in rule(patient)]
    return sorted(found, key=lambda diagnosis: (not diagnosis.grave, diagnosis.since))


# How rules read a line.


def start_of(line: Line) -> float:
    """The mean of its first tenth, of 3 to 10 values."""
    return mean(value for _, value in line[: min(10, max(3, len(line) // 10))])


def end_of(line: Line) -> float:
    """The mean of its last values."""
    return mean(value for _, value in line[-SMOOTH:])


def since(line: Line, holds: Callable[[float], bool]) -> int | None:
    """The step since which the mean of the last ``SMOOTH`` values has held without a break, if for ``LASTING`` values or more."""
    lasting, first = 0, 0
    for end in range(len(line), SMOOTH - 1, -1):
        if not holds(mean(value for _, value in line[end - SMOOTH : end])):
            break
        lasting, first = lasting + 1, line[end - 1][0]
    return first if lasting >= LASTING else None


def fact(line: Line, metric: str, words: str) -> Fact:
    """A fact about where a line stands now."""
    return Fact(metric=metric, step=line[-1][0], value=end_of(line), words=words)


def begun(line: Line, metric: str, words: str) -> Fact:
    """A fact about where a line began."""
    return Fact(metric=metric, step=line[0][0], value=start_of(line), words=words)


def _facts(patient: Patient, wanted: Sequence[tuple[str, str]], *first: Fact) -> tuple[Fact, ...]:
    """Three facts: those given, where other lines that are known stand now, and where the first one's line began and was largest."""
    told = list(first)
    for name, words in wanted:
        if line := patient.line(name):
            told.append(fact(line, name, words))
    line = patient.lines.get(first[0].metric, ())
    if line:
        step, value = max(line, key=lambda point: point[1])
        told.append(begun(line, first[0].metric, "at the start"))
        told.append(Fact(metric=first[0].metric, step=step, value=value, words="at most"))
        middle = line[len(line) // 2]
        told.append(Fact(metric=first[0].metric, step=middle[0], value=middle[1], words="half way"))
    distinct = {(each.metric, each.step): each for each in reversed(told)}
    return tuple(sorted(distinct.values(), key=told.index)[:3])


# The rules.


def entropy_collapse(patient: Patient) -> Iterator[Diagnosis]:
    """Answers no longer vary: entropy fell to less than an eighth and below 0.02 nats, and groups are silent if they are compared."""
    for role in patient.learners:
        name, silent = f"entropy/{role.name}", f"zero_signal/{role.name}"
        line = patient.line(name)
        if not line or start_of(line) < 0.05:
            continue
        begin = since(line, lambda value, line=line: value < 0.02 and value < start_of(line) / 8)  # type: ignore[misc]
        groups = patient.line(silent)
        if begin is None or (groups and end_of(groups) < 0.5):
            continue
        yield Diagnosis(
            disease="entropy_collapse",
            title=f"{role.title} no longer varies",
            words=f"The {role.title} says nearly the same whenever it is asked, so there is nothing left to compare and to learn from.",
            since=begin,
            facts=_facts(
                patient,
                [
                    (silent, "share of its groups in which all answers earn the same"),
                    (f"reward/{role.name}", "its mean reward"),
                ],
                begun(line, name, "entropy at the start, in nats"),
                fact(line, name, "entropy now"),
            ),
            cures=(
                Cure(path="method.loss.entropy_coef", value=0.01, words="An entropy bonus pays for variety."),
                Cure(
                    path="method.sampling.temperature",
                    value=1.2,
                    words="A higher temperature draws more varied answers.",
                ),
            ),
            grave=True,
            show="zero",
            role=role.name,
        )


def judge_inflation(patient: Patient) -> Iterator[Diagnosis]:
    """The judge's mean score left the true share behind by 0.1 or more than at the start, while the judge is what pays."""
    score, truth = patient.line("judge/live_score"), patient.line("judge/live_truth")
    if not score or len(score) != len(truth):
        return
    gap = [(step, value - right) for (step, value), (_, right) in zip(score, truth, strict=True)]
    before = start_of(gap)
    begin = since(gap, lambda value: value - before >= 0.1)
    if begin is None:
        return
    yield Diagnosis(
        disease="judge_inflation",
        title="The judge is no longer worth its word",
        words=f"The judge scores answers {end_of(gap):.2f} above the share that is truly right; at the start it was {before:.2f}. "
        "What is learnt now is to please the judge.",
        since=begin,
        facts=_facts(
            patient,
            [
                ("judge/live_false_accept", "share of the wrong answers that it accepts"),
                ("judge/own_false_accept", "the same on held-out answers"),
            ],
            fact(score, "judge/live_score", "its mean score"),
            fact(truth, "judge/live_truth", "share of the answers that are right"),
        ),
        cures=(
            Cure(path="method.judge", value={"kind": "frozen"}, words="A frozen copy of the start cannot drift."),
            Cure(path="method.verifier", value="rules", words="Rules cannot be talked round."),
        ),
        grave=True,
        show="disagreement",
    )


def audit_gap(patient: Patient) -> Iterator[Diagnosis]:
    """The hidden auditor scores the same answers lower than the judge does, by 0.1 more than at the start."""
    gap = patient.line("audit/gap")
    if not gap:
        return
    before = start_of(gap)
    begin = since(gap, lambda value: value - before >= 0.1)
    if begin is None:
        return
    yield Diagnosis(
        disease="audit_gap",
        title="The hidden audit disagrees with the judge",
        words="A second judge that nobody learns from scores the same answers lower and lower: reward is won that is not earned.",
        since=begin,
        facts=_facts(
            patient,
            [
                ("audit/judge_score", "the judge's mean score of audited answers"),
                ("audit/auditor_score", "the auditor's"),
            ],
            fact(gap, "audit/gap", f"how much more the judge gives; {before:.2f} at the start"),
        ),
        cures=(Cure(path="method.judge", value={"kind": "frozen"}, words="A frozen copy of the start cannot drift."),),
        grave=True,
        show="disagreement",
    )


def lenient_judge(patient: Patient) -> Iterator[Diagnosis]:
    """A third or more of the wrong answers get through."""
    line = patient.line("judge/live_false_accept")
    begin = since(line, lambda value: value >= 0.33) if line else None
    if begin is None:
        return
    yield Diagnosis(
        disease="lenient_judge",
        title="The judge accepts what is wrong",
        words=f"{100 * end_of(line):.0f}% of the wrong answers are accepted and rewarded as if they were right.",
        since=begin,
        facts=_facts(
            patient,
            [
                ("judge/auc", "how well it tells right from wrong on the probe"),
                ("judge/live_truth", "share of answers that are right"),
            ],
            fact(line, "judge/live_false_accept", "share of the wrong answers that it accepts"),
        ),
        cures=(
            Cure(path="method.judge_temperature", value=0.0, words="Greedy verdicts are less noisy."),
            Cure(path="method.judge", value={"kind": "frozen"}, words="A frozen copy of the start cannot drift."),
            Cure(path="method.judge_votes", value=9, words="More votes make a steadier verdict."),
        ),
        grave=True,
        show="disagreement",
    )


def wrong_reward(patient: Patient) -> Iterator[Diagnosis]:
    """The reward rises by a tenth and more while the held-out headline falls by 0.05 and more."""
    headline = patient.line(patient.headline)
    if not headline or patient.headline_falls:
        return
    best = max(value for _, value in headline)
    fallen = start_of(headline) - mean(value for _, value in headline[-3:])
    for role in patient.learners[-1:]:
        name = f"reward/{role.name}"
        reward = patient.line(name)
        if not reward or fallen < 0.05 or end_of(reward) - start_of(reward) < 0.1:
            continue
        yield Diagnosis(
            disease="wrong_reward",
            title="The reward pays for something else",
            words=f"The {role.title} earns more and more while held-out answers get worse: it learns what pays, not what is right.",
            since=next(step for step, value in headline if value == best),
            facts=(
                fact(reward, name, f"mean reward of the {role.title}; {start_of(reward):.2f} at the start"),
                begun(headline, patient.headline, "held-out measurement at the start"),
                Fact(
                    metric=patient.headline,
                    step=headline[-1][0],
                    value=headline[-1][1],
                    words="held-out measurement now",
                ),
            ),
            cures=(Cure(path="method.judge", value={"kind": "frozen"}, words="A frozen judge cannot be worn down."),),
            grave=True,
            show="wrong",
            role=role.name,
        )


def frontier_lost(patient: Patient) -> Iterator[Diagnosis]:
    """More than two thirds of the questions too easy, too hard or ill-posed, and less than a fifth at the edge."""
    edge = patient.line("frontier/edge")
    kinds = {
        "too_easy": ("Questions are too easy", "Every answer is right, so nobody learns anything from them."),
        "too_hard": ("Questions are too hard", "No answer is right, so nobody learns anything from them."),
        "ill_posed": ("Questions are not well-posed", "They have no answer, so whatever is rewarded is chance."),
    }
    cures = {
        "too_easy": (
            Cure(path="method.difficulty", value="frontier", words="Pay for questions that are solved half the time."),
            Cure(path="method.tau_high", value=0.7, words="Learn from harder questions only."),
        ),
        "too_hard": (
            Cure(path="method.difficulty", value="frontier", words="Pay for questions that are solved half the time."),
            Cure(path="method.tau_low", value=0.25, words="Leave out questions that are hardly ever solved."),
        ),
        "ill_posed": (
            Cure(path="method.quality_threshold", value=0.8, words="Keep only questions that the judge finds good."),
        ),
    }
    for kind, (title, words) in kinds.items():
        name = f"frontier/{kind}"
        line = patient.line(name)
        begin = since(line, lambda value: value > 2 / 3) if line else None
        if begin is None or not edge or end_of(edge) >= 0.2:
            continue
        yield Diagnosis(
            disease=f"questions_{kind}",
            title=title,
            words=f"{100 * end_of(line):.0f}% of the questions of late. {words}",
            since=begin,
            facts=_facts(
                patient,
                [
                    ("questions/accepted", "share that enters the pool"),
                    ("reward/proposer", "what the Proposer earns for them"),
                ],
                fact(line, name, f"share of such questions; {start_of(line):.2f} at the start"),
                fact(edge, "frontier/edge", "share of questions at the edge"),
            ),
            cures=cures[kind],
            grave=kind != "too_easy",
            show={"too_easy": "right", "too_hard": "wrong", "ill_posed": "rejected"}[kind],
        )


def duplicate_questions(patient: Patient) -> Iterator[Diagnosis]:
    """Half of the proposals were seen before."""
    line = patient.line("questions/duplicate")
    begin = since(line, lambda value: value > 0.5) if line else None
    if begin is None:
        return
    yield Diagnosis(
        disease="duplicate_questions",
        title="The Proposer repeats itself",
        words=f"{100 * end_of(line):.0f}% of its questions are in the pool already.",
        since=begin,
        facts=_facts(
            patient,
            [("entropy/proposer", "its entropy in nats"), ("pool/questions", "questions in the pool")],
            fact(line, "questions/duplicate", f"share seen before; {start_of(line):.2f} at the start"),
        ),
        cures=(
            Cure(path="method.reference_prob", value=0.25, words="Start fewer proposals from questions of the pool."),
            Cure(path="method.w_div", value=1.0, words="Pay for questions unlike the others."),
        ),
        show="all",
        role="proposer",
    )


def format_drift(patient: Patient) -> Iterator[Diagnosis]:
    """A role that kept its format loses it: 0.15 below the start and under 0.85."""
    for role in patient.roles:
        name = f"format/{role.name}"
        line = patient.line(name)
        if not line:
            continue
        first = start_of(line)
        begin = since(line, lambda value, first=first: value < 0.85 and value < first - 0.15)  # type: ignore[misc]
        if begin is None:
            continue
        yield Diagnosis(
            disease="format_drift",
            title=f"{role.title} forgets its format",
            words=f"More and more of what the {role.title} writes cannot be read, so it counts as wrong whatever it says.",
            since=begin,
            facts=_facts(
                patient,
                [
                    (f"length/{role.name}_cut", "share that was cut for length"),
                    (f"length/{role.name}_tokens", "mean tokens"),
                ],
                begun(line, name, "format score at the start"),
                fact(line, name, "format score now"),
            ),
            cures=(
                Cure(path="method.w_solver_format", value=0.5, words="Pay for the format."),
                Cure(path="method.loss.kl_coef", value=0.02, words="Stay closer to where it began."),
                Cure(path="method.sampling.max_tokens", value=256, words="Leave room to finish."),
            ),
            grave=True,
            show="discarded",
            role=role.name,
        )


def length_hacking(patient: Patient) -> Iterator[Diagnosis]:
    """Answers grow by two thirds and the judge pays for length; or a third of them is cut."""
    pull = patient.line("judge/length_pull")
    for role in patient.learners:
        name, cut = f"length/{role.name}_tokens", f"length/{role.name}_cut"
        line, cuts = patient.line(name), patient.line(cut)
        if not line:
            continue
        first = start_of(line)
        grown = since(line, lambda value, first=first: value > 5 / 3 * first)  # type: ignore[misc]
        paid = bool(pull) and end_of(pull) > 0.3
        cut_since = since(cuts, lambda value: value > 1 / 3) if cuts and start_of(cuts) < 0.2 else None
        begin = cut_since if cut_since is not None else grown if paid else None
        if begin is None:
            continue
        yield Diagnosis(
            disease="length_hacking",
            title=f"{role.title} writes longer to be paid more",
            words="Longer answers score better whether they are right or wrong."
            if paid
            else "Many answers are cut before they end, and a cut answer cannot be right.",
            since=begin,
            facts=_facts(
                patient,
                [
                    ("judge/length_pull", "how far the judge's score follows length among equally right answers"),
                    (cut, "share that was cut"),
                ],
                begun(line, name, "mean tokens at the start"),
                fact(line, name, "mean tokens now"),
            ),
            cures=(
                Cure(path="method.sampling.max_tokens", value=int(2 * first) + 1, words="Leave no room to ramble."),
                Cure(path="method.loss.kl_coef", value=0.02, words="Stay closer to where it began."),
            ),
            role=role.name,
        )


def skipped_updates(patient: Patient) -> Iterator[Diagnosis]:
    """Updates were left out since a gradient was not a number."""
    for name, line in patient.lines.items():
        if not name.startswith("grad/skipped_updates") or not line or line[-1][1] < 1:
            continue
        first = next(step for step, value in line if value >= 1)
        yield Diagnosis(
            disease="skipped_updates",
            title="Updates are skipped",
            words=f"{line[-1][1]:.0f} updates were left out, because a gradient was not a finite number.",
            since=first,
            facts=_facts(
                patient,
                [
                    ("grad/norm", "gradient norm of late"),
                    ("mismatch/ratio_max", "largest ratio between learner and sampler"),
                ],
                Fact(metric=name, step=line[-1][0], value=line[-1][1], words="updates left out so far"),
            ),
            cures=(Cure(path="method.optimizer.lr", value="half", words="A smaller step keeps numbers finite."),),
            grave=True,
        )


def kl_blow_up(patient: Patient) -> Iterator[Diagnosis]:
    """The policy is more than 1.5 nats a token from where it began, or the sampler 0.1 nats from the learner."""
    bounds = {"kl/policy_start": 1.5, "mismatch/kl": 0.1}
    told = {
        "kl/policy_start": (
            "The policy has left its start behind",
            "What it writes has little to do with what it once could.",
            "distance from the start, in nats a token",
        ),
        "mismatch/kl": (
            "Sampler and learner disagree",
            "What is learnt from is not what these weights would write.",
            "divergence of learner and sampler, in nats",
        ),
    }
    for name, bound in bounds.items():
        line = patient.line(name)
        begin = since(line, lambda value, bound=bound: value > bound) if line else None  # type: ignore[misc]
        if begin is None:
            continue
        title, words, what = told[name]
        cures = (
            (Cure(path="method.loss.kl_coef", value=0.02, words="A penalty holds it near the start."),)
            if name == "kl/policy_start"
            else (Cure(path="learner.ahead", value=0, words="Play with the newest weights."),)
        )
        yield Diagnosis(
            disease="kl_blow_up",
            title=title,
            words=words,
            since=begin,
            facts=_facts(
                patient,
                [("grad/norm", "gradient norm"), (patient.headline, "held-out measurement")],
                fact(line, name, what),
            ),
            cures=(*cures, Cure(path="method.optimizer.lr", value="half", words="A smaller step goes less far.")),
            grave=True,
        )


def illegal_moves(patient: Patient) -> Iterator[Diagnosis]:
    """A quarter of the moves is illegal and it hardly gets better in half of the run."""
    line = patient.line("games/illegal_moves")
    if not line or len(line) < 20 or 2 * len(line) < patient.total_steps:
        return
    first = start_of(line)
    begin = since(line, lambda value: value > 0.25 and value > 0.8 * first)
    if begin is None:
        return
    yield Diagnosis(
        disease="illegal_moves",
        title="Rules are not learnt",
        words=f"{100 * end_of(line):.0f}% of the moves are still illegal; games end by them and not by play.",
        since=begin,
        facts=_facts(
            patient,
            [("games/illegal", "share of games that end by an illegal move"), ("games/turns", "moves in a game")],
            fact(line, "games/illegal_moves", f"share of illegal moves; {first:.2f} at the start"),
        ),
        cures=(
            Cure(path="method.illegal_penalty", value=-1.5, words="Make an illegal move cost more than a lost game."),
            Cure(path="method.optimizer.lr", value="double", words="A larger step learns the rules sooner."),
        ),
        show="wrong",
    )


def silent_groups(patient: Patient) -> Iterator[Diagnosis]:
    """In more than 70% of the groups all answers earn the same."""
    for role in patient.learners:
        name = f"zero_signal/{role.name}"
        line = patient.line(name)
        begin = since(line, lambda value: value > 0.7) if line else None
        if begin is None:
            continue
        yield Diagnosis(
            disease="silent_groups",
            title=f"Most groups of the {role.title} teach nothing",
            words=f"In {100 * end_of(line):.0f}% of the groups all answers earn the same, so none is better than another.",
            since=begin,
            facts=_facts(
                patient,
                [
                    ("frontier/too_easy", "share of questions that are too easy"),
                    ("frontier/too_hard", "share that is too hard"),
                    (f"entropy/{role.name}", "its entropy in nats"),
                ],
                fact(line, name, f"share of silent groups; {start_of(line):.2f} at the start"),
            ),
            cures=(
                Cure(
                    path="method.difficulty_samples", value="double", words="More answers to a question differ sooner."
                ),
                Cure(
                    path="method.answers_per_question",
                    value="double",
                    words="More answers to a question differ sooner.",
                ),
                Cure(
                    path="method.difficulty", value="frontier", words="Pay for questions that are solved half the time."
                ),
                Cure(
                    path="method.sampling.temperature",
                    value=1.2,
                    words="A higher temperature draws more varied answers.",
                ),
            ),
            show="zero",
            role=role.name,
        )


def plateau(patient: Patient) -> Iterator[Diagnosis]:
    """Over half of the evaluations, and eight at least, the headline moved less than 0.01 and is not at its end of the scale."""
    line = patient.line(patient.headline)
    half = line[len(line) // 2 :]
    if len(half) < LEAST_STEPS:
        return
    values = [value for _, value in half]
    best_before = (min if patient.headline_falls else max)(value for _, value in line[: len(line) // 2])
    best_since = (min if patient.headline_falls else max)(values)
    gained = (best_before - best_since) if patient.headline_falls else (best_since - best_before)
    at_end = mean(values) < 0.03 if patient.headline_falls else mean(values) > 0.95
    if max(values) - min(values) >= 0.03 or gained >= 0.01 or at_end:
        return
    yield Diagnosis(
        disease="plateau",
        title="Nothing is gained any more",
        words=f"The held-out measurement stands at {mean(values):.2f} since step {half[0][0]}.",
        since=half[0][0],
        facts=_facts(
            patient,
            [("grad/norm", "gradient norm of late"), ("frontier/edge", "share of questions at the edge")],
            Fact(metric=patient.headline, step=half[0][0], value=values[0], words="when it stopped rising"),
            Fact(metric=patient.headline, step=line[-1][0], value=values[-1], words="now"),
        ),
        cures=(Cure(path="method.optimizer.lr", value="half", words="A smaller step settles deeper."),),
    )


RULES: tuple[Rule, ...] = (
    skipped_updates,
    judge_inflation,
    audit_gap,
    lenient_judge,
    wrong_reward,
    entropy_collapse,
    frontier_lost,
    duplicate_questions,
    format_drift,
    length_hacking,
    kl_blow_up,
    illegal_moves,
    silent_groups,
    plateau,
)


def metrics_read(roles: Sequence[Role], headline: str, known: Sequence[str]) -> list[str]:
    """Of the metrics a run has reported, those that rules look at."""
    areas = (
        "entropy/",
        "zero_signal/",
        "reward/",
        "format/",
        "length/",
        "judge/",
        "audit/",
        "frontier/",
        "questions/",
        "pool/",
        "grad/",
        "kl/",
        "mismatch/",
        "games/",
    )
    return [name for name in known if name == headline or name.startswith(areas)]
