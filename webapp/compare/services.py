"""Every write of this app, and what is done to many runs at once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import transaction
from django.http import Http404

from webapp.accounts.models import User
from webapp.compare.models import SavedView, ViewPage
from webapp.experiments import services as runs
from webapp.experiments.models import Run
from webapp.workspaces.models import Workspace
from webapp.workspaces.selectors import membership_of, require_edit
from webapp.workspaces.services import record

MAX_NAME, MAX_QUERY, MAX_AT_ONCE = 80, 8000, 200


@transaction.atomic(durable=True)
def save_view(
    *, actor: User, workspace: Workspace, page: str, name: str, query: str, is_default: bool = False
) -> SavedView:
    """Keep a view under a name; a name that is taken gets the new view. At most one view per page is the default."""
    _require_edit(actor, workspace)
    name, query = " ".join(name.split()), query.lstrip("?")
    if page not in ViewPage.values:
        raise ValueError(f"A view belongs to one of {', '.join(ViewPage.values)}, not {page[:40]!r}.")
    if not 0 < len(name) <= MAX_NAME:
        raise ValueError(f"A view needs a name of 1 to {MAX_NAME} characters.")
    if len(query) > MAX_QUERY:
        raise ValueError("This view names too many runs and metrics to be kept. Take some away.")
    Workspace.objects.select_for_update().get(pk=workspace.pk)
    if is_default:
        SavedView.objects.filter(workspace=workspace, page=page, is_default=True).update(is_default=False)
    view, _ = SavedView.objects.update_or_create(
        workspace=workspace,
        page=page,
        name=name,
        defaults={"query": query, "is_default": is_default, "created_by": actor},
    )
    record(actor=actor, action="view.saved", obj=view, workspace=workspace, detail={"name": name})
    return view


@transaction.atomic(durable=True)
def delete_view(*, actor: User, view_id: UUID) -> None:
    """Forget a saved view: 404 for outsiders, 403 for viewers."""
    view = SavedView.objects.visible_to(actor).select_related("workspace").filter(pk=view_id).first()
    if view is None:
        raise Http404("There is no such view, or it belongs to a workspace you are not a member of.")
    require_edit(actor, view.workspace)
    record(actor=actor, action="view.deleted", obj=view, workspace=view.workspace, detail={"name": view.name})
    view.delete()


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a deed on many runs: ``Outcome(num_done=3, refusals=("First light #2: is still running",))``."""

    num_done: int
    refusals: tuple[str, ...]


def on_many(*, actor: User, run_ids: Sequence[UUID], deed: str, tags: Sequence[str] = ()) -> Outcome:
    """Do one thing to many runs, each in a transaction of its own; what is refused is told, and the rest is done."""
    act = _DEEDS.get(deed)
    if act is None:
        raise ValueError(f"Runs can be {', '.join(_DEEDS)}; {deed[:40]!r} is none of these.")
    if len(run_ids) > MAX_AT_ONCE:
        raise ValueError(f"At most {MAX_AT_ONCE} runs at once, not {len(run_ids)}.")
    titles = {
        run.pk: str(run) for run in Run.objects.visible_to(actor).select_related("experiment").in_bulk(run_ids).values()
    }
    if missing := set(run_ids) - set(titles):
        raise Http404(f"{len(missing)} of these runs do not exist, or belong to a workspace you are not a member of.")
    done, refusals = 0, []
    for run_id in run_ids:
        try:
            act(actor=actor, run_id=run_id, **({"add": tags} if deed == "tag" else {}))
            done += 1
        except ValueError as error:
            refusals.append(f"{titles[run_id]}: {error}")
    return Outcome(num_done=done, refusals=tuple(refusals))


_DEEDS: dict[str, Callable[..., Any]] = {
    "stop": runs.request_cancel,
    "archive": runs.archive_run,
    "restore": runs.restore_run,
    "tag": runs.tag_run,
}


def _require_edit(actor: User, workspace: Workspace) -> None:
    if membership_of(actor, workspace) is None:
        raise Http404("There is no such workspace, or you are not a member of it.")
    require_edit(actor, workspace)
