"""Every write to team templates and their versions."""

from uuid import UUID

from django.db import IntegrityError, transaction
from django.http import Http404
from django.utils import timezone

from training_core.spec.experiment import ExperimentSpec
from training_core.spec.io import dump_dict
from webapp.accounts.models import User
from webapp.experiments.models import Template, TemplateVersion
from webapp.experiments.services import check_storable
from webapp.workspaces.models import Workspace
from webapp.workspaces.selectors import membership_of, require_edit
from webapp.workspaces.services import record

MAX_NAME = 80
MAX_NOTE = 300


def save_template(
    *, actor: User, workspace: Workspace, name: str, spec: ExperimentSpec, note: str = ""
) -> TemplateVersion:
    """Keep a spec under a name: a new template, or the next version of the one that has the name.

    Saving what the newest version already holds gives that version back.
    """
    if membership_of(actor, workspace) is None:
        raise Http404("There is no such workspace, or you are not a member of it.")
    require_edit(actor, workspace)
    name, note, resolved = _name(name), note.strip(), dump_dict(spec)
    if len(note) > MAX_NOTE:
        raise ValueError(f"A note has at most {MAX_NOTE} characters, this one has {len(note)}.")
    check_storable({"name": name, "note": note, **resolved})
    with transaction.atomic(durable=True):
        template, is_new = Template.objects.get_or_create(
            workspace=workspace,
            name=name,
            retired_at=None,
            defaults={"method": spec.method.name, "created_by": actor},
        )
        template = Template.objects.select_for_update().get(pk=template.pk)
        if template.method != spec.method.name:
            raise ValueError(f"{name} is a template of another method. Save this one under a name of its own.")
        newest = template.versions.order_by("-number").first()
        if newest is not None and newest.spec == resolved:
            return newest
        version = TemplateVersion.objects.create(
            template=template, number=newest.number + 1 if newest else 1, spec=resolved, note=note, created_by=actor
        )
        detail = {"name": name, "version": version.number}
        action = "template.created" if is_new else "template.saved"
        record(actor=actor, action=action, obj=template, workspace=workspace, detail=detail)
        return version


def rename_template(*, actor: User, template_id: UUID, name: str) -> Template:
    """Give a template another name; its versions stay."""
    name = _name(name)
    try:
        with transaction.atomic(durable=True):
            template = _locked(actor, template_id)
            before, template.name = template.name, name
            if before != name:
                template.save(update_fields=["name"])
                detail = {"from": before, "name": name}
                record(
                    actor=actor, action="template.renamed", obj=template, workspace=template.workspace, detail=detail
                )
            return template
    except IntegrityError:
        raise ValueError(f"Another template is called {name} already. Choose another name.") from None


def retire_template(*, actor: User, template_id: UUID, retired: bool = True) -> Template:
    """Offer a template no longer, or again; what was made from it keeps its versions."""
    try:
        with transaction.atomic(durable=True):
            template = _locked(actor, template_id)
            if bool(template.retired_at) == retired:
                return template
            template.retired_at = timezone.now() if retired else None
            template.save(update_fields=["retired_at"])
            action = "template.retired" if retired else "template.revived"
            record(
                actor=actor, action=action, obj=template, workspace=template.workspace, detail={"name": template.name}
            )
            return template
    except IntegrityError:
        raise ValueError(f"Another template has taken the name {template.name}. Rename that one first.") from None


def _locked(actor: User, template_id: UUID) -> Template:
    """The template, locked for change: 404 for outsiders, 403 for viewers."""
    found = Template.objects.visible_to(actor).select_related("workspace").select_for_update(of=("self",))
    template = found.filter(pk=template_id).first()
    if template is None:
        raise Http404("There is no such template, or it belongs to a workspace you are not a member of.")
    require_edit(actor, template.workspace)
    return template


def _name(text: str) -> str:
    name = " ".join(text.split())
    if not name:
        raise ValueError("A template needs a name.")
    if len(name) > MAX_NAME:
        raise ValueError(f"A template's name has at most {MAX_NAME} characters, this one has {len(name)}.")
    return name
