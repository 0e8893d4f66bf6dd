"""What a person sees of their own account."""

from django.db.models import Q, QuerySet
from django.utils import timezone

from webapp.accounts.digests import digest_of
from webapp.accounts.models import ApiToken, User


def tokens_of(user: User) -> QuerySet[ApiToken]:
    """The user's tokens that still work, newest first."""
    return _usable_tokens().filter(user=user).order_by("-created_at", "-pk")


def token_for_secret(secret: str) -> ApiToken | None:
    """The token with this secret, if it still works and its owner may sign in."""
    usable = _usable_tokens().filter(user__is_active=True)
    return usable.select_related("user").filter(digest=digest_of(secret)).first()


def _usable_tokens() -> QuerySet[ApiToken]:
    unexpired = Q(expires_at=None) | Q(expires_at__gt=timezone.now())
    return ApiToken.objects.filter(unexpired, revoked_at=None)
