"""How many requests a person may send; counted in Redis, so all web processes share the count."""

from typing import TYPE_CHECKING

from rest_framework.request import Request
from rest_framework.throttling import UserRateThrottle

if TYPE_CHECKING:  # the views load their throttles while they are being defined
    from rest_framework.views import APIView

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class ReadThrottle(UserRateThrottle):
    scope = "read"

    def allow_request(self, request: Request, view: "APIView") -> bool:
        return request.method not in SAFE_METHODS or super().allow_request(request, view)


class ValuesThrottle(UserRateThrottle):
    """Values of runs that happen elsewhere come in many small requests."""

    scope = "values"


class WriteThrottle(UserRateThrottle):
    scope = "write"

    def allow_request(self, request: Request, view: "APIView") -> bool:
        return request.method in SAFE_METHODS or super().allow_request(request, view)
