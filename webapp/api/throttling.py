"""How many requests a person may send; counted in Redis, so all web processes share the count."""

import logging
from typing import TYPE_CHECKING

from redis import RedisError
from rest_framework.request import Request
from rest_framework.throttling import UserRateThrottle

if TYPE_CHECKING:  # the views load their throttles while they are being defined
    from rest_framework.views import APIView

logger = logging.getLogger(__name__)
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class _OpenThrottle(UserRateThrottle):
    """Lets requests pass while Redis is away: it carries wake-ups and counts, never the right to work."""

    def allow_request(self, request: Request, view: "APIView") -> bool:
        if not self.counts(request):
            return True
        try:
            return super().allow_request(request, view)
        except (RedisError, OSError) as error:
            logger.warning("throttle.unavailable", extra={"error": repr(error)})
            return True

    def counts(self, request: Request) -> bool:
        raise NotImplementedError


class ReadThrottle(_OpenThrottle):
    scope = "read"

    def counts(self, request: Request) -> bool:
        return request.method in SAFE_METHODS


class WriteThrottle(_OpenThrottle):
    scope = "write"

    def counts(self, request: Request) -> bool:
        return request.method not in SAFE_METHODS
