"""The loop of a run: step → events → evaluate → checkpoint, with pause, stop and resume between steps."""

import random
import resource
import signal
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from transformers.utils.logging import disable_progress_bar

from training_core import checkpoints
from training_core.engines.transformers import TransformersEngine
from training_core.failures import Diverged, JudgeUnreliable, failure_of
from training_core.learn.learner import Learner
from training_core.learn.logprobs import Text
from training_core.methods.base import SelfPlay
from training_core.methods.registry import find_method
from training_core.play.play import Play
from training_core.play.prompts import prompts_for
from training_core.play.records import StepBatch
from training_core.play.requests import derive_seed
from training_core.play.scheduler import run as play_out
from training_core.policies.load import ModelError, load_policy
from training_core.policies.loaded import LoadedPolicy, start_copy
from training_core.policies.models_dir import default_models_dir
from training_core.run_folder import Control, EventLog, read_events
from training_core.spec.events import (
    CheckpointData,
    EvaluationData,
    EventKind,
    LogData,
    MetricData,
    RunPhase,
    SampleData,
    StateData,
)
from training_core.spec.experiment import ExperimentSpec
from training_core.spec.io import dump_yaml, load_file
from training_core.spec.online import OnlineSpec
from training_core.tasks.lessons import lesson
from training_core.tasks.registry import make_domain

Listener = Callable[[dict[str, Any]], None]

MAX_SKIPPED_IN_A_ROW = 5


