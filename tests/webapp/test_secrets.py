"""Secrets of a workspace: who may set them, that nobody reads them again, and that runs alone are given them."""

from typing import Any

import pytest
from django.db import connection
from django.http import Http404
from django.test import Client

from tests.factories import make_experiment, make_run
from webapp.accounts.models import User
from webapp.workspaces.models import AuditEvent, Secret, Workspace
from webapp.workspaces.selectors import PermissionDenied
from webapp.workspaces.services import create_workspace
from webapp.workspaces.vault import readable, remove_secret, secrets_of_run, set_secret

pytestmark = pytest.mark.django_db
VALUE = "hf_open-sesame-42"


def test_a_secret_reaches_the_runs_of_its_workspace_alone(workspace: Workspace, ada: User, cyn: User) -> None:
    elsewhere = create_workspace(name="Elsewhere", owner=cyn)
    set_secret(workspace=workspace, actor=ada, name="hf_token", value=f" {VALUE} ")
    own, foreign = make_run(make_experiment(workspace, ada)), make_run(make_experiment(elsewhere, cyn))
    assert (secrets_of_run(own.pk), secrets_of_run(foreign.pk)) == ({"HF_TOKEN": VALUE}, {})
    set_secret(workspace=workspace, actor=ada, name="HF_TOKEN", value="another-one")
    assert secrets_of_run(own.pk) == {"HF_TOKEN": "another-one"}
    remove_secret(workspace=workspace, actor=ada, name="HF_TOKEN")
    assert secrets_of_run(own.pk) == {}
    with pytest.raises(Http404):
        remove_secret(workspace=workspace, actor=ada, name="HF_TOKEN")


def test_neither_the_database_nor_a_page_tells_it(client: Client, workspace: Workspace, ada: User) -> None:
    client.force_login(ada)
    address = f"/workspaces/{workspace.slug}/"
    pages = [client.post(f"{address}secrets/", {"name": "HF_TOKEN", "value": VALUE}, follow=True), client.get(address)]
    pages.append(client.post(f"{address}secrets/", {"name": "PATH", "value": VALUE}))
    assert [page.status_code for page in pages] == [200, 200, 422]
    assert all(VALUE not in page.content.decode() for page in pages)
    assert "HF_TOKEN is kept." in pages[0].content.decode()
    with connection.cursor() as cursor:
        cursor.execute("SELECT encode(sealed, 'escape') FROM workspaces_secret")
        assert VALUE not in cursor.fetchone()[0]
    assert VALUE not in str(list(AuditEvent.objects.values()))


@pytest.mark.parametrize("name", ["PATH", "LD_PRELOAD", "HF", "_TOKEN", "HF TOKEN", "PYTHONPATH", "HF_TOKEN=x\nA_KEY"])
def test_only_what_is_called_like_a_secret_can_be_one(name: str, workspace: Workspace, ada: User) -> None:
    with pytest.raises(ValueError, match="HF_TOKEN, for example"):
        set_secret(workspace=workspace, actor=ada, name=name, value=VALUE)


@pytest.mark.parametrize("value", ["short", "with some spaces", 'quote"quote"', "back\\slash-", "zwölfundmehr", ""])
def test_a_value_reads_the_same_everywhere(value: str, workspace: Workspace, ada: User) -> None:
    with pytest.raises(ValueError, match="8 to 4,096 characters"):
        set_secret(workspace=workspace, actor=ada, name="HF_TOKEN", value=value)


def test_only_owners_keep_and_see_them(client: Client, workspace: Workspace, ada: User, ben: User) -> None:
    with pytest.raises(PermissionDenied):
        set_secret(workspace=workspace, actor=ben, name="HF_TOKEN", value=VALUE)
    set_secret(workspace=workspace, actor=ada, name="HF_TOKEN", value=VALUE)
    client.force_login(ben)
    assert 'id="secrets"' not in client.get(f"/workspaces/{workspace.slug}/").content.decode()


def test_another_key_of_the_installation_opens_none_and_says_so(
    settings: Any, client: Client, workspace: Workspace, ada: User
) -> None:
    set_secret(workspace=workspace, actor=ada, name="HF_TOKEN", value=VALUE)
    run = make_run(make_experiment(workspace, ada))
    settings.SECRET_KEY = "quite another key"
    assert (secrets_of_run(run.pk), readable(workspace)) == ({}, {"HF_TOKEN": False})
    client.force_login(ada)
    assert "cannot be read" in client.get(f"/workspaces/{workspace.slug}/").content.decode()
    assert Secret.objects.count() == 1
