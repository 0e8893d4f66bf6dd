"""Losing a right reaches open sockets at once rather than at their next check."""

import logging
from typing import Any

from django.conf import settings
from django.contrib.auth.signals import user_logged_out
from django.db import transaction
from django.db.models.signals import post_delete, post_save
from django.dispatch import receiver
from redis import Redis, RedisError

from webapp.experiments.models import ShareLink
from webapp.live.wakeups import ACCOUNT_CHANNEL
from webapp.workspaces.models import Membership

logger = logging.getLogger(__name__)


@receiver(user_logged_out)
def after_signing_out(sender: object, **_: Any) -> None:
    tell_sockets()


@receiver([post_save, post_delete], sender=Membership)
@receiver(post_save, sender=ShareLink)
def after_a_change_of_rights(sender: object, **_: Any) -> None:
    transaction.on_commit(tell_sockets)


def tell_sockets() -> None:
    """Make every socket look up its viewer's rights again."""
    try:
        with Redis.from_url(settings.REDIS_URL, socket_timeout=2, socket_connect_timeout=2) as client:
            client.publish(ACCOUNT_CHANNEL, "rights changed")
    except (RedisError, OSError) as error:
        logger.warning("live.change_of_rights_unheard", extra={"error": repr(error)})
