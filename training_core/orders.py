"""Carrying out what people ask of a run between its steps, and remembering what was done.

Every order is written to ``orders.jsonl`` before it is obeyed, with the step it came after. A process that resumes from a
checkpoint finds there what the process before it obeyed since, and obeys it again at the very same steps; so a resumed run
equals one that was never broken off.
"""

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training_core.distributed.parallel import Alone, Parallel
from training_core.learn.learner import Learner
from training_core.learn.window import Correction, Window
from training_core.methods.base import SelfPlay
from training_core.play.records import StepBatch
from training_core.spec.events import ChangeData
from training_core.spec.experiment import ExperimentSpec
from training_core.spec.io import SpecError, dump_dict
from training_core.spec.live import turned, value_at, with_values
from training_core.spec.orders import ORDER, ChangePool, Order, OrderRefused, Overrule, TurnKnob
from training_core.spec.trained import TrainedSpec

_ALONE = Alone()


class OrderBook:
    """Which orders came when: all that were ever obeyed in a run's folder, and those that this run has obeyed by now."""

    def __init__(self, folder: Path, *, parallel: Parallel = _ALONE) -> None:
        self._path = folder / "orders.jsonl"
        self._parallel = parallel
        self._obeyed: set[int] = set()
        self._to_repeat: list[tuple[int, Order]] = []
        self._known: set[int] = set()
        self._held: dict[int, Order] = {}

    def begin(self, *, resume: bool, obeyed: Iterable[int]) -> None:
        """Start, or go on from a checkpoint at which these orders had been obeyed."""
        self._obeyed = set(obeyed)
        entries = _read(self._path) if resume and self._parallel.rank == 0 else []
        if not resume and self._parallel.rank == 0:
            self._path.unlink(missing_ok=True)
        entries = self._parallel.broadcast(entries)
        self._known = {order.id for _, order in entries} | self._obeyed
        self._to_repeat = [(step, order) for step, order in entries if order.id not in self._obeyed]

    def due(self, step: int, new: Iterable[Order]) -> list[Order]:
        """The orders to obey after ``step``: those that were obeyed here before, then new ones. They count as obeyed from now.

        New ones wait until the last one of before has come again: whoever turns a knob twice means the second turn.
        """
        due = [order for at, order in self._to_repeat if at <= step]
        self._to_repeat = [(at, order) for at, order in self._to_repeat if at > step]
        for order in new:
            if order.id not in self._known:
                self._held.setdefault(order.id, order)
        if not self._to_repeat:
            for order in self._held.values():
                self._write(step, order)
                due.append(order)
            self._known |= self._held.keys()
            self._held = {}
        self._obeyed |= {order.id for order in due}
        return due

    def state(self) -> list[int]:
        return sorted(self._obeyed)

    def _write(self, step: int, order: Order) -> None:
        if self._parallel.rank != 0:
            return
        line = json.dumps({"step": step, "order": order.model_dump(mode="json")}, ensure_ascii=False)
        with self._path.open("ab") as file:
            file.write(line.encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())


@dataclass(kw_only=True)
class _Waiting:
    """An overruled verdict that the next update learns from."""

    change: ChangeData
    learns: Correction


