"""Small forms of the experiments pages. The compose form is not here: it is made from the spec."""

from typing import Any

from django import forms
from django.db.models import OuterRef, Q, QuerySet, Subquery

from training_core.methods.registry import all_methods
from webapp.experiments.choices import RunStatus
from webapp.experiments.models import Experiment, Run

STATUS_GROUPS: dict[str, tuple[str, tuple[RunStatus, ...]]] = {
    "active": (
        "At work",
        (RunStatus.CLAIMED, RunStatus.STARTING, RunStatus.RUNNING, RunStatus.PAUSING, RunStatus.CANCELLING),
    ),
    "queued": ("Queued", (RunStatus.QUEUED,)),
    "paused": ("Paused", (RunStatus.PAUSED,)),
    "succeeded": ("Succeeded", (RunStatus.SUCCEEDED,)),
    "failed": ("Failed", (RunStatus.FAILED, RunStatus.TIMED_OUT)),
    "stopped": ("Stopped", (RunStatus.CANCELLED,)),
}


def with_latest_run(experiments: QuerySet[Experiment]) -> QuerySet[Experiment]:
    """Each experiment with the id and status of its newest run."""
    newest = Run.objects.filter(experiment=OuterRef("pk")).order_by("-number")
    return experiments.annotate(
        latest_run_id=Subquery(newest.values("pk")[:1]), latest_status=Subquery(newest.values("status")[:1])
    )


class ExperimentFilter(forms.Form):
    """Search and filters of the experiments list; wrong values simply do not filter."""

    q = forms.CharField(required=False, max_length=200)
    status = forms.ChoiceField(
        required=False, choices=[("", "Any state"), *((k, v[0]) for k, v in STATUS_GROUPS.items())]
    )
    method = forms.ChoiceField(required=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        method_field = self.fields["method"]
        assert isinstance(method_field, forms.ChoiceField)
        method_field.choices = [("", "Any method"), *((method.slug, method.title) for method in all_methods())]

    def apply(self, experiments: QuerySet[Experiment]) -> QuerySet[Experiment]:
        self.is_valid()
        chosen = self.cleaned_data
        if text := chosen.get("q"):
            experiments = experiments.filter(Q(name__icontains=text) | Q(created_by__display_name__icontains=text))
        if method := chosen.get("method"):
            experiments = experiments.filter(method=method)
        if status := chosen.get("status"):
            experiments = experiments.filter(Q(("latest_status__in", STATUS_GROUPS[status][1])))
        return experiments

    @property
    def is_narrowed(self) -> bool:
        return any(self.cleaned_data.get(name) for name in self.fields)


class LaunchAgainForm(forms.Form):
    seed = forms.IntegerField(
        required=False,
        min_value=0,
        max_value=2**31 - 1,
        error_messages={
            "invalid": "A seed is a whole number.",
            "min_value": "A seed is at least 0.",
            "max_value": "A seed is at most 2147483647.",
        },
    )
