"""Secrets and lines by the API and the command line: names go out, values never."""

import io
from typing import Any

import pytest

from tests.webapp.test_api import Script, error_of
from tests.webapp.test_cli import Terminal, home, kumite, server, signed_in  # noqa: F401
from webapp.accounts.models import User
from webapp.cli.errors import Exit
from webapp.workspaces.models import Workspace

pytestmark = pytest.mark.django_db(transaction=True)
VALUE = "hf_open-sesame-42"


def test_no_answer_of_the_api_holds_a_value(ada: User, workspace: Workspace) -> None:
    api, path = Script(ada), "workspaces/dojo/secrets/"
    answers = [
        api("put", f"{path}hf_token/", {"value": VALUE}),
        api("get", path),
        api("put", f"{path}PATH/", {"value": VALUE}),
        api("put", f"{path}HF_TOKEN/", {"value": f"{VALUE} {VALUE}"}),
        api("put", f"{path}HF_TOKEN/", {"value": VALUE * 400}),
        api("put", f"{path}HF_TOKEN/", {"value": {VALUE: 1}}),
    ]
    assert [each.status_code for each in answers] == [204, 200, 400, 400, 400, 400]
    assert all(VALUE not in each.content.decode() for each in answers)
    assert "HF_TOKEN, for example" in error_of(answers[2])[1]
    (listed,) = answers[1].json()
    assert (listed["name"], listed["readable"], listed["set_by"]["id"]) == ("HF_TOKEN", True, ada.pk)


def test_the_command_line_reads_a_value_and_never_shows_it(
    signed_in: None,  # noqa: F811
    kumite: Terminal,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert "No secret is kept" in kumite("secrets")
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{VALUE}\n"))
    assert kumite("secret-set", "HF_TOKEN") == "HF_TOKEN is kept in dojo. Runs that start from now on get it.\n"
    shown = kumite("secrets", "--json") + kumite("secrets")
    assert ("HF_TOKEN" in shown, VALUE in shown) == (True, False)
    monkeypatch.setattr("sys.stdin", io.StringIO("short"))
    assert "8 to 4,096 characters" in kumite("secret-set", "HF_TOKEN", expect=Exit.WRONG_INPUT)
    assert "is forgotten" in kumite("secret-remove", "HF_TOKEN")
    assert "no such secret" in kumite("secret-remove", "HF_TOKEN", expect=Exit.NOT_FOUND)


def test_the_command_line_draws_lines(signed_in: None, kumite: Terminal) -> None:  # noqa: F811
    assert "no line yet" in kumite("rules")
    drawn = kumite("rule-add", "reward/solver", "below", "0.3", "--all")
    assert "told of reward/solver below 0.3" in drawn
    number = drawn.split()[1].rstrip(":")
    assert "all of your workspaces" in kumite("rules")
    assert "removed" in kumite("rule-remove", number)
    assert "no such rule" in kumite("rule-remove", number, expect=Exit.NOT_FOUND)


def test_a_member_who_owns_nothing_is_not_told_names(ben: User, cyn: User, workspace: Workspace) -> None:
    asked: list[tuple[User, Any]] = [
        (person, Script(person)("get", "workspaces/dojo/secrets/")) for person in (ben, cyn)
    ]
    assert [answer.status_code for _, answer in asked] == [403, 404]
