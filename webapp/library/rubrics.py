"""The rubrics of a workspace: their versions with what changed, where they are used, and texts to begin from."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any
from uuid import UUID

from django.contrib.auth.models import AnonymousUser
from django.db.models import F, Func, JSONField, Max, Prefetch, QuerySet, Value
from django.http import Http404

from training_core.methods.registry import all_methods
from training_core.play.prompts import prompts_for
from training_core.spec.forms import form_of, walk
from training_core.spec.rubrics import RUBRICS, hints_of
from webapp.accounts.models import User
from webapp.experiments.models import Run
from webapp.library.models import Rubric, RubricVersion
from webapp.review.models import Regrading
from webapp.telemetry.differences import Piece, difference
from webapp.workspaces.models import Workspace

MAX_RUNS = 2000
"""The newest so many runs of a workspace are looked through for where a rubric is used."""
MAX_USES = 50


@dataclass(frozen=True, kw_only=True)
class Opening:
    """A text to begin from: ``Opening(key="mae/answer/chat", title="Multi-Agent Evolve, for instruction-tuned models", ...)``."""

    key: str
    kind: str
    title: str
    text: str

    @property
    def kind_title(self) -> str:
        return RUBRICS[self.kind].title


@dataclass(frozen=True, kw_only=True)
class ShownVersion:
    """A version with what it changed of the one before; both sides are empty for the first."""

    version: RubricVersion
    before: list[Piece]
    after: list[Piece]
    hints: list[str]
    num_uses: int


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two versions side by side, cut into pieces of which some differ."""

    before: RubricVersion
    after: RubricVersion
    left: list[Piece]
    right: list[Piece]

    @property
    def is_same(self) -> bool:
        return self.before.text == self.after.text


@dataclass(frozen=True, kw_only=True)
class Use:
    """A run that was started with a version, or answers that were graded again with one."""

    number: int
    run: Run | None = None
    regrading: Regrading | None = None


def rubrics_in(workspace: Workspace) -> QuerySet[Rubric]:
    """The rubrics that are offered, by name, each with its versions, the newest first; the caller has looked who may see them."""
    newest_first = Prefetch("versions", queryset=RubricVersion.objects.order_by("-number"))
    return Rubric.objects.filter(workspace=workspace, retired_at=None).prefetch_related(newest_first).order_by("name")


def retired_in(workspace: Workspace) -> QuerySet[Rubric]:
    return Rubric.objects.filter(workspace=workspace, retired_at__isnull=False).order_by("name", "-retired_at")


def versions_in(workspace: Workspace, kind: str | None = None) -> list[RubricVersion]:
    """Every version that is offered, by name, the newest of each first."""
    found = RubricVersion.objects.filter(rubric__workspace=workspace, rubric__retired_at=None).select_related("rubric")
    if kind is not None:
        found = found.filter(rubric__kind=kind)
    return list(found.order_by("rubric__name", "-number"))


def rubrics_visible_to(user: User | AnonymousUser) -> QuerySet[Rubric]:
    """Every rubric of the person's workspaces, each with ``newest``, the number of its newest version."""
    mine = Rubric.objects.filter(workspace__in=Workspace.objects.visible_to(user))
    return mine.select_related("workspace", "created_by").annotate(newest=Max("versions__number"))


def rubric_for(user: User | AnonymousUser, rubric_id: UUID) -> Rubric:
    """The rubric, or 404 for those who may not see it."""
    found = rubrics_visible_to(user).filter(pk=rubric_id).first()
    if found is None:
        raise Http404("There is no such rubric, or it belongs to a workspace you are not a member of.")
    return found


def numbered(rubric: Rubric, number: int | None = None) -> RubricVersion:
    """A version of a rubric by its number, by default the newest; raises ``ValueError`` where it has no such version."""
    versions = list(rubric.versions.select_related("rubric").order_by("-number"))
    found = next((each for each in versions if number in (None, each.number)), None)
    if found is None:
        raise ValueError(f"{rubric.name} has no version {number}; its newest is {versions[0].number}.")
    return found


def version_for(user: User | AnonymousUser, version_id: int | str) -> RubricVersion:
    """A version by its key, or 404 for those who may not see it."""
    mine = RubricVersion.objects.filter(rubric__workspace__in=Workspace.objects.visible_to(user))
    known = str(version_id).isascii() and str(version_id).isdigit() and len(str(version_id)) < 19
    found = mine.filter(pk=version_id).select_related("rubric__workspace").first() if known else None
    if found is None:
        raise Http404("There is no such version of a rubric, or it belongs to a workspace you are not a member of.")
    return found


