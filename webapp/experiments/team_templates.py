"""What a person may see of team templates, and how their versions differ."""

from dataclasses import dataclass
from uuid import UUID

from django.contrib.auth.models import AnonymousUser
from django.db.models import Count, Max, Prefetch, QuerySet
from django.http import Http404

from training_core.methods.registry import find_method
from training_core.spec.forms import Difference, differences
from training_core.spec.io import SpecError, dump_dict, parse_spec
from webapp.accounts.models import User
from webapp.experiments.compose import origin_of_preset, preset_of
from webapp.experiments.models import Template, TemplateQuerySet, TemplateVersion
from webapp.workspaces.models import Workspace


def templates_visible_to(user: User | AnonymousUser) -> TemplateQuerySet:
    """Templates with their versions, newest first, in the order of their names."""
    versions = TemplateVersion.objects.select_related("created_by").order_by("-number")
    found = Template.objects.visible_to(user).select_related("workspace", "created_by")
    found = found.prefetch_related(Prefetch("versions", queryset=versions))
    return found.annotate(newest=Max("versions__number"), num_versions=Count("versions")).order_by("name", "pk")


def offered_templates(user: User | AnonymousUser, workspace: Workspace | None, *, method: str = "") -> TemplateQuerySet:
    """Those of a workspace that are not retired, of one method if given."""
    found = templates_visible_to(user).filter(workspace=workspace, retired_at=None)
    return found.filter(method=method) if method else found


def template_for(user: User | AnonymousUser, template_id: UUID | str) -> Template:
    """The template, or 404 for those who may not see it."""
    found = templates_visible_to(user).filter(pk=template_id).first()
    if found is None:
        raise Http404("There is no such template, or it belongs to a workspace you are not a member of.")
    return found


def version_for(user: User | AnonymousUser, template_id: UUID | str, number: int | None = None) -> TemplateVersion:
    """A version of a template, the newest without a number; 404 for those who may not see it."""
    versions: QuerySet[TemplateVersion] = TemplateVersion.objects.filter(template=template_for(user, template_id))
    found = versions.filter(number=number) if number else versions.order_by("-number")
    version = found.select_related("template__workspace").first()
    if version is None:
        raise Http404(f"The template has no version {number}.")
    return version


@dataclass(frozen=True, kw_only=True)
class ShownVersion:
    """A version with what it changed: against the one before it, or for the first against the method's first preset."""

    version: TemplateVersion
    changes: list[Difference] | None
    """None where one of the two can no longer be read."""
    num_experiments: int


def shown_versions(template: Template) -> list[ShownVersion]:
    """All versions, newest first."""
    versions = list(
        TemplateVersion.objects.filter(template=template)
        .select_related("created_by")
        .annotate(num_experiments=Count("experiments"))
        .order_by("-number")
    )
    earlier = [*versions[1:], None]
    return [
        ShownVersion(
            version=version,
            changes=changes_since(version, before),
            num_experiments=version.num_experiments,
        )
        for version, before in zip(versions, earlier, strict=True)
    ]


def changes_since(version: TemplateVersion, before: TemplateVersion | None) -> list[Difference] | None:
    slug = version.spec.get("method", {}).get("name", "")
    try:
        method = find_method(slug)
        new = dump_dict(parse_spec(version.spec))
        old = before.spec if before else origin_of_preset(method, preset_of(method, "")).spec
        old = dump_dict(parse_spec(old))
    except (SpecError, ValueError):
        return None
    return differences(slug, old, new)
