"""The loop of a run: step → events → evaluate → checkpoint, with pause, stop and resume between steps."""

import random
import resource
import traceback
from collections.abc import Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from transformers.utils.logging import disable_progress_bar

from training_core import checkpoints
from training_core.assembly import assemble, device_of
from training_core.commands import Commands
from training_core.curricula.registry import find_curriculum
from training_core.distributed.lifeline import RankFailure, tell
from training_core.distributed.parallel import Alone, Parallel
from training_core.distributed.torch_parallel import is_lost_peer
from training_core.failures import Diverged, JudgeUnreliable, failure_of
from training_core.learn.logprobs import Text
from training_core.learn.rehearsal import rehearsal_texts
from training_core.machine import MachineMeter
from training_core.memory import set_up_memory
from training_core.orders import Orders
from training_core.play.play import Play
from training_core.play.records import StepBatch
from training_core.play.requests import derive_seed
from training_core.play.scheduler import run as play_out
from training_core.policies.load import ModelError
from training_core.policies.models_dir import default_models_dir
from training_core.policies.snapshots import carry_out
from training_core.provenance import provenance
from training_core.reporting import Listener, Reporter
from training_core.rollouts import Played, Rollouts
from training_core.run_folder import read_events
from training_core.spec.events import EventKind, RunPhase
from training_core.spec.experiment import ExperimentSpec
from training_core.spec.holds import held_steps
from training_core.spec.io import FieldError, SpecError, dump_yaml, load_file
from training_core.spec.trained import TrainedSpec
from training_core.stopwatch import Stopwatch
from training_core.token_files import TokenFiles

