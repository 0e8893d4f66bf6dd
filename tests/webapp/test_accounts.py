"""Tokens, sign-in links and signing up."""

from datetime import timedelta

import pytest
from django.http import Http404
from django.test import Client
from django.utils import timezone

from webapp.accounts.models import ApiToken, SignInLink, User
from webapp.accounts.selectors import token_for_secret, tokens_of
from webapp.accounts.services import create_sign_in_link, create_token, revoke_token, use_sign_in_link
from webapp.workspaces.models import AuditEvent

pytestmark = pytest.mark.django_db


def test_a_token_is_shown_once_and_stored_as_a_digest(ada: User) -> None:
    token, secret = create_token(user=ada, name="laptop")
    assert secret.startswith("kmt_")
    assert secret.startswith(token.prefix)
    assert secret not in str(ApiToken.objects.values().get())
    assert token_for_secret(secret) == token
    assert token_for_secret(secret[:-1]) is None


def test_a_token_expires(ada: User) -> None:
    token, secret = create_token(user=ada, name="laptop", days=1)
    ApiToken.objects.filter(pk=token.pk).update(expires_at=timezone.now() - timedelta(seconds=1))
    assert token_for_secret(secret) is None
    assert not tokens_of(ada).exists()


def test_a_revoked_token_is_useless_and_revoking_twice_is_no_error(ada: User) -> None:
    token, secret = create_token(user=ada, name="laptop", days=None)
    first = revoke_token(user=ada, token_id=token.pk)
    assert revoke_token(user=ada, token_id=token.pk).revoked_at == first.revoked_at
    assert token_for_secret(secret) is None
    assert list(AuditEvent.objects.values_list("action", flat=True).order_by("pk")) == [
        "token.created",
        "token.revoked",
    ]


def test_nobody_revokes_the_token_of_another(ada: User, ben: User) -> None:
    token, secret = create_token(user=ada, name="laptop")
    with pytest.raises(Http404):
        revoke_token(user=ben, token_id=token.pk)
    assert token_for_secret(secret) == token


def test_the_token_of_a_deactivated_person_is_useless(ada: User) -> None:
    _, secret = create_token(user=ada, name="laptop")
    User.objects.filter(pk=ada.pk).update(is_active=False)
    assert token_for_secret(secret) is None


@pytest.mark.parametrize(("name", "days"), [("", 1), ("n" * 81, 1), ("laptop", 0), ("laptop", 3651)])
def test_a_wrong_name_or_lifetime_is_refused(name: str, days: int, ada: User) -> None:
    with pytest.raises(ValueError, match="A token"):
        create_token(user=ada, name=name, days=days)


def test_a_token_made_with_a_token_does_not_outlive_it(ada: User) -> None:
    short, _ = create_token(user=ada, name="short", days=1)
    forever, _ = create_token(user=ada, name="forever", days=None, made_with=short)
    shorter, _ = create_token(user=ada, name="same", days=1, made_with=short)
    assert forever.expires_at == short.expires_at
    assert shorter.expires_at is not None
    assert short.expires_at is not None
    assert shorter.expires_at <= short.expires_at


def test_a_person_has_at_most_fifty_tokens(ada: User) -> None:
    ApiToken.objects.bulk_create([ApiToken(user=ada, name="t", prefix="kmt_", digest=str(n)) for n in range(50)])
    with pytest.raises(ValueError, match="50 tokens"):
        create_token(user=ada, name="one more")


def test_a_sign_in_link_works_once(ada: User) -> None:
    secret = create_sign_in_link(ada)
    assert secret not in str(SignInLink.objects.values().get())
    assert use_sign_in_link(secret) == ada
    assert use_sign_in_link(secret) is None
    assert use_sign_in_link("guess") is None


def test_a_sign_in_link_dies_after_ten_minutes(ada: User) -> None:
    secret = create_sign_in_link(ada)
    link = SignInLink.objects.get()
    assert timedelta(minutes=9) < link.expires_at - timezone.now() <= timedelta(minutes=10)
    SignInLink.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert use_sign_in_link(secret) is None


def test_a_sign_in_link_of_a_deactivated_person_is_useless(ada: User) -> None:
    secret = create_sign_in_link(ada)
    User.objects.filter(pk=ada.pk).update(is_active=False)
    assert use_sign_in_link(secret) is None


def test_addresses_are_kept_in_small_letters() -> None:
    assert User.objects.create_user("Dora@Example.ORG").email == "dora@example.org"


@pytest.mark.django_db(transaction=True)
def test_signing_up_gives_a_workspace_of_ones_own(client: Client) -> None:
    form = {"email": "Eve@example.org", "password1": "purple monkey 77", "password2": "purple monkey 77"}
    assert client.post("/accounts/signup/", form).status_code == 302
    membership = User.objects.get(email="eve@example.org").memberships.get()
    assert (membership.role, membership.workspace.name) == ("owner", "eve's workspace")
