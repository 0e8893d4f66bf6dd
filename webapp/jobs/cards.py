"""The model card of an exported checkpoint: where it comes from and what was measured of it."""

from training_core.spec.events import EventKind
from training_core.spec.io import parse_spec
from webapp.jobs.weights import Moment
from webapp.pages.tags import method_title, number
from webapp.telemetry.models import Event


def model_card(moment: Moment) -> str:
    """README.md as the hub shows it: front matter, facts of the run, its last evaluation, how to load it."""
    run, spec = moment.run, parse_spec(moment.run.spec)
    base = f"base_model: {spec.model.source}\n" if spec.model.is_hub_id else ""
    facts = [
        ("Method", method_title(spec.method.name)),
        ("Task", spec.task.kind),
        ("Began with", spec.model.source),
        ("Run", f"{run.experiment.name} run {run.number} ({run.pk})"),
        (
            "Checkpoint",
            "what the run began with" if not moment.step else f"step {moment.step:,} of {run.total_steps:,}",
        ),
        ("Policy", moment.policy),
        ("Seed", str(spec.seed)),
        ("Digest of the checkpoint", _digest(moment)),
    ]
    rows = "\n".join(f"| {name} | {_cell(value)} |" for name, value in facts if value)
    return (
        f"---\nlibrary_name: transformers\n{base}tags: [kumite, self-play, {spec.method.name}]\n---\n"
        f"# {_line(moment.name)}\n\nTrained by self-play with Kumite.\n\n| | |\n| --- | --- |\n{rows}\n"
        f"{_scores(moment)}\n"
        "`kumite.yaml` holds the whole recipe; `kumite run kumite.yaml` repeats the run.\n"
    )


def _digest(moment: Moment) -> str:
    saved = Event.objects.filter(run=moment.run, kind=EventKind.CHECKPOINT, step=moment.step).order_by("-seq").first()
    return str(saved.data.get("digest", "")) if saved else ""


def _scores(moment: Moment) -> str:
    """The newest evaluation up to the checkpoint."""
    found = Event.objects.filter(run=moment.run, kind=EventKind.EVALUATION, step__lte=moment.step)
    newest = found.order_by("-step", "-seq").first()
    if newest is None:
        return ""
    rows = "\n".join(f"| {_cell(name)} | {number(value)} |" for name, value in newest.data["scores"].items())
    items = f"{newest.data['num_items']:,} items, step {newest.step:,}"
    return f"\n## Measured ({_line(newest.data['suite'])}, {items})\n\n| score | value |\n| --- | --- |\n{rows}\n"


def _cell(text: str) -> str:
    return _line(text).replace("|", r"\|")


def _line(text: str) -> str:
    """Names are people's: they stay on their line."""
    return " ".join(text.split())
