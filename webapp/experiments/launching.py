"""What a launch makes of one form: seeds, and a sweep over a few knobs."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from training_core.spec.experiment import ExperimentSpec
from training_core.spec.forms import FieldKind, FormField, form_of, value_at
from training_core.spec.io import SpecError, dump_dict
from training_core.spec.sweep import MAX_KNOBS, Knob, PlannedRun, plan_runs, read_seeds, read_values

_SWEEPABLE = {FieldKind.INTEGER, FieldKind.NUMBER, FieldKind.CHOICE, FieldKind.SWITCH, FieldKind.TEXT}
_LEFT_OUT = ("name", "seed", "start.", "resources.max_hours", "model.revision")


@dataclass(frozen=True, kw_only=True)
class Row:
    """One knob of the sweep as it was typed: ``Row(path="method.optimizer.lr", text="1e-3, 3e-4")``."""

    path: str = ""
    text: str = ""


@dataclass(frozen=True, kw_only=True)
class Launch:
    """What stands in the form beside the spec: ``Launch(seeds="3", rows=(Row(...),))``."""

    seeds: str = ""
    rows: tuple[Row, ...] = ()
    paired: bool = False

    @classmethod
    def from_data(cls, data: Mapping[str, Sequence[str]]) -> "Launch":
        paths, texts = data.get("sweep_path", ()), data.get("sweep_values", ())
        rows = [Row(path=path, text=text.strip()) for path, text in zip(paths, texts, strict=False)]
        return cls(
            seeds=(data.get("seeds") or [""])[-1].strip(),
            rows=tuple(row for row in rows if row.path),
            paired=(data.get("sweep_mode") or [""])[-1] == "paired",
        )

    @property
    def lines(self) -> tuple[Row, ...]:
        """The rows of the form, empty ones at the end."""
        return (*self.rows, *(Row() for _ in range(MAX_KNOBS - len(self.rows))))

    def plan(self, spec: ExperimentSpec) -> tuple[PlannedRun, ...]:
        """The runs it makes. Raises ``SpecError``."""
        knobs = [Knob(path=row.path, values=read_values(row.text, path=row.path)) for row in self.rows]
        return plan_runs(spec, seeds=read_seeds(self.seeds, first=spec.seed), knobs=knobs, paired=self.paired)


@dataclass(frozen=True, kw_only=True)
class Planned:
    """The runs of a launch, or why there are none."""

    runs: tuple[PlannedRun, ...] = ()
    problem: str = ""


def planned(launch: Launch, spec: ExperimentSpec) -> Planned:
    try:
        return Planned(runs=launch.plan(spec))
    except SpecError as error:
        return Planned(problem=". ".join(str(each) for each in error.errors) + ".")


@dataclass(frozen=True, kw_only=True)
class Sweepable:
    """A field that a sweep can turn: ``Sweepable(path="steps", label="Steps", group="General", now="300")``."""

    path: str
    label: str
    group: str
    now: str


def sweepable(slug: str, spec: ExperimentSpec) -> list[Sweepable]:
    """Every single value of the form under the variants that are picked, in its order."""
    mapping = dump_dict(spec)
    return [
        Sweepable(path=path, label=label, group=group.title, now=_shown(value_at(mapping, path)))
        for group in form_of(slug)
        for path, label in _leaves(group.fields, mapping, "")
        if not path.startswith(_LEFT_OUT)
    ]


def _leaves(fields: Sequence[FormField], mapping: Mapping[str, Any], above: str) -> Iterator[tuple[str, str]]:
    for each in fields:
        label = f"{above}{each.label}"
        match each.kind:
            case FieldKind.BLOCK:
                yield from _leaves(each.fields, mapping, f"{label}: ")
            case FieldKind.UNION:
                value = value_at(mapping, each.path)
                if each.tag and len(each.variants) > 1:
                    yield each.selector, label
                picked = value.get(each.tag) if isinstance(value, Mapping) and each.tag else each.variants[0].value
                inner = next((v.fields for v in each.variants if v.value == picked and value is not None), ())
                yield from _leaves(inner, mapping, f"{label}: ")
            case kind if kind in _SWEEPABLE:
                yield each.path, label
            case _:
                continue


def _shown(value: Any) -> str:
    return "empty" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
