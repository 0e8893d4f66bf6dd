"""Signing out reaches open sockets at once rather than at their next check."""

import logging
from typing import Any

from django.conf import settings
from django.contrib.auth.signals import user_logged_out
from django.dispatch import receiver
from redis import Redis, RedisError

from webapp.live.wakeups import ACCOUNT_CHANNEL

logger = logging.getLogger(__name__)


@receiver(user_logged_out)
def tell_sockets(sender: object, **_: Any) -> None:
    try:
        with Redis.from_url(settings.REDIS_URL, socket_timeout=2, socket_connect_timeout=2) as client:
            client.publish(ACCOUNT_CHANNEL, "signed out")
    except (RedisError, OSError) as error:
        logger.warning("live.sign_out_unheard", extra={"error": repr(error)})
