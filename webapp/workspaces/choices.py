from django.db.models import TextChoices


class MemberRole(TextChoices):
    """What a member may do: viewers read, editors also launch and control, owners also manage people."""

    OWNER = "owner", "Owner"
    EDITOR = "editor", "Editor"
    VIEWER = "viewer", "Viewer"


CAN_EDIT = (MemberRole.OWNER, MemberRole.EDITOR)
