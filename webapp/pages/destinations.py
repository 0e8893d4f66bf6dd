"""Where a person can go: the site's pages with their keys, and what the command palette finds."""

from dataclasses import asdict, dataclass
from typing import Any

from django.contrib.auth.models import AnonymousUser
from django.db.models import Q
from django.urls import reverse

from training_core.methods.registry import all_methods
from webapp.accounts.models import User
from webapp.experiments.choices import RunStatus
from webapp.experiments.models import Run
from webapp.experiments.selectors import experiments_visible_to, runs_visible_to

MOST = 6
"""Hits of one kind that are listed."""
MAX_QUERY = 100


@dataclass(frozen=True, kw_only=True)
class Place:
    """One page of the site: ``Place(name="home", title="Home", keys="g h")``; ``keys`` are pressed one after the other."""

    name: str
    title: str
    keys: str = ""
    for_staff: bool = False

    @property
    def url(self) -> str:
        return reverse(self.name)


PLACES = (
    Place(name="home", title="Home", keys="g h"),
    Place(name="compose", title="Compose an experiment", keys="g c"),
    Place(name="gallery", title="Methods", keys="g m"),
    Place(name="runs", title="Runs", keys="g r"),
    Place(name="search", title="Search all samples", keys="g s"),
    Place(name="arena", title="Arena", keys="g a"),
    Place(name="playground", title="Playground"),
    Place(name="review", title="Review", keys="g v"),
    Place(name="library", title="Library", keys="g l"),
    Place(name="checkpoints", title="Checkpoints", keys="g k"),
    Place(name="datasets", title="Data sets"),
    Place(name="rubrics", title="Rubrics"),
    Place(name="templates", title="Team templates"),
    Place(name="reports", title="Reports", keys="g p"),
    Place(name="notices", title="Notices", keys="g n"),
    Place(name="account", title="Your account and tokens"),
    Place(name="new_workspace", title="New workspace"),
    Place(name="fleet", title="Fleet", keys="g f", for_staff=True),
)


@dataclass(frozen=True, kw_only=True)
class Hit:
    """One line of the palette: ``Hit(kind="Run", title="First run, run 2", detail="running, step 40", url="/runs/…/")``."""

    kind: str
    title: str
    detail: str
    url: str


def places_for(user: User | AnonymousUser) -> list[Place]:
    """The pages this person can be led to."""
    return [place for place in PLACES if user.is_staff or not place.for_staff]


def find(user: User, text: str) -> list[dict[str, Any]]:
    """Pages, runs, experiments and methods whose names hold every word of ``text``; without words the pages and newest runs."""
    words = text.lower().split()
    found = [*_places(user, words), *_runs(user, words), *_experiments(user, words), *_methods(words)]
    return [asdict(hit) for hit in found]


def _holds(text: str, words: list[str]) -> bool:
    lowered = text.lower()
    return all(word in lowered for word in words)


def _places(user: User, words: list[str]) -> list[Hit]:
    fitting = [place for place in places_for(user) if _holds(place.title, words)]
    return [Hit(kind="Page", title=place.title, detail=place.keys, url=place.url) for place in fitting]


def _runs(user: User, words: list[str]) -> list[Hit]:
    found = runs_visible_to(user).filter(experiment__archived_at__isnull=True)
    for word in words:
        by_number = Q(number=int(word)) if word.isascii() and word.isdigit() and len(word) < 9 else Q()
        found = found.filter(Q(experiment__name__icontains=word) | Q(experiment__method__icontains=word) | by_number)
    return [
        Hit(
            kind="Run",
            title=f"{run.experiment.name}, run {run.number}",
            detail=_standing(run),
            url=reverse("run", args=[run.pk]),
        )
        for run in found.defer("spec", "headline", "traceback", "experiment__spec")[:MOST]
    ]


def _standing(run: Run) -> str:
    label = RunStatus(run.status).label.lower()
    return f"{label}, step {run.last_step:,}" if run.last_step else label


def _experiments(user: User, words: list[str]) -> list[Hit]:
    if not words:
        return []
    found = experiments_visible_to(user).filter(archived_at__isnull=True)
    for word in words:
        found = found.filter(Q(name__icontains=word) | Q(method__icontains=word))
    return [
        Hit(
            kind="Experiment",
            title=experiment.name,
            detail=experiment.workspace.name,
            url=reverse("experiment", args=[experiment.pk]),
        )
        for experiment in found[:MOST]
    ]


def _methods(words: list[str]) -> list[Hit]:
    if not words:
        return []
    fitting = [method for method in all_methods() if _holds(f"{method.title} {method.slug} {method.summary}", words)]
    return [
        hit
        for method in fitting[:MOST]
        for hit in (
            Hit(kind="Method", title=method.title, detail="what it is", url=reverse("method", args=[method.slug])),
            Hit(
                kind="Compose",
                title=f"Compose {method.title}",
                detail="new experiment",
                url=f"{reverse('compose')}?method={method.slug}",
            ),
        )
    ]
