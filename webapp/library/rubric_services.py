"""Writing and retiring rubrics."""

from uuid import UUID

from django.db import IntegrityError, transaction
from django.utils import timezone

from training_core.spec.rubrics import RUBRICS, clean, digest_of, require_usable
from webapp.accounts.models import User
from webapp.library.models import Rubric, RubricVersion
from webapp.library.rubrics import rubric_for
from webapp.workspaces.models import Workspace
from webapp.workspaces.selectors import require_edit
from webapp.workspaces.services import record

MAX_NAME, MAX_NOTE = 80, 300


def create_rubric(
    *, actor: User, workspace: Workspace, name: str, kind: str, text: str, note: str = ""
) -> RubricVersion:
    """Keep a text as the first version of a new rubric."""
    require_edit(actor, workspace)
    name = _name(name)
    if kind not in RUBRICS:
        raise ValueError(f"{kind[:20]!r} is no kind of rubric. Choose one of {', '.join(RUBRICS)}.")
    text, note = _checked(kind, text, note)
    try:
        with transaction.atomic(durable=True):
            rubric = Rubric.objects.create(workspace=workspace, name=name, kind=kind, created_by=actor)
            record(actor=actor, action="rubric.created", obj=rubric, workspace=workspace, detail={"name": name})
            return _version(actor, rubric, number=1, text=text, note=note)
    except IntegrityError:
        raise ValueError(f"{name} is there already. Open it to save another version, or choose another name.") from None


@transaction.atomic(durable=True)
def save_version(*, actor: User, rubric_id: UUID, text: str, note: str = "") -> RubricVersion:
    """Keep an edited text as the next version; a text that equals the newest version is that version."""
    rubric = _locked(actor, rubric_id)
    text, note = _checked(rubric.kind, text, note)
    newest = rubric.versions.order_by("-number").first()
    assert newest is not None
    if newest.text == text:
        return newest
    version = _version(actor, rubric, number=newest.number + 1, text=text, note=note)
    detail = {"name": rubric.name, "version": version.number}
    record(actor=actor, action="rubric.version_saved", obj=rubric, workspace=rubric.workspace, detail=detail)
    return version


def retire_rubric(*, actor: User, rubric_id: UUID, retired: bool = True) -> Rubric:
    """Offer a rubric no more, or again; runs keep the text they were started with."""
    try:
        with transaction.atomic(durable=True):
            rubric = _locked(actor, rubric_id)
            if bool(rubric.retired_at) == retired:
                return rubric
            rubric.retired_at = timezone.now() if retired else None
            rubric.save(update_fields=["retired_at"])
            action = "rubric.retired" if retired else "rubric.revived"
            record(actor=actor, action=action, obj=rubric, workspace=rubric.workspace, detail={"name": rubric.name})
            return rubric
    except IntegrityError:
        raise ValueError(f"Another rubric has taken the name {rubric.name}; retire that one first.") from None


def _version(actor: User, rubric: Rubric, *, number: int, text: str, note: str) -> RubricVersion:
    return RubricVersion.objects.create(
        rubric=rubric, number=number, text=text, digest=digest_of(text), note=note, created_by=actor
    )


def _locked(actor: User, rubric_id: UUID) -> Rubric:
    """The rubric, locked for change: 404 for outsiders, 403 for viewers."""
    rubric = rubric_for(actor, rubric_id)
    require_edit(actor, rubric.workspace)
    return Rubric.objects.select_for_update(of=("self",)).select_related("workspace").get(pk=rubric.pk)


def _name(text: str) -> str:
    name = " ".join(text.split())
    if not 0 < len(name) <= MAX_NAME:
        raise ValueError(f"A rubric needs a name of 1 to {MAX_NAME} characters.")
    return name


def _checked(kind: str, text: str, note: str) -> tuple[str, str]:
    """Text and note as they are kept; raises ``ValueError`` with a sentence."""
    text, note = clean(text), note.strip()
    require_usable(RUBRICS[kind], text)
    if len(note) > MAX_NOTE:
        raise ValueError(f"A note has at most {MAX_NOTE} characters, this one has {len(note)}.")
    if "\0" in note:
        raise ValueError("A note cannot hold NUL characters.")
    return text, note
