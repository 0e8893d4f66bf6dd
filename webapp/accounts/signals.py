"""A person who signs up gets a workspace of their own, so that there is a place to work in at once."""

from typing import Any

from allauth.account.signals import user_signed_up
from django.dispatch import receiver

from webapp.accounts.models import User
from webapp.workspaces.services import create_workspace


@receiver(user_signed_up)
def give_own_workspace(user: User, **_: Any) -> None:
    name = user.display_name or user.email.partition("@")[0]
    create_workspace(name=f"{name[:60]}'s workspace", owner=user)