MAX_SKIPPED_IN_A_ROW = 5
_ALONE = Alone()


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
        parallel: Parallel = _ALONE,
    ) -> None:
        self.spec = spec
        self.folder = Path(folder)
        self._models_dir = Path(models_dir) if models_dir else default_models_dir()
        self._listener = listener
        self._parallel = parallel
        self._speaks = parallel.rank == 0
        self._watch = Stopwatch()
        self._machine = MachineMeter(self.folder)
        self._step = 0
        self._num_tokens = 0
        """Tokens sampled for training."""
        self._begins = True
        """Whether there is nothing in the folder to go on from."""
        self._totals = {"tokens/sampled_total": 0, "questions/asked_total": 0}
        """What the steps so far have come to; what curves may be drawn along."""

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
        """Run to the end, or until a command, SIGTERM or Ctrl-C asks to stop; returns how it ended.

        The run's own failures are told by its last event and never raised. A second Ctrl-C is: it breaks off at once.
        """
        if self._speaks:
            self.folder.mkdir(parents=True, exist_ok=True)
            (self.folder / "spec.yaml").write_text(dump_yaml(self.spec), encoding="utf-8")
        self._report = Reporter(self.folder, self._listener, speaks=self._speaks)
        self._orders = Orders(self.spec, self.folder, parallel=self._parallel)
        self._commands = Commands(self.folder, max_hours=self.spec.resources.max_hours, parallel=self._parallel)
        try:
            with self._commands.signals(), ExitStack() as open_parts:
                self._prepare(open_parts, resume=resume)
                phase, text = self._loop()
            self._report.state(phase, text)
        except KeyboardInterrupt:
            self._report.state(RunPhase.STOPPED, "Broken off. To resume goes on from the newest checkpoint.")
            raise
        except Exception as error:
            phase = RunPhase.FAILED
            self._tell(error)
        finally:
            self._commands.clear()
            self._report.log.close()
        return phase

    def _tell(self, error: Exception) -> None:
        """Say why the run failed: by its last event, and with several processes to their launcher, who hears what befell the
        others and has the last word where this process only lost one of them."""
        kind, sentence = failure_of(error)
        trace = traceback.format_exc() if kind == "crash" else None
        if self._parallel.size > 1:
            if is_lost_peer(error):
                return
            tell(self.folder, RankFailure(rank=self._parallel.rank, kind=kind, text=sentence, traceback=trace))
        self._report.state(RunPhase.FAILED, sentence, failure=kind, traceback=trace)

    # Preparation

    def _prepare(self, open_parts: ExitStack, *, resume: bool) -> None:
        """Load everything, or put it back as the newest checkpoint has it; what must be closed goes onto ``open_parts``."""
        self._check_processes()
        newest = checkpoints.newest(self.folder / "checkpoints") if resume and self._speaks else None
        own = self._parallel.broadcast(newest)
        start = None if own else self._checkpoint_of_start()
        goes_on = self.spec.start is not None and self.spec.start.what == "everything"
        found = own or (start if goes_on else None)
        state: dict[str, Any] | None = own.state() if own else None
        self._report.log.cut_back(seq=state["seq"] if state else 0, offset=state["offset"] if state else 0)
        self._report.step = self._step = found.step if found else 0
        self._tokens = TokenFiles(self.folder, keep=self.spec.recording.token_steps if self._speaks else 0)
        if self._speaks:
            self._tokens.cut_back(step=self._step)
        if own:
            self._report.checkpoint(own)
        self._report.state(RunPhase.PREPARING, "Loading the model", fraction=0.0)
        facts = provenance()
        words = f"Kumite {facts['kumite']} (code {facts['code'][:12]}), torch {facts['torch']}, on {facts['cpu']}"
        self._report.note("info", words, facts=facts)
        torch.set_num_threads(self.spec.resources.threads)
        set_up_memory()
        disable_progress_bar()  # the run tells its own progress
        parts = assemble(
            self.spec,
            models_dir=self._models_dir,
            device=device_of(self.spec),
            parallel=self._parallel,
            progress=lambda fraction, text: self._report.state(RunPhase.PREPARING, text, fraction=fraction),
            weights=None if goes_on else start,
        )
        open_parts.callback(parts.engine.close)
        self._domain, self._roster, self._method = parts.domain, parts.roster, parts.method
        self._engine, self._learner = parts.engine, parts.learner
        self._orders.serve(self._method, self._learner)
        self._orders.book.begin(resume=resume, obeyed=state["orders"]["obeyed"] if state and "orders" in state else ())
        self._token_text = cache(self._roster.first.token_text)
        self._rollouts = Rollouts(self._method, self._engine, lambda step: self._table("step", step))
        open_parts.callback(self._rollouts.close)
        if found:
            self._restore(found, is_own=own is not None)
        if own:
            self._report.note("info", f"Resumed from the checkpoint of step {own.step}")
        elif start and self.spec.start:
            taken = "Goes on" if goes_on else "Begins with the weights"
            self._report.note("info", f"{taken} from step {start.step} of run {self.spec.start.run}")
        self._begins = own is None
        self._report.state(RunPhase.RUNNING, "Playing")

    def _checkpoint_of_start(self) -> checkpoints.Checkpoint | None:
        """The checkpoint that ``start`` names, in the folder of that run beside this one. Raises ``ModelError``."""
        start = self.spec.start
        if start is None:
            return None
        folder = self.folder.resolve().parent / start.run
        found = self._parallel.broadcast(checkpoints.of_run(folder, start.step) if self._speaks else None)
        if found is None:
            raise ModelError(
                f"The checkpoint of step {start.step} of the run {start.run} is not on this machine; it may have been deleted "
                "to make room. Start from a checkpoint that is kept."
            )
        return found

    def _check_processes(self) -> None:
        asked, started = self.spec.resources.num_processes, self._parallel.size
        if asked != started:
            message = (
                f"the spec asks for {asked} process{'es' if asked > 1 else ''}, but {started} took part; "
                "`python -m training_core run` starts as many as are asked for"
            )
            raise SpecError([FieldError(path="resources", message=message)])

    def _restore(self, found: checkpoints.Checkpoint, *, is_own: bool) -> None:
        state = checkpoints.restore(
            found,
            policies=self._roster.trained,
            optimizers=self._learner.optimizers,
            snapshots=self._roster.snapshots,
            parallel=self._parallel,
        )
        if "orders" in state:
            # Orders to the run that this one left are in its spec, as far as they are meant to go on.
            self._orders.restore(state["orders"] if is_own else {**state["orders"], "knobs": {}})
            self.spec = self._orders.spec
        self._num_tokens = state.get("num_tokens", 0) if is_own else 0  # checkpoints of 0.3 do not count
        self._method.load_state_dict(state["method"])
        self._learner.load_state_dict(state["learner"])
        self._totals |= state.get("totals", {})
        if state["pending"] is not None:
            self._rollouts.pending = Played.from_json(state["pending"])
        self._engine.publish(self._step, blended=self._roster.snapshots)

    # The loop

    def _loop(self) -> tuple[RunPhase, str]:
        self._commands.playing = True
        if self._begins:
            self._evaluate()
        while self._step < self.spec.steps and not self._is_spent:
            self._heed_commands()
            if self._commands.ending:
                self._save()
                return self._commands.ending
            self._obey_orders()
            self._report.step = self._step = self._step + 1
            self._one_step()
            last = self._step == self.spec.steps or self._is_spent
            if last or self._step % self.spec.evaluation.every == 0:
                self._evaluate()
            if last or self._commands.wants_checkpoint or self._step % self.spec.checkpoint.every == 0:
                self._save()
        if self._step < self.spec.steps:
            return (
                RunPhase.SUCCEEDED,
                f"Sampled {self._num_tokens:,} tokens, all it may, by step {self._step} of {self.spec.steps}.",
            )
        return RunPhase.SUCCEEDED, f"Finished all {self.spec.steps} steps."

    @property
    def _is_spent(self) -> bool:
        """Whether the budget of tokens is used up."""
        budget = self.spec.resources.max_tokens
        return budget is not None and self._num_tokens >= budget

    def _one_step(self) -> None:
        """Roll out, update, blend, publish. Ahead, the next rollout runs beside the update, with the weights published before it."""
        played = self._rollouts.take(self._step)
        self._num_tokens += played.num_tokens
        lessons = self._lessons()
        corrections, changes = self._orders.take_corrections()
        if self.spec.learner.ahead and self._step < self.spec.steps:
            self._rollouts.begin(self._step + 1)
        else:
            self._engine.sleep()
        order = random.Random(derive_seed(self.spec.seed, self._step, "order"))
        torch.manual_seed(derive_seed(self.spec.seed, self._step, "torch"))
        with self._watch("update"):
            learnt = self._learner.update(played.batch, lessons, rng=order, corrections=corrections)
        if self.spec.learner.ahead:
            with self._watch("wait"):
                self._rollouts.settle()
        with self._watch("publish"):
            blended = carry_out(played.batch.blends, self._roster.policies, moving=self._roster.moving, metrics=learnt)
            self._engine.publish(self._step, blended=blended)
        self._check_divergence()
        self._orders.window.remember(self._step, played.batch)
        for change in changes:
            self._report.change(change)
        learnt |= _corrected(corrections)
        self._report.metrics(self._step_metrics(played, learnt))
        self._tell_tokens(played)
        self._report.samples(played.batch.samples, limit=self.spec.recording.samples_per_step)

    def _tell_tokens(self, played: Played) -> None:
        """Write what the update saw of each token, and forget it: what is remembered of a batch goes into checkpoints."""
        self._tokens.write(self._step, played.batch, self._token_text)
        for rollout in played.batch.rollouts:
            rollout.learner_logprobs = ()

    def _evaluate(self) -> None:
        """Measure the weights as they are now; a rollout that was begun ahead is over by then."""
        with self._watch("evaluate"):
            # The same requests and seeds every time: differences between evaluations are differences of the weights.
            found = play_out(self._method.evaluate(self._table("evaluate", 0)), self._engine)
        self._engine.watch.take()
        self._engine.health.take()
        self._report.evaluation(found)
        scores = {f"eval/{name}": value for name, value in found.scores.items()}
        took, began = self._watch.take()["evaluate"], self._watch.take_beginnings()["evaluate"]
        self._report.metrics({**scores, **found.metrics, "time/evaluate_s": took, "time/evaluate_at_s": began})
        if found.stop_reason:
            raise JudgeUnreliable(found.stop_reason)

    def _step_metrics(self, played: Played, learnt: dict[str, float]) -> dict[str, float]:
        seconds = {**played.seconds, **self._watch.take()}
        metrics = {**learnt, **played.batch.metrics, **played.health}
        metrics |= {f"time/{part}_s": value for part, value in seconds.items()}
        beginnings = {**self._watch.take_beginnings(), "rollout": played.began_at}
        metrics |= {f"time/{part}_at_s": at for part, at in beginnings.items()}
        metrics |= {f"tokens/share_{role}": share for role, share in played.token_shares.items()}
        if played.num_tokens:  # a step may play on with what was written before
            metrics["tokens/sampled_per_s"] = played.num_tokens / seconds["rollout"]
        metrics["tokens/trained_per_s"] = metrics.pop("tokens/trained", 0.0) / seconds["update"]
        own_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        metrics |= self._parallel.all_sum({"machine/peak_memory_mib": own_mib})
        metrics |= self._machine.read()
        self._totals["tokens/sampled_total"] += played.num_tokens
        self._totals["questions/asked_total"] += len({sample.title for sample in played.batch.samples})
        metrics |= self._totals
        if played.batch.rollouts:
            metrics["staleness/mean"] = fmean(
                self._step - 1 - rollout.completion.version for rollout in played.batch.rollouts
            )
        return metrics

    def _check_divergence(self) -> None:
        if self._learner.num_skipped_in_a_row >= MAX_SKIPPED_IN_A_ROW:
            raise Diverged(
                f"The gradient was not a finite number {MAX_SKIPPED_IN_A_ROW} times in a row. Lower the step size "
                "(method.optimizer.lr) and start from the last checkpoint."
            )

    def _table(self, stream: str, step: int) -> Play:
        assert isinstance(self.spec.method, TrainedSpec)
        return Play(
            policies=self._roster.policy_of,
            sampling=self.spec.method.sampling,
            seed=self.spec.seed,
            step=step,
            stream=stream,
        )

    def _lessons(self) -> list[Text]:
        assert isinstance(self.spec.method, TrainedSpec)
        rng = random.Random(derive_seed(self.spec.seed, self._step, "lessons"))
        taught = find_curriculum(self._method.curriculum_on(self.spec.task.kind))
        return rehearsal_texts(self.spec.method.rehearsal, taught, self._domain, self._roster.first, rng)

    # Commands and checkpoints

    def _heed_commands(self) -> None:
        self._commands.read()
        if self._commands.wants_checkpoint and not self._commands.ending:
            self._save()

    def _obey_orders(self) -> None:
        """Do what people asked since the last step; a run that is about to end leaves it to the process that goes on."""
        for change in self._orders.obey(self._step, self._commands.orders):
            self._report.change(change)
        self.spec = self._orders.spec

    def _save(self) -> None:
        """Write a checkpoint of this step, unless there is one."""
        if self._step == 0:
            return
        self._commands.wants_checkpoint = False
        self._report.log.sync()
        folder = self.folder / "checkpoints"
        path = folder / f"{checkpoints.PREFIX}{self._step:06d}"
        if self._parallel.broadcast(self._speaks and checkpoints.verify(path) is not None):
            return
        pending = self._rollouts.pending
        saved = checkpoints.save(
            folder,
            self._step,
            policies=self._roster.trained,
            optimizers=self._learner.optimizers,
            snapshots=self._roster.snapshots,
            state={
                "step": self._step,
                "num_tokens": self._num_tokens,
                "seq": self._report.log.seq,
                "offset": self._report.log.offset,
                "method": self._method.state_dict(),
                "learner": self._learner.state_dict(),
                "totals": self._totals,
                "orders": self._orders.state(),
                "pending": pending.to_json() if pending else None,
            },
            parallel=self._parallel,
            sharded=self.spec.checkpoint.format == "sharded",
        )
        self._report.checkpoint(saved)
        if self._speaks:
            checkpoints.tidy(folder, keep=self.spec.checkpoint.keep, held=held_steps(self.folder))


def _corrected(corrections: StepBatch) -> dict[str, float]:
    """What an update learnt once more, where it did."""
    found: dict[str, float] = {}
    if rollouts := corrections.rollouts:
        found["overrule/rollouts"] = float(len(rollouts))
        found["overrule/advantage"] = fmean(abs(rollout.advantage) for rollout in rollouts)
    if corrections.pairs:
        found["overrule/pairs"] = float(len(corrections.pairs))
    return found
