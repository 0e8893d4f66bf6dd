"""Comments with mentions, and pins, flags and tags of samples."""

from collections.abc import Callable
from typing import Any

import pytest
from django.http import Http404
from django.test import Client
from django.urls import reverse

from tests.factories import mae_events, tell
from webapp.accounts.models import User
from webapp.experiments.models import Run
from webapp.notices.models import Notice
from webapp.review import services
from webapp.review.models import Comment
from webapp.review.notes import marks_by_name, threads_at, threads_of
from webapp.review.signals import commented
from webapp.telemetry import selectors
from webapp.telemetry.finding import SampleFilter
from webapp.workspaces.models import Membership
from webapp.workspaces.selectors import PermissionDenied

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def run(run_in: Callable[..., Run]) -> Run:
    run = run_in("running")
    tell(run, mae_events(2))
    return run


def say(actor: User, run: Run, text: str, kind: str = "run", place: str = "", **more: Any) -> Comment:
    return services.add_comment(actor=actor, run_id=run.pk, place_kind=kind, place=place, text=text, **more)


def test_comments_stand_at_places_have_answers_and_name_members(run: Run, ada: User, ben: User, cyn: User) -> None:
    heard: list[Comment] = []
    commented.connect(hear := lambda sender, comment, **_: heard.append(comment))
    say(ada, run, "Why does it dip?", "metric", "reward/solver@2")
    first = say(ada, run, "Look, @ben and @cyn", "sample", "1-0")
    answer = say(ada, run, "And here?", thread_id=first.pk)
    say(ada, run, "This turn", "turn", "1-0:2")
    commented.disconnect(hear)
    assert [user.email for user in first.mentions.all()] == ["ben@example.org"]  # cyn is no member
    assert len(heard) == 4
    (notice,) = Notice.objects.all()
    assert (notice.user, notice.kind, notice.url.endswith(f"#comment-{first.pk}")) == (ben, "mention", True)
    (thread,) = threads_at(run, "sample", "1-0")
    assert (thread.comment, thread.replies) == (first, [answer])
    assert [found.where for found in threads_of(run)] == [
        "turn 3 of sample 1-0",
        "sample 1-0",
        "reward/solver at step 2",
    ]
    assert threads_of(run)[1].seq is not None


@pytest.mark.parametrize(
    "place", [("sample", "9-9"), ("turn", "1-0:99"), ("metric", "no/such@1"), ("metric", "reward/solver@x"), ("x", "")]
)
def test_nothing_is_said_where_nothing_is(place: tuple[str, str], run: Run, ada: User) -> None:
    with pytest.raises(ValueError, match="no such place"):
        say(ada, run, "Hm", *place)


def test_one_changes_ones_own_and_owners_take_anything_away(run: Run, ada: User, ben: User, cyn: User) -> None:
    with pytest.raises(PermissionDenied):
        say(ben, run, "I only read")
    with pytest.raises(Http404):
        say(cyn, run, "I am not here")
    Membership.objects.filter(user=ben).update(role="editor")
    comment = say(ben, run, "Mine")
    with pytest.raises(PermissionDenied):
        services.edit_comment(actor=ada, comment_id=comment.pk, text="Yours")
    services.edit_comment(actor=ben, comment_id=comment.pk, text="Still mine")
    answer = say(ada, run, "Yes", thread_id=comment.pk)
    services.delete_comment(actor=ada, comment_id=comment.pk)
    (thread,) = threads_of(run)  # an answer keeps the place of what was taken away
    assert (thread.comment.text, thread.replies) == ("", [answer])
    with pytest.raises(Http404):
        services.edit_comment(actor=ben, comment_id=comment.pk, text="Again")


def test_marks_are_shared_and_taken_away_by_the_same_press(run: Run, ada: User) -> None:
    def press(kind: str, tag: str = "") -> Any:
        return services.toggle_mark(actor=ada, run_id=run.pk, episode="1-0", kind=kind, tag=tag)

    assert press("pin") is not None
    assert press("tag", " Odd  one ").tag == "odd one"
    assert list(marks_by_name(run)) == ["Pinned", "odd one"]
    assert [row["episode"] for row in selectors.samples(run, SampleFilter(show="marked"))] == ["1-0"]
    assert press("pin") is None
    assert list(marks_by_name(run)) == ["odd one"]
    with pytest.raises(ValueError, match="pinned, flagged, or tagged"):
        press("tag")


def test_the_sample_page_and_the_tab_show_what_people_wrote_as_text(run: Run, ada: User, client: Client) -> None:
    client.force_login(ada)
    form = {"place_kind": "sample", "place": "1-0", "text": "<b>bold</b>"}
    part = client.post(reverse("add_comment", args=[run.pk]), form, headers={"HX-Request": "true"}).text
    assert "&lt;b&gt;bold&lt;/b&gt;" in part
    client.post(reverse("mark_sample", args=[run.pk]), {"episode": "1-0", "kind": "tag", "tag": "odd"})
    tab = client.get(reverse("run_part", args=[run.pk, "notes"])).text
    assert "&lt;b&gt;bold&lt;/b&gt;" in tab
    assert "odd" in tab
    metric = {"place_kind": "metric", "place": "reward/solver", "step": "2", "text": "dip", "show": "notes"}
    tab = client.post(reverse("add_comment", args=[run.pk]), metric, headers={"HX-Request": "true"}).text
    assert "reward/solver at step 2" in tab


def test_points_of_curves_with_comments_are_told_and_open_with_what_was_said(
    run: Run, ada: User, ben: User, client: Client
) -> None:
    for text in ("It jumps here", "Because of the knob"):
        say(ada, run, text, "metric", "reward/solver@2")
    say(ada, run, "Gone again", "metric", "reward/solver@1")
    services.delete_comment(actor=ada, comment_id=Comment.objects.get(text="Gone again").pk)
    client.force_login(ben)
    address = reverse("run_remarks", args=[run.pk])
    assert client.get(address).json() == {"remarks": [{"metric": "reward/solver", "step": 2, "number": 2}]}
    html = client.get(address, {"at": "reward/solver@2"}).text
    assert "It jumps here" in html
    assert "<textarea" not in html
