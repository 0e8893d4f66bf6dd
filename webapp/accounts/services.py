"""Every write to people's API tokens and sign-in links. Secrets are shown once; the database holds their sha256."""

import secrets
from datetime import timedelta

from django.db import transaction
from django.http import Http404
from django.utils import timezone

from webapp.accounts.digests import digest_of
from webapp.accounts.models import ApiToken, SignInLink, User
from webapp.workspaces.services import record

TOKEN_PREFIX = "kmt_"  # noqa: S105  (the mark by which a person and a secret scanner recognise a token)
MAX_TOKENS = 50
SIGN_IN_LINK_LIFETIME = timedelta(minutes=10)
LAST_USED_RESOLUTION = timedelta(minutes=1)


@transaction.atomic(durable=True)
def create_token(
    *, user: User, name: str, days: int | None = 90, made_with: ApiToken | None = None
) -> tuple[ApiToken, str]:
    """Create an API token and return it with its secret, which nobody can read again; without days it never expires.

    A token made with another token does not outlive it, so a leaked one cannot be prolonged.
    """
    name = name.strip()
    if not 0 < len(name) <= 80:
        raise ValueError("A token needs a name of 1 to 80 characters, so that you know later what it is for.")
    if days is not None and not 1 <= days <= 3650:
        raise ValueError(f"A token lives 1 to 3650 days, not {days}.")
    User.objects.select_for_update().get(pk=user.pk)
    now = timezone.now()
    if user.api_tokens.filter(revoked_at=None).exclude(expires_at__lt=now).count() >= MAX_TOKENS:
        raise ValueError(f"You have {MAX_TOKENS} tokens already. Revoke one that you no longer use.")
    expires_at = now + timedelta(days=days) if days else None
    if made_with and made_with.expires_at and (expires_at is None or expires_at > made_with.expires_at):
        expires_at = made_with.expires_at
    secret = TOKEN_PREFIX + secrets.token_urlsafe(32)
    token = ApiToken.objects.create(
        user=user,
        name=name,
        prefix=secret[:12],
        digest=digest_of(secret),
        expires_at=expires_at,
    )
    record(actor=user, action="token.created", obj=token, detail={"name": name, "prefix": token.prefix})
    return token, secret


@transaction.atomic(durable=True)
def revoke_token(*, user: User, token_id: int) -> ApiToken:
    """Make a token of one's own useless at once; doing it twice is not an error."""
    token = ApiToken.objects.select_for_update().filter(user=user, pk=token_id).first()
    if token is None:
        raise Http404("You have no such token.")
    if token.revoked_at is None:
        token.revoked_at = timezone.now()
        token.save(update_fields=["revoked_at"])
        record(actor=user, action="token.revoked", obj=token, detail={"name": token.name, "prefix": token.prefix})
    return token


def note_token_use(token: ApiToken) -> None:
    """Remember when a token was used last, to the minute, so that busy scripts do not write at every request."""
    now = timezone.now()
    if token.last_used_at is None or now - token.last_used_at > LAST_USED_RESOLUTION:
        ApiToken.objects.filter(pk=token.pk).update(last_used_at=now)


@transaction.atomic(durable=True)
def create_first_account(*, email: str, password: str) -> User:
    """The operator of a new installation; who is there already stays as they are."""
    user = User.objects.filter(email=email).first()
    if user is None:
        user = User.objects.create_superuser(email, password, display_name="Operator")
        record(actor=None, action="account.created", obj=user, detail={"email": email, "first": True})
    return user


@transaction.atomic(durable=True)
def create_sign_in_link(user: User) -> str:
    """The secret of a link that signs the user in once within ten minutes; only the machine's own terminal shows it."""
    secret = secrets.token_urlsafe(32)
    expires_at = timezone.now() + SIGN_IN_LINK_LIFETIME
    link = SignInLink.objects.create(user=user, digest=digest_of(secret), expires_at=expires_at)
    record(actor=None, action="sign_in_link.created", obj=link, detail={"user": user.email})
    return secret


@transaction.atomic(durable=True)
def use_sign_in_link(secret: str) -> User | None:
    """The user a link signs in, the first time it is used within its ten minutes; None ever after."""
    now = timezone.now()
    # One statement with conditions on its own table only: those are checked again after waiting for the row, so of two
    # requests that come together one gets in. A join would be put into a subquery, which is not checked again.
    usable = SignInLink.objects.filter(digest=digest_of(secret), used_at=None, expires_at__gt=now)
    if usable.update(used_at=now) == 0:
        return None
    link = SignInLink.objects.select_related("user").get(digest=digest_of(secret))
    if not link.user.is_active:
        return None
    record(actor=link.user, action="sign_in_link.used", obj=link)
    return link.user


@transaction.atomic(durable=True)
def set_display_name(*, user: User, name: str) -> User:
    """What others see instead of the e-mail address; empty shows the address again."""
    name = " ".join(name.split())
    if len(name) > 80:
        raise ValueError("A display name has at most 80 characters.")
    user.display_name = name
    user.save(update_fields=["display_name"])
    return user
