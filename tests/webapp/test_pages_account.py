"""Signing in, the account page, workspaces and their members, as pages."""

import pytest
from django.test import Client

from tests.conftest import PASSWORD
from webapp.accounts.models import ApiToken, User
from webapp.accounts.services import create_sign_in_link
from webapp.workspaces.models import Membership, Workspace

pytestmark = pytest.mark.django_db


@pytest.fixture
def page_of_ada(client: Client, ada: User, workspace: Workspace) -> Client:
    client.force_login(ada)
    return client


def test_signing_in_with_password_leads_home(client: Client, ada: User) -> None:
    response = client.post("/accounts/login/", {"login": ada.email, "password": PASSWORD})
    assert response.headers["Location"] == "/"


def test_wrong_password_is_told_without_saying_which_part_was_wrong(client: Client, ada: User) -> None:
    page = client.post("/accounts/login/", {"login": ada.email, "password": "wrong"}).content.decode()
    assert "are not correct" in page
    assert 'wrong"' not in page


@pytest.mark.parametrize("path", ["login", "signup", "password/reset"])
def test_entrance_pages_wear_the_house_style(client: Client, path: str) -> None:
    page = client.get(f"/accounts/{path}/").content.decode()
    assert "gate__brand" in page
    assert "css/tokens.css" in page


@pytest.mark.parametrize("path", ["logout", "password/change", "email"])
def test_pages_for_those_inside_wear_it_too(page_of_ada: Client, path: str) -> None:
    assert "gate__brand" in page_of_ada.get(f"/accounts/{path}/").content.decode()


def test_signing_up_gives_a_workspace_of_ones_own(client: Client) -> None:
    client.post(
        "/accounts/signup/",
        {"email": "dan@example.org", "password1": "a longer secret 9", "password2": "a longer secret 9"},
    )
    assert b"dan&#x27;s workspace" in client.get("/").content


def test_sign_in_link_works_once_and_only_when_pressed(client: Client, ada: User) -> None:
    address = f"/accounts/link/{create_sign_in_link(ada)}/"
    assert b"signs you in once" in client.get(address).content
    assert client.post(address).headers["Location"] == "/"
    assert client.get("/").status_code == 200
    again = Client().post(address)
    assert again.status_code == 410
    assert b"no longer works" in again.content


def test_unknown_sign_in_link_says_the_same_as_a_used_one(client: Client, db: None) -> None:
    assert client.post("/accounts/link/nonsense/").status_code == 410


def test_name_is_changed_and_trimmed(page_of_ada: Client, ada: User) -> None:
    page_of_ada.post("/accounts/me/name/", {"display_name": "  Ada   L. "})
    ada.refresh_from_db()
    assert ada.display_name == "Ada L."


def test_name_that_is_too_long_is_told_at_its_field(page_of_ada: Client) -> None:
    response = page_of_ada.post("/accounts/me/name/", {"display_name": "x" * 200})
    assert response.status_code == 422
    assert b"at most 80 characters" in response.content


def test_token_is_shown_once_and_can_be_revoked(page_of_ada: Client) -> None:
    page = page_of_ada.post("/accounts/me/tokens/", {"name": "laptop", "days": "30"}).content.decode()
    token = ApiToken.objects.get()
    assert f'value="{token.prefix}' in page
    later = page_of_ada.get("/accounts/me/").content.decode()
    assert "laptop" in later
    assert 'id="secret"' not in later
    page_of_ada.post(f"/accounts/me/tokens/{token.pk}/revoke/")
    assert "You have no tokens" in page_of_ada.get("/accounts/me/").content.decode()


def test_token_without_a_name_is_refused_in_words(page_of_ada: Client) -> None:
    response = page_of_ada.post("/accounts/me/tokens/", {"name": "", "days": "30"})
    assert response.status_code == 422
    assert b"Give the token a name" in response.content


def test_foreign_token_does_not_exist(page_of_ada: Client, cyn: User) -> None:
    other = Client()
    other.force_login(cyn)
    other.post("/accounts/me/tokens/", {"name": "hers", "days": ""})
    assert page_of_ada.post(f"/accounts/me/tokens/{ApiToken.objects.get().pk}/revoke/").status_code == 404


def test_members_are_added_changed_and_removed(page_of_ada: Client, cyn: User, workspace: Workspace) -> None:
    page_of_ada.post("/workspaces/dojo/members/", {"email": "CYN@example.org", "role": "viewer"})
    assert Membership.objects.get(user=cyn).role == "viewer"
    page_of_ada.post(f"/workspaces/dojo/members/{cyn.pk}/role/", {"role": "editor"})
    assert Membership.objects.get(user=cyn).role == "editor"
    page = page_of_ada.post(f"/workspaces/dojo/members/{cyn.pk}/remove/", follow=True).content.decode()
    assert "Cyn is no longer a member." in page
    assert "Ada removed cyn@example.org" in page


@pytest.mark.parametrize(
    ("email", "sentence"),
    [
        ("nobody@example.org", "No account uses"),
        ("not an address", "looks like ada@example.org"),
        ("", "Write the e-mail address"),
        ("ben@example.org", "already a member"),
    ],
)
def test_member_that_cannot_be_added_is_told_at_the_field(page_of_ada: Client, email: str, sentence: str) -> None:
    response = page_of_ada.post("/workspaces/dojo/members/", {"email": email, "role": "editor"})
    assert response.status_code == 422
    assert sentence in response.content.decode()


def test_last_owner_stays_and_is_told_why(page_of_ada: Client, ada: User) -> None:
    page = page_of_ada.post(f"/workspaces/dojo/members/{ada.pk}/remove/", follow=True).content.decode()
    assert "last owner" in page
    assert Membership.objects.filter(user=ada).exists()


def test_somebody_who_is_no_member_cannot_be_changed(page_of_ada: Client, cyn: User) -> None:
    assert page_of_ada.post(f"/workspaces/dojo/members/{cyn.pk}/role/", {"role": "owner"}).status_code == 404


def test_new_workspace_becomes_the_current_one(page_of_ada: Client) -> None:
    assert page_of_ada.post("/workspaces/new/", {"name": "Second"}).headers["Location"] == "/workspaces/second/"
    assert b'switcher__name clip">Second<' in page_of_ada.get("/").content


def test_workspace_without_a_name_is_refused_in_words(page_of_ada: Client) -> None:
    response = page_of_ada.post("/workspaces/new/", {"name": "  "})
    assert response.status_code == 422
    assert b"A workspace needs a name." in response.content


@pytest.mark.parametrize(
    ("cookie", "shown"), [("dark", 'data-theme="dark"'), ("light", 'data-theme="light"'), ('"><x', '<html lang="en">')]
)
def test_colour_scheme_comes_from_the_cookie_if_it_is_one(client: Client, db: None, cookie: str, shown: str) -> None:
    client.cookies["theme"] = cookie
    assert shown in client.get("/accounts/login/").content.decode()
