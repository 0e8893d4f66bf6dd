"""The playground: what its form holds, and how the answers are laid side by side."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import exp, isfinite
from typing import Any
from uuid import UUID

from django.http import Http404, QueryDict

from training_core.spec.io import SpecError, parse_spec
from training_core.spec.jobs import SayJob
from webapp.accounts.models import User
from webapp.arena.prompts import Filled, PromptCard, asked_in, prompts_of
from webapp.experiments.models import Run
from webapp.experiments.selectors import run_for, runs_visible_to
from webapp.jobs.asking import parse_job
from webapp.jobs.models import Job
from webapp.jobs.weights import START, Moment, moment_of, moments_of, read_key
from webapp.telemetry.differences import Piece, difference
from webapp.telemetry.selectors import sample as sample_event
from webapp.workspaces.models import Workspace

MAX_RUNS = 60
FREE = ""
_NUMBERS = {"temperature": 1.0, "top_p": 1.0, "max_tokens": 256, "seed": 0}
LIMITS = {"temperature": (0, 5), "top_p": (0.01, 1), "max_tokens": (1, 4096), "seed": (0, 2**31 - 1)}
_TITLES = {"temperature": "Temperature", "top_p": "Top-p", "max_tokens": "Longest answer", "seed": "Seed"}


@dataclass(kw_only=True)
class Bench:
    """The form as it is filled in; ``Bench.read`` makes it from an address or a sent form."""

    run: Run | None
    runs: list[Run]
    moments: list[Moment] = field(default_factory=list)
    others: list[Moment] = field(default_factory=list)
    """The newest weights of other runs, to compare with."""
    cards: list[PromptCard] = field(default_factory=list)
    left: str = ""
    right: str = ""
    prompt: str = FREE
    values: dict[str, str] = field(default_factory=dict)
    text: str = ""
    numbers: dict[str, float] = field(default_factory=lambda: dict(_NUMBERS))
    logprobs: bool = False

    @property
    def card(self) -> PromptCard | None:
        return next((card for card in self.cards if card.name == self.prompt), None)

    @property
    def fields(self) -> list[tuple[str, str, str]]:
        """``(name, title, value)`` of each text the chosen prompt speaks about."""
        names = self.card.fields if self.card else ()
        return [(name, name.replace("_", " ").capitalize(), self.values.get(name, "")) for name in names]

    @property
    def settings(self) -> list[dict[str, Any]]:
        """The sampling settings as inputs."""
        return [
            {
                "name": name,
                "title": _TITLES[name],
                "value": f"{value:g}" if name in {"temperature", "top_p"} else str(int(value)),
                "min": LIMITS[name][0],
                "max": LIMITS[name][1],
                "step": "any" if name in {"temperature", "top_p"} else 1,
            }
            for name, value in self.numbers.items()
        ]

    def note(self) -> dict[str, Any]:
        """What history needs to fill the form in again."""
        kept = {"left": self.left, "right": self.right, "prompt": self.prompt, "text": self.text}
        values = {f"value_{name}": value for name, value in self.values.items()}
        return {
            "run": str(self.run.pk) if self.run else "",
            **kept,
            **values,
            **self.numbers,
            "logprobs": self.logprobs,
        }


def read_bench(user: User, workspace: Workspace | None, data: QueryDict | Mapping[str, Any]) -> Bench:
    """The form for what is asked: a run, weights, a prompt, or a turn of a sample. Unknown parts take their defaults."""
    runs = [] if workspace is None else _runs(user, workspace)
    run = _chosen_run(user, runs, data)
    if run is not None and run.pk not in {each.pk for each in runs}:
        runs.insert(0, run)
    bench = Bench(run=run, runs=runs)
    if run is None:
        return bench
    spec = parse_spec(run.spec)
    bench.moments, bench.cards = moments_of(run), prompts_of(spec)
    bench.others = [moment for other in runs if other.pk != run.pk for moment in _newest(other)][:12]
    keys = [moment.key for moment in (*bench.moments, *bench.others)]
    start = Moment(run=run, step=START).key
    left, step = str(data.get("left") or ""), str(data.get("step") or "")
    of_step = next((moment.key for moment in bench.moments if str(moment.step) == step), keys[0])
    bench.left = left if left in keys else of_step
    right = str(data.get("right", start if keys[0] != start else ""))
    bench.right = right if right in keys else ""
    _fill(bench, data, _from_sample(run, data))
    return bench


def _runs(user: User, workspace: Workspace) -> list[Run]:
    mine = runs_visible_to(user).filter(experiment__workspace=workspace).defer("traceback")
    return [run for run in mine.exclude(status="queued")[:MAX_RUNS] if _is_readable(run)]


def _is_readable(run: Run) -> bool:
    """A spec of an older version may no longer be."""
    try:
        parse_spec(run.spec)
    except SpecError:
        return False
    return True


def _chosen_run(user: User, runs: Sequence[Run], data: QueryDict | Mapping[str, Any]) -> Run | None:
    wanted = str(data.get("run") or "")
    if not _is_uuid(wanted):
        return next(iter(runs), None)
    run = run_for(user, wanted)
    if not _is_readable(run):
        raise Http404("The spec of this run is of an older version, so its weights cannot be loaded.")
    return run


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True


def _newest(run: Run) -> list[Moment]:
    return moments_of(run)[:1]


def _from_sample(run: Run, data: QueryDict | Mapping[str, Any]) -> Filled | None:
    """What a turn of a sample was asked; the first turn that was asked something by name where none is given."""
    seq, turn = str(data.get("sample") or ""), str(data.get("turn") or "")
    if not (seq.isascii() and seq.isdigit() and len(seq) < 19):
        return None
    told = sample_event(run, int(seq)).data
    spec = parse_spec(run.spec)
    if turn.isascii() and turn.isdigit() and int(turn) < len(told["turns"]):
        return asked_in(spec, told, int(turn))
    asked = (asked_in(spec, told, index) for index in range(len(told["turns"])))
    return next((each for each in asked if each.name and any(each.values.values())), None)


def _fill(bench: Bench, data: QueryDict | Mapping[str, Any], filled: Filled | None) -> None:
    names = [card.name for card in bench.cards]
    prefers = "solve" if "solve" in names else next(iter(names), FREE)
    bench.prompt = str(data.get("prompt", prefers))
    if bench.prompt not in names:
        bench.prompt = FREE
    bench.text = str(data.get("text") or "")
    for name in {each for card in bench.cards for each in card.fields}:
        bench.values[name] = str(data.get(f"value_{name}") or "")
    if filled is not None:
        bench.prompt, bench.text = filled.name, filled.text
        bench.values |= filled.values
    for name, (least, most) in LIMITS.items():
        bench.numbers[name] = _number(data.get(name), _NUMBERS[name], least, most)
    bench.logprobs = bool(data.get("logprobs"))


def _number(text: Any, default: float, least: float, most: float) -> float:
    try:
        value = float(str(text))
    except ValueError:
        return default
    return min(max(value, least), most) if isfinite(value) else default


def say_job(user: User, bench: Bench) -> SayJob:
    """The job the form asks for; raises ``ValueError`` with a sentence for the person."""
    if bench.run is None:
        raise ValueError("Choose a run whose weights are to speak.")
    speakers = []
    for key in (bench.left, bench.right):
        if not key:
            continue
        run_id, step, policy = read_key(key)
        moment = moment_of(run_for(user, run_id), step, policy)
        if moment.run.experiment.workspace_id != bench.run.experiment.workspace_id:
            raise ValueError("Both speakers belong to one workspace.")
        speakers.append(moment.weights().model_dump(mode="json"))
    numbers = bench.numbers
    sampling = {"temperature": numbers["temperature"], "top_p": numbers["top_p"]}
    card = bench.card
    prompt: dict[str, Any] = {"text": bench.text}
    if card is not None:
        prompt = {"name": card.name, "values": {name: bench.values.get(name, "") for name in card.fields}}
        if card.name == "move" and not any(prompt["values"].values()):
            raise ValueError("Describe the position, or open the playground from a game of the run.")
    job = parse_job(
        "say",
        {
            "speakers": speakers,
            "prompt": prompt,
            "sampling": {**sampling, "max_tokens": int(numbers["max_tokens"])},
            "seed": int(numbers["seed"]),
            "logprobs": bench.logprobs,
        },
    )
    assert isinstance(job, SayJob)
    return job


# Answers


@dataclass(frozen=True, kw_only=True)
class Token:
    """``Token(text="3", heat="4", words="3: 93 %")``; heat from "0", unlikely, to "4", nearly certain."""

    text: str
    heat: str
    words: str


@dataclass(frozen=True, kw_only=True)
class Column:
    """What one speaker answered."""

    name: str
    prompt: str
    pieces: list[Piece]
    tokens: list[Token]
    num_tokens: int
    logprob: float
    seconds: float
    ended: bool


def columns(job: Job) -> list[Column]:
    """The answers of a job side by side; words that only one of two has are marked."""
    answers = (job.result or {}).get("answers", [])
    texts = [answer["completions"][0]["text"] for answer in answers]
    pieces = list(difference(*texts)) if len(texts) == 2 else [[Piece(text=text, differs=False)] for text in texts]
    return [_column(answer, own) for answer, own in zip(answers, pieces, strict=True)]


def _column(answer: Mapping[str, Any], pieces: list[Piece]) -> Column:
    said = answer["completions"][0]
    return Column(
        name=answer["name"],
        prompt=answer["prompt"],
        pieces=pieces,
        tokens=[_token(word, logprob) for word, logprob in said.get("tokens", [])],
        num_tokens=said["num_tokens"],
        logprob=said["logprob"] or 0.0,
        seconds=answer["seconds"],
        ended=said["ended"],
    )


def _token(word: str, logprob: float | None) -> Token:
    chance = 0.0 if logprob is None else min(1.0, exp(logprob))
    heat = sum(chance >= limit for limit in (0.01, 0.1, 0.5, 0.9))
    return Token(text=word, heat=str(heat), words=f"{word}: {chance:.1%}")