class Orders:
    """Obeys orders: turns knobs of the spec, changes the pool, corrects rewards of steps that are still kept."""

    def __init__(self, spec: ExperimentSpec, folder: Path, *, parallel: Parallel = _ALONE) -> None:
        self.spec = spec
        """The spec in force: the run's own, and what people changed since."""
        self.window = Window(spec.learner.overrule_window)
        self.book = OrderBook(folder, parallel=parallel)
        self._method: SelfPlay
        self._learner: Learner
        self._knobs: dict[str, Any] = {}
        self._waiting: list[_Waiting] = []

    def serve(self, method: SelfPlay, learner: Learner) -> None:
        """These parts are meant from now on."""
        self._method, self._learner = method, learner
        if type(method).why_uncorrectable(self.spec):
            self.window = Window(0)  # nobody can correct anything, so nothing need be kept

    def obey(self, step: int, new: Iterable[Order]) -> list[ChangeData]:
        """Obey what is due after ``step``; returns what can be told at once. Overruled verdicts are told after the update."""
        told = []
        for order in self.book.due(step, new):
            try:
                change = self._obey(order, step)
            except OrderRefused as refusal:
                change = _refused(order, str(refusal))
            except SpecError as error:
                change = _refused(order, "; ".join(found.message for found in error.errors) + ".")
            if change is not None:
                told.append(change)
        return told

    def take_corrections(self) -> tuple[StepBatch, list[ChangeData]]:
        """What the update that comes next learns once more, and what to tell when it has."""
        waiting, self._waiting = self._waiting, []
        rollouts = [rollout for each in waiting for rollout in each.learns.rollouts]
        pairs = [pair for each in waiting for pair in each.learns.pairs]
        return StepBatch(rollouts=rollouts, pairs=pairs), [each.change for each in waiting]

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps, as JSON values."""
        return {"obeyed": self.book.state(), "knobs": self._knobs, "window": self.window.state()}

    def restore(self, state: dict[str, Any]) -> None:
        """Put back what ``state`` returned; the parts must be the ones served."""
        self._knobs = dict(state["knobs"])
        self.window.restore(state["window"])
        if self._knobs:
            self._put_in_force(with_values(self.spec, self._knobs.items()))

    def _obey(self, order: Order, step: int) -> ChangeData | None:
        match order:
            case Overrule():
                return self._overrule(order, step)
            case TurnKnob():
                return self._turn(order, step)
            case ChangePool():
                return self._change_pool(order, step)

    def _overrule(self, order: Overrule, step: int) -> ChangeData | None:
        if reason := type(self._method).why_uncorrectable(self.spec):
            raise OrderRefused(reason)
        found = self.window.overrule(
            getattr(self.spec.method, "advantage", None),
            self._method.correct,
            episode=order.episode,
            turn=order.turn,
            value=order.value,
            prefer=self._method.choices,
        )
        if found is None:
            kept = self.spec.learner.overrule_window
            raise OrderRefused(
                f"The rollouts of this step are no longer kept (learner.overrule_window is {kept}), so no update learns from it."
            )
        change = ChangeData(
            order=order.id,
            command="overrule",
            by=order.by,
            what=_what(order),
            before=found.before,
            after=found.after,
            obeyed=True,
            update=step + 1 if found else None,
            text=_overruled(found, step + 1),
            episode=order.episode,
            turn=order.turn,
        )
        if not found:
            return change
        self._waiting.append(_Waiting(change=change, learns=found))
        return None

    def _turn(self, order: TurnKnob, step: int) -> ChangeData:
        before = value_at(dump_dict(self.spec), order.path)
        spec = turned(self.spec, order.path, order.value)
        self._put_in_force(spec)
        after = value_at(dump_dict(spec), order.path)
        self._knobs[order.path] = after
        return ChangeData(
            order=order.id,
            command="knob",
            by=order.by,
            what=_what(order),
            before=before,
            after=after,
            obeyed=True,
            update=step + 1,
            text=f"{order.path} went from {_shown(before)} to {_shown(after)}, from step {step + 1} on.",
        )

    def _put_in_force(self, spec: ExperimentSpec) -> None:
        assert isinstance(spec.method, TrainedSpec)
        self._learner.retune(spec.method)
        self._method.retune(spec)
        self.spec = spec

    def _change_pool(self, order: ChangePool, step: int) -> ChangeData:
        if order.action == "add":
            self._method.add_question(order.question, order.answer, step=step)
            before, after, text = False, True, "The question is in the pool."
        else:
            number = self._method.remove_question(order.question)
            before, after = number > 0, False
            text = "The question is out of the pool for good." if number else "The question will not enter the pool."
        return ChangeData(
            order=order.id,
            command="question",
            by=order.by,
            what=_what(order),
            before=before,
            after=after,
            obeyed=True,
            update=step + 1,
            text=text,
        )


def _refused(order: Order, reason: str) -> ChangeData:
    named = order if isinstance(order, Overrule) else None
    return ChangeData(
        order=order.id,
        command=order.command,
        by=order.by,
        what=_what(order),
        before=None,
        after=None,
        obeyed=False,
        text=reason,
        episode=named.episode if named else None,
        turn=named.turn if named else None,
    )


def _what(order: Order) -> str:
    match order:
        case Overrule():
            return f"turn {order.turn} of {order.episode}"
        case TurnKnob():
            return order.path
        case ChangePool():
            return order.question


def _overruled(found: Correction, update: int) -> str:
    before, after = found.before, found.after
    if not found and before == after:
        return "The reward is what it was, so there is nothing to learn anew."
    if not found:
        return "No pair and no reward that was learnt from depends on it, so there is nothing to learn anew."
    if found.pairs:
        learnt = sum(pair.correction == 1 for pair in found.pairs)
        away = len(found.pairs) - learnt
        return (
            f"The verdict went from {_shown(before)} to {_shown(after)}: {learnt} pair{'s' * (learnt != 1)} learnt and {away} learnt "
            f"away in the update of step {update}."
        )
    if before == after:
        return f"The turn itself is not learnt from; what hangs on it reached the update of step {update}."
    return f"The reward went from {_shown(before)} to {_shown(after)} and reached the update of step {update}."


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _read(path: Path) -> list[tuple[int, Order]]:
    """Whole lines only: a process may have been killed in the middle of one, before it obeyed."""
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return []
    entries = []
    for line in text[: text.rfind(b"\n") + 1].splitlines():
        entry = json.loads(line)
        entries.append((int(entry["step"]), ORDER.validate_python(entry["order"])))
    return entries