class Run:
    """One run of an experiment in a folder of its own.

    >>> run = Run(ExperimentSpec(method={"name": "mae"}, steps=20), "runs/first")  # doctest: +SKIP
    >>> run.execute()  # doctest: +SKIP
    <RunPhase.SUCCEEDED: 'succeeded'>

    ``listener`` is called with every event as it is written. Equal spec and seed on one kind of machine give equal weights and,
    but for clock times, equal events; so does any mixture of stopping, killing and resuming.
    """

    def __init__(
        self,
        spec: ExperimentSpec,
        folder: str | Path,
        *,
        models_dir: str | Path | None = None,
        listener: Listener | None = None,
    ) -> None:
        self.spec = spec
        self.folder = Path(folder)
        self._models_dir = Path(models_dir) if models_dir else default_models_dir()
        self._listener = listener
        self._step = 0
        self._ending: tuple[RunPhase, str] | None = None
        self._wants_checkpoint = False
        self._started_at = time.monotonic()

    @classmethod
    def from_yaml(cls, path: str | Path, folder: str | Path, **options: Any) -> "Run":
        """A run of the spec in a YAML file; raises ``SpecError`` when it cannot be used."""
        return cls(load_file(Path(path)), folder, **options)

    def events(self, kind: EventKind | None = None) -> Iterator[dict[str, Any]]:
        """Events in the folder, oldest first, of one kind if given."""
        return (event for event in read_events(self.folder) if kind is None or event["kind"] == kind)

    def series(self, metric: str) -> list[tuple[int, float]]:
        """``(step, value)`` of one metric, oldest first."""
        return [
            (event["step"], event["data"]["values"][metric])
            for event in self.events(EventKind.METRIC)
            if metric in event["data"]["values"]
        ]

    def execute(self, *, resume: bool = False) -> RunPhase:
        """Run to the end, or until a command or SIGTERM asks to stop; returns how it ended and never raises for the run's own failures."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "spec.yaml").write_text(dump_yaml(self.spec), encoding="utf-8")
        self._log = EventLog(self.folder)
        self._control = Control(self.folder)
        previous = _on_sigterm(lambda: self._end(RunPhase.STOPPED, "Stopped by the system."))
        try:
            phase, text = self._run(resume=resume)
            self._state(phase, text)
        except Exception as error:
            phase = RunPhase.FAILED
            kind, sentence = failure_of(error)
            trace = traceback.format_exc() if kind == "crash" else None
            self._event(EventKind.STATE, StateData(phase=phase, text=sentence, failure=kind, traceback=trace))
        finally:
            self._control.clear()
            self._log.close()
            _restore_sigterm(previous)
        return phase

    # Preparation

    def _run(self, *, resume: bool) -> tuple[RunPhase, str]:
        found = checkpoints.newest(self.folder / "checkpoints") if resume else None
        state: dict[str, Any] | None = found.state() if found else None
        self._log.cut_back(seq=state["seq"] if state else 0, offset=state["offset"] if state else 0)
        self._step = found.step if found else 0
        if found:
            self._checkpoint_event(found)
        self._state(RunPhase.PREPARING, "Loading the model", fraction=0.0)
        torch.set_num_threads(self.spec.resources.threads)
        torch.manual_seed(derive_seed(self.spec.seed, "torch"))
        self._load()
        if found:
            restored = checkpoints.restore(found, policy=self._main, optimizer=self._learner.optimizers["main"])
            self._method.load_state_dict(restored["method"])
            self._note("info", f"Resumed from the checkpoint of step {found.step}")
        if self.spec.resources.num_gpus > 1:
            idle = self.spec.resources.num_gpus - 1
            self._note("warning", f"This version computes on one GPU; {idle} of those the run holds stay idle")
        self._state(RunPhase.RUNNING, "Playing")
        return self._loop(fresh=found is None)

    def _load(self) -> None:
        disable_progress_bar()  # the run tells its own progress
        spec, device = self.spec, _device(self.spec.resources.device)
        method_class = find_method(spec.method.name)
        assert isinstance(spec.method, OnlineSpec)
        self._domain = make_domain(spec.task)
        self._main = load_policy(
            spec.model,
            task=spec.task,
            models_dir=self._models_dir,
            device=device,
            progress=lambda fraction, text: self._state(RunPhase.PREPARING, text, fraction=fraction),
        )
        if spec.method.rehearsal is not None and self._main.style != "starter":
            raise ModelError(
                f"{spec.model.source} does not speak the starter's language, which method.rehearsal needs."
            )
        roles = method_class.roles(spec.method)
        policies: dict[str, LoadedPolicy] = {"main": self._main}
        if spec.method.loss.kl_coef > 0 or any(role.policy == "start" for role in roles):
            policies["start"] = start_copy(self._main)
        self._policy_of = {role.name: role.policy for role in roles}
        self._engine = TransformersEngine(policies, max_batch=spec.engine.max_batch)
        self._learner = Learner(
            spec.method,
            spec.learner,
            {"main": self._main},
            policy_of=self._policy_of,
            reference=policies.get("start"),
        )
        self._method: SelfPlay = method_class(spec, self._domain, prompts_for(method_class.slug, self._main.style))

    # The loop

    def _loop(self, *, fresh: bool) -> tuple[RunPhase, str]:
        if fresh:
            self._evaluate()
        while self._step < self.spec.steps:
            self._heed_commands()
            if self._ending:
                return self._leave(*self._ending)
            self._step += 1
            self._one_step()
            last = self._step == self.spec.steps
            if last or self._step % self.spec.evaluation.every == 0:
                self._evaluate()
            if last or self._wants_checkpoint or self._step % self.spec.checkpoint.every == 0:
                self._save()
        return RunPhase.SUCCEEDED, f"Finished all {self.spec.steps} steps."

    def _one_step(self) -> None:
        begin = time.perf_counter()
        play = self._play("step", self._step)
        batch: StepBatch = play_out(self._method.step(play), self._engine)
        rolled_out = time.perf_counter()
        order = list(range(len(batch.rollouts)))
        random.Random(derive_seed(self.spec.seed, self._step, "order")).shuffle(order)
        metrics = self._learner.update(batch.rollouts, self._lessons(), order=order)
        updated = time.perf_counter()
        self._watch_divergence()
        metrics |= batch.metrics
        metrics |= {
            "time/rollout_s": rolled_out - begin,
            "time/update_s": updated - rolled_out,
            "tokens/sampled_per_s": play.num_tokens / (rolled_out - begin),
            "tokens/trained_per_s": metrics.pop("tokens/trained", 0.0) / (updated - rolled_out),
            "machine/peak_memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        }
        self._metrics(metrics)
        for sample in _spread(batch.samples, self.spec.recording.samples_per_step):
            self._event(EventKind.SAMPLE, sample)

    def _evaluate(self) -> None:
        begin = time.perf_counter()
        # The same requests and seeds every time: differences between evaluations are differences of the weights.
        found = play_out(self._method.evaluate(self._play("evaluate", 0)), self._engine)
        self._event(
            EventKind.EVALUATION,
            EvaluationData(suite="held_out", num_items=found.num_items, scores=found.scores, items=found.items),
        )
        scores = {f"eval/{name}": value for name, value in found.scores.items()}
        self._metrics({**scores, **found.metrics, "time/evaluate_s": time.perf_counter() - begin})
        if found.stop_reason:
            raise JudgeUnreliable(found.stop_reason)

    def _lessons(self) -> list[Text]:
        assert isinstance(self.spec.method, OnlineSpec)
        rehearsal = self.spec.method.rehearsal
        if rehearsal is None:
            return []
        rng = random.Random(derive_seed(self.spec.seed, self._step, "lessons"))
        texts = []
        for _ in range(rehearsal.rows):
            judging = rng.random() < rehearsal.judge_share
            # Never "solve": those lessons are a careless pupil's, and answers are for self-play to improve.
            kind = rng.choice(("judge", "judge_stray", "review")) if judging else "propose"
            prompt, completion = lesson(self._domain, kind, rng)
            texts.append(Text(prompt_ids=self._main.encode(prompt), token_ids=self._main.encode(completion)))
        return texts

    def _watch_divergence(self) -> None:
        if self._learner.num_skipped_in_a_row >= MAX_SKIPPED_IN_A_ROW:
            raise Diverged(
                f"The gradient was not a finite number {MAX_SKIPPED_IN_A_ROW} times in a row. Lower the step size "
                "(method.optimizer.lr) and start from the last checkpoint."
            )

    def _play(self, stream: str, step: int) -> Play:
        assert isinstance(self.spec.method, OnlineSpec)
        return Play(
            policies=self._policy_of,
            sampling=self.spec.method.sampling,
            seed=self.spec.seed,
            step=step,
            stream=stream,
        )

    # Commands, checkpoints, events

    def _heed_commands(self) -> None:
        for command in self._control.new_commands():
            if command.command == "checkpoint":
                self._wants_checkpoint = True
            elif command.command == "pause":
                self._end(RunPhase.PAUSED, command.reason or "Paused.")
            else:
                self._end(RunPhase.STOPPED, command.reason or "Stopped on request.")
        limit = self.spec.resources.max_hours
        if limit is not None and time.monotonic() - self._started_at > limit * 3600:
            self._end(RunPhase.STOPPED, f"Reached the time limit of {limit:g} hours.")
        if self._wants_checkpoint and not self._ending and self._step > 0:
            self._save()

    def _end(self, phase: RunPhase, text: str) -> None:
        self._ending = self._ending or (phase, text)

    def _leave(self, phase: RunPhase, text: str) -> tuple[RunPhase, str]:
        if self._step > 0:
            self._save()
        return phase, text

    def _save(self) -> None:
        self._wants_checkpoint = False
        self._log.sync()
        folder = self.folder / "checkpoints"
        saved = checkpoints.verify(folder / f"{checkpoints.PREFIX}{self._step:06d}")
        if saved is not None:
            return
        saved = checkpoints.save(
            folder,
            self._step,
            policy=self._main,
            optimizer=self._learner.optimizers["main"],
            state={
                "step": self._step,
                "seq": self._log.seq,
                "offset": self._log.offset,
                "method": self._method.state_dict(),
            },
        )
        self._checkpoint_event(saved)
        checkpoints.tidy(folder, keep=self.spec.checkpoint.keep)

    def _checkpoint_event(self, saved: checkpoints.Checkpoint) -> None:
        path = str(saved.path.relative_to(self.folder))
        self._event(EventKind.CHECKPOINT, CheckpointData(path=path, num_bytes=saved.num_bytes, digest=saved.digest))

    def _metrics(self, values: dict[str, float]) -> None:
        self._event(EventKind.METRIC, MetricData(values={name: float(value) for name, value in sorted(values.items())}))

    def _state(self, phase: RunPhase, text: str, *, fraction: float | None = None) -> None:
        self._event(EventKind.STATE, StateData(phase=phase, text=text, fraction=fraction))

    def _note(self, level: Any, text: str) -> None:
        self._event(EventKind.LOG, LogData(level=level, text=text))

    def _event(self, kind: EventKind, data: Any) -> None:
        event = self._log.write(kind, self._step, data)
        if self._listener:
            self._listener(event)


def _device(wish: str) -> torch.device:
    if wish == "cuda" and not torch.cuda.is_available():
        raise ValueError("resources.device is cuda, but this machine has no usable GPU; choose auto or cpu")
    return torch.device("cuda" if wish != "cpu" and torch.cuda.is_available() else "cpu")


def _spread(samples: list[SampleData], limit: int) -> list[SampleData]:
    """At most ``limit`` samples, evenly over the list."""
    if len(samples) <= limit:
        return samples
    return [samples[place * len(samples) // limit] for place in range(limit)]


def _on_sigterm(callback: Callable[[], None]) -> Any:
    try:
        return signal.signal(signal.SIGTERM, lambda *_: callback())
    except ValueError:  # not in the main thread: whoever embeds the run handles signals
        return None


def _restore_sigterm(previous: Any) -> None:
    if previous is not None:
        signal.signal(signal.SIGTERM, previous)
