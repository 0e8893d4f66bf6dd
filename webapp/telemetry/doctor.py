"""The collapse doctor on a run: its diagnoses with links to the moments and the samples that prove them."""

import json
from dataclasses import asdict, dataclass, replace
from typing import Any
from urllib.parse import urlencode

from training_core.methods.doctor import Cure, Diagnosis, Patient, examine, metrics_read
from training_core.spec.experiment import ExperimentSpec
from training_core.spec.forms import find_field
from training_core.spec.io import SpecError, dump_dict, parse_spec
from training_core.spec.live import value_at, with_values
from webapp.experiments.models import Run
from webapp.telemetry.finding import SampleFilter
from webapp.telemetry.lens import Lens, lens_of
from webapp.telemetry.selectors import samples
from webapp.telemetry.series import metric_names, metric_series

MAX_POINTS = 400
"""Points of a line that a rule looks at; a longer line is looked at in stretches."""
NUM_PROOFS = 3
_FACTORS = {"half": 0.5, "double": 2}


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """A knob with the value proposed for it: ``Proposal(path="method.optimizer.lr", before="0.0007", after="0.00035", ...)``."""

    path: str
    before: str
    after: str
    words: str
    query: str
    """What Compose needs to begin with the change filled in."""


def diagnose(run: Run) -> list[Diagnosis]:
    """What the doctor finds in the run as it stands, the grave first; nothing where all is well or nothing is known."""
    lens = lens_of(run)
    names = metrics_read(lens.roles, lens.headline, metric_names(run))
    lines = {
        name: [(step, value) for step, value in zip(line.steps, line.values, strict=True) if value is not None]
        for name, line in metric_series(run, names, MAX_POINTS).items()
    }
    patient = Patient(
        lines=lines,
        roles=lens.roles,
        headline=lens.headline,
        headline_falls=lens.headline_falls,
        total_steps=run.total_steps,
    )
    return examine(patient)


def alerts(run: Run) -> list[dict[str, Any]]:
    """The diagnoses as marks: ``{"step": 40, "kind": "alert", "text": "The judge accepts what is wrong"}``."""
    return [{"step": found.since, "kind": "alert", "text": found.title} for found in diagnose(run)]


def findings(run: Run, root: str) -> list[dict[str, Any]]:
    """Diagnoses as the page shows them: facts and samples with links below ``root``, and the proposed knob."""
    lens = lens_of(run)
    return [_finding(run, lens, root, diagnosis) for diagnosis in diagnose(run)]


def _finding(run: Run, lens: Lens, root: str, diagnosis: Diagnosis) -> dict[str, Any]:
    wanted = SampleFilter(show=diagnosis.show, role=diagnosis.role, step_from=diagnosis.since)
    rows = samples(run, wanted, limit=NUM_PROOFS) or samples(run, replace(wanted, show="all"), limit=NUM_PROOFS)
    return {
        **asdict(diagnosis),
        "facts": [{**asdict(fact), "href": f"{root}?at={fact.step}"} for fact in diagnosis.facts],
        "samples": [{**row, "href": f"{root}samples/{row['seq']}/"} for row in rows],
        "since_href": f"{root}?at={diagnosis.since}",
        "proposal": propose(run, diagnosis),
    }


def propose(run: Run, diagnosis: Diagnosis) -> Proposal | None:
    """The first cure whose knob the run's method has, and whose value it takes and does not have yet."""
    try:
        spec = parse_spec(run.spec)
    except SpecError:
        return None
    return next(filter(None, (_proposal(run, spec, cure) for cure in diagnosis.cures)), None)


def _proposal(run: Run, spec: ExperimentSpec, cure: Cure) -> Proposal | None:
    before = value_at(dump_dict(spec), cure.path)
    if find_field(spec.method.name, cure.path) is None or (before is None and _is_factor(cure.value)):
        return None
    value = before * _FACTORS[cure.value] if _is_factor(cure.value) else cure.value
    if isinstance(before, int) and isinstance(value, float):
        value = round(value)
    try:
        after = value_at(dump_dict(with_values(spec, [(cure.path, value)])), cure.path)
    except SpecError:
        return None
    if after == before:
        return None
    query = urlencode({"clone": str(run.pk), "set": f"{cure.path}={json.dumps(value)}"})
    return Proposal(path=cure.path, before=_words(before), after=_words(after), words=cure.words, query=query)


def _words(value: Any) -> str:
    """A value as a person reads it; a block by its kind."""
    if isinstance(value, dict):
        return str(value.get("kind", "set"))
    return "empty" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _is_factor(value: Any) -> bool:
    return isinstance(value, str) and value in _FACTORS