def shown_versions(rubric: Rubric, uses: Sequence[Use]) -> list[ShownVersion]:
    """Every version, the newest first, each beside the one before."""
    versions = list(rubric.versions.select_related("created_by").order_by("number"))
    shown = []
    for place, version in enumerate(versions):
        before, after = difference(versions[place - 1].text, version.text) if place else ([], [])
        shown.append(
            ShownVersion(
                version=version,
                before=before,
                after=after,
                hints=hints_of(rubric.spec, version.text),
                num_uses=sum(use.number == version.number for use in uses),
            )
        )
    return shown[::-1]


def comparison_of(shown: Sequence[ShownVersion], before: str, after: str) -> Comparison | None:
    """Any two versions, named by their numbers; None where one of them is not there."""
    versions = {str(each.version.number): each.version for each in shown}
    if before not in versions or after not in versions:
        return None
    one, other = versions[before], versions[after]
    left, right = difference(one.text, other.text)
    return Comparison(before=one, after=other, left=left, right=right)


def uses_of(rubric: Rubric) -> list[Use]:
    """Runs that hold one of its texts, and what was graded again with one, newest first."""
    numbers = {version.digest: version.number for version in rubric.versions.order_by("-number")}
    found = [
        Use(number=numbers[digest], run=run)
        for run, digests in _digests(Run.objects.filter(experiment__workspace=rubric.workspace_id))
        for digest in dict.fromkeys(digests)
        if digest in numbers
    ]
    graded = Regrading.objects.filter(rubric_version__rubric=rubric).select_related("run__experiment", "rubric_version")
    found += [Use(number=each.rubric_version.number, regrading=each) for each in graded if each.rubric_version]
    return sorted(found, key=lambda use: use.run.created_at if use.run else use.regrading.at, reverse=True)  # type: ignore[union-attr]


def num_uses_in(workspace: Workspace) -> dict[UUID, int]:
    """By rubric, how many runs were started with one of its texts."""
    of_digest: dict[str, set[UUID]] = defaultdict(set)
    for digest, rubric in RubricVersion.objects.filter(rubric__workspace=workspace).values_list("digest", "rubric"):
        of_digest[digest].add(rubric)
    counts: dict[UUID, int] = defaultdict(int)
    for _, digests in _digests(Run.objects.filter(experiment__workspace=workspace)):
        for rubric in {each for digest in digests for each in of_digest.get(digest, ())}:
            counts[rubric] += 1
    return dict(counts)


def _digests(runs: QuerySet[Run]) -> Iterable[tuple[Run, list[str]]]:
    """The newest runs with the digests of all rubrics in their specs."""
    path: Any = Func(
        F("spec"),
        Value("$.method.**.digest"),
        template="jsonb_path_query_array(%(expressions)s::jsonpath)",
        output_field=JSONField(),
    )
    listed = runs.select_related("experiment").defer("spec", "headline").annotate(digests=path)
    return ((run, run.digests) for run in listed.order_by("-created_at")[:MAX_RUNS] if run.digests)


def kind_words(kind: str) -> dict[str, Any]:
    """What pages say of a kind: ``{"kind": "answer", "title": "Grades an answer", "places": (...), "reads": "score", ...}``."""
    rubric = RUBRICS[kind]
    return {name: getattr(rubric, name) for name in ("kind", "title", "places", "reads", "verdict")}


@cache
def openings() -> tuple[Opening, ...]:
    """How the methods ask their judges, once for each text."""
    found: dict[tuple[str, str], Opening] = {}
    for method in all_methods():
        fields = [field for group in form_of(method.slug) for field in walk(group.fields) if field.rubric]
        for kind in dict.fromkeys(field.rubric for field in fields):
            for style, words in (("chat", "for instruction-tuned models"), ("starter", "for the starter")):
                text = own_words(method.slug, style, kind)
                key = f"{method.slug}/{kind}/{style}"
                if text:
                    found.setdefault(
                        (kind, text), Opening(key=key, kind=kind, title=f"{method.title}, {words}", text=text)
                    )
    return tuple(sorted(found.values(), key=lambda each: (list(RUBRICS).index(each.kind), each.title)))


def own_words(slug: str, style: str, kind: str, *, task: str | None = None) -> str:
    """How a method asks its judge, with its places; empty where it has no such prompt for models of the style."""
    rubric = RUBRICS[kind]
    try:
        return prompts_for(slug, style, task=task).render(
            rubric.prompt, **{name: f"{{{name}}}" for name in rubric.places}
        )
    except (KeyError, ValueError):
        return ""
