"""Every write to workspaces, memberships and the audit trail."""

from typing import Any

from django.db import IntegrityError, models, transaction
from django.utils.text import slugify

from webapp.accounts.models import User
from webapp.workspaces.choices import MemberRole
from webapp.workspaces.models import AuditEvent, Membership, Workspace
from webapp.workspaces.selectors import PermissionDenied, can_manage, require_manage

MAX_NAME = 80


def record(
    *,
    actor: User | None,
    action: str,
    obj: models.Model,
    workspace: Workspace | None = None,
    detail: dict[str, Any] | None = None,
) -> AuditEvent:
    """Write one line of the audit trail; call it inside the transaction of the change it tells of."""
    return AuditEvent.objects.create(
        actor=actor,
        action=action,
        object_type=obj._meta.model_name or "",
        object_id=str(obj.pk),
        workspace=workspace,
        detail=detail or {},
    )


@transaction.atomic(durable=True)
def create_workspace(*, name: str, owner: User) -> Workspace:
    """Create a workspace; its slug is made from the name and numbered if that one is taken."""
    name = name.strip()
    if not 0 < len(name) <= MAX_NAME:
        raise ValueError(f"A workspace needs a name of 1 to {MAX_NAME} characters.")
    workspace = _insert_with_free_slug(name)
    Membership.objects.create(workspace=workspace, user=owner, role=MemberRole.OWNER)
    record(actor=owner, action="workspace.created", obj=workspace, workspace=workspace, detail={"name": name})
    return workspace


def _insert_with_free_slug(name: str) -> Workspace:
    base = slugify(name)[:60] or "workspace"
    for attempt in range(1, 1000):
        slug = base if attempt == 1 else f"{base}-{attempt}"
        if Workspace.objects.filter(slug=slug).exists():
            continue
        try:
            with transaction.atomic():
                return Workspace.objects.create(name=name, slug=slug)
        except IntegrityError:  # somebody took it since we looked
            continue
    raise ValueError(f"Very many workspaces are called {name!r} already. Choose another name.")


@transaction.atomic(durable=True)
def add_member(*, workspace: Workspace, actor: User, email: str, role: str) -> Membership:
    """Let the person with this e-mail address in; adding somebody twice in the same role is not an error."""
    require_manage(actor, workspace)
    role = _known_role(role)
    user = User.objects.filter(email=email.strip().lower(), is_active=True).first()
    if user is None:
        raise ValueError(f"No account uses {email.strip()!r}. Ask them to sign up first, then add them again.")
    membership, created = Membership.objects.get_or_create(workspace=workspace, user=user, defaults={"role": role})
    if created:
        detail = {"member": user.email, "role": role}
        record(actor=actor, action="member.added", obj=membership, workspace=workspace, detail=detail)
    elif membership.role != role:
        current = MemberRole(membership.role).label.lower()
        raise ValueError(f"{user} is already a member ({current}). Change the role in the list of members.")
    return membership


@transaction.atomic(durable=True)
def change_role(*, workspace: Workspace, actor: User, user: User, role: str) -> Membership:
    """Give a member another role; the last owner stays owner."""
    require_manage(actor, workspace)
    role = _known_role(role)
    membership = _lock_membership(workspace, user)
    if membership.role == role:
        return membership
    _keep_one_owner(workspace, membership)
    detail = {"member": user.email, "from": membership.role, "to": role}
    membership.role = role
    membership.save(update_fields=["role"])
    record(actor=actor, action="member.role_changed", obj=membership, workspace=workspace, detail=detail)
    return membership


@transaction.atomic(durable=True)
def remove_member(*, workspace: Workspace, actor: User, user: User) -> None:
    """Take a member out; anyone may leave, only owners remove others, the last owner stays."""
    if actor != user and not can_manage(actor, workspace):
        raise PermissionDenied(f"Only owners of {workspace} remove other members.")
    membership = _lock_membership(workspace, user)
    _keep_one_owner(workspace, membership)
    action = "member.left" if actor == user else "member.removed"
    detail = {"member": user.email, "role": membership.role}
    record(actor=actor, action=action, obj=membership, workspace=workspace, detail=detail)
    membership.delete()


def _known_role(role: str) -> MemberRole:
    try:
        return MemberRole(role)
    except ValueError:
        raise ValueError(f"{role!r} is no role. Choose one of {', '.join(MemberRole.values)}.") from None


def _lock_membership(workspace: Workspace, user: User) -> Membership:
    """Lock the workspace first, so that two owners who leave at once take turns."""
    Workspace.objects.select_for_update().get(pk=workspace.pk)
    membership = Membership.objects.filter(workspace=workspace, user=user).first()
    if membership is None:
        raise ValueError(f"{user} is not a member of {workspace}.")
    return membership


def _keep_one_owner(workspace: Workspace, leaving: Membership) -> None:
    owners = Membership.objects.filter(workspace=workspace, role=MemberRole.OWNER)
    if leaving.role == MemberRole.OWNER and not owners.exclude(pk=leaving.pk).exists():
        raise ValueError(f"{leaving.user} is the last owner of {workspace}. Make somebody else owner first.")
