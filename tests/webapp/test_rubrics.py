"""Rubrics: how judges are asked, in versions, in specs, and when answers are graded again."""

import pytest
from django.http import Http404
from django.urls import reverse

from tests.factories import mae_events, make_experiment, make_run, tell
from training_core.spec.io import dump_dict, parse_spec
from training_core.spec.rubrics import digest_of
from webapp.experiments.models import Run
from webapp.jobs.weights import Moment
from webapp.library.rubric_services import create_rubric, retire_rubric, save_version
from webapp.library.rubrics import num_uses_in, openings, rubric_for, shown_versions, uses_of, versions_in
from webapp.reports.passport import passport_of
from webapp.review.selectors import judge_of
from webapp.review.services import grade_run_again
from webapp.workspaces.models import AuditEvent
from webapp.workspaces.selectors import PermissionDenied

pytestmark = pytest.mark.django_db(transaction=True)
STRICT = "Grade {answer} to {question}. Write <score>1</score> to <score>10</score>."


@pytest.fixture
def version(workspace, ada):
    return create_rubric(actor=ada, workspace=workspace, name=" Strict  one ", kind="answer", text=STRICT + "\r\n")


def run_with(version, workspace, ada, **more) -> Run:
    run = make_run(make_experiment(workspace, ada), "succeeded")
    spec = {**run.spec, "method": {**run.spec["method"], "judge_rubric": version.in_spec, **more}}
    Run.objects.filter(pk=run.pk).update(spec=dump_dict(parse_spec(spec)))
    run.refresh_from_db()
    return run


def test_an_edited_text_is_a_new_version_and_the_same_text_is_not(version, ada):
    assert (str(version), version.text, version.digest) == ("Strict one, version 1", STRICT, digest_of(STRICT))
    assert save_version(actor=ada, rubric_id=version.rubric_id, text=f"\n{STRICT} ") == version
    later = save_version(actor=ada, rubric_id=version.rubric_id, text=STRICT.replace("Grade", "Judge"), note="kinder")
    newest, first = shown_versions(version.rubric, [])
    assert (newest.version, newest.version.number, newest.version.note) == (later, 2, "kinder")
    assert [piece.text for piece in newest.before if piece.differs] == ["Grade"]
    assert [piece.text for piece in newest.after if piece.differs] == ["Judge"]
    assert (first.after, first.hints) == ([], [])
    actions = AuditEvent.objects.filter(action__startswith="rubric.").order_by("pk").values_list("action", flat=True)
    assert list(actions) == ["rubric.created", "rubric.version_saved"]


def test_what_no_judge_could_read_is_refused_in_a_sentence(version, workspace, ada):
    refused = {
        "Grade it.": r"never shows the answer; put \{answer\}",
        "{answer} {truth}": r"\{truth\} is not known here; a rubric of this kind may show \{question\} and \{answer\}",
        "  ": "needs a text",
        "x" * 20_001: "at most 20,000 characters",
    }
    for text, words in refused.items():
        with pytest.raises(ValueError, match=words):
            create_rubric(actor=ada, workspace=workspace, name="Other", kind="answer", text=text)
    with pytest.raises(ValueError, match="is there already"):
        create_rubric(actor=ada, workspace=workspace, name="Strict one", kind="answer", text=STRICT)
    with pytest.raises(ValueError, match="no kind of rubric"):
        create_rubric(actor=ada, workspace=workspace, name="Other", kind="poem", text=STRICT)
    asks_nothing = save_version(actor=ada, rubric_id=version.rubric_id, text="Grade {answer}")
    (newest, _) = shown_versions(version.rubric, [])
    assert newest.version == asks_nothing
    assert [hint.split(".")[0] for hint in newest.hints] == [
        "It never asks for <score>",
        "It never shows {question}, so the judge sees what was answered but not what was asked",
    ]


def test_editors_write_viewers_read_and_outsiders_see_nothing(version, workspace, ben, cyn):
    assert rubric_for(ben, version.rubric_id) == version.rubric
    with pytest.raises(PermissionDenied):
        save_version(actor=ben, rubric_id=version.rubric_id, text="{answer}")
    with pytest.raises(Http404):
        rubric_for(cyn, version.rubric_id)


def test_a_retired_rubric_is_offered_no_more_until_it_is_offered_again(version, workspace, ada):
    retire_rubric(actor=ada, rubric_id=version.rubric_id)
    assert versions_in(workspace) == []
    other = create_rubric(actor=ada, workspace=workspace, name="Strict one", kind="answer", text=STRICT)
    with pytest.raises(ValueError, match="has taken the name"):
        retire_rubric(actor=ada, rubric_id=version.rubric_id, retired=False)
    retire_rubric(actor=ada, rubric_id=other.rubric_id)
    retire_rubric(actor=ada, rubric_id=version.rubric_id, retired=False)
    assert versions_in(workspace, "answer") == [version]


def test_a_run_tells_which_version_its_judge_was_asked_with(version, workspace, ada):
    run = run_with(version, workspace, ada, judge={"kind": "frozen"})
    make_run(make_experiment(workspace, ada), "queued")  # asks in the method's own words
    assert [(use.number, use.run) for use in uses_of(version.rubric)] == [(1, run)]
    assert num_uses_in(workspace) == {version.rubric_id: 1}
    assert judge_of(run, 7) == "frozen, starter, Strict one version 1"
    assert passport_of(run).content["settings"]["rubrics"] == {"judge_rubric": "Strict one version 1"}
    assert passport_of(run).content["spec"]["method"]["judge_rubric"]["text"] == STRICT


def test_answers_graded_again_remember_the_version_while_its_text_is_unchanged(version, workspace, ada):
    run = make_run(make_experiment(workspace, ada), "succeeded")
    tell(run, mae_events(3))
    judge = Moment(run=run, step=0)
    again = grade_run_again(actor=ada, run=run, judge=judge, template=STRICT, version=version)
    assert (again.rubric_version, again.edited, again.job.payload["template"]) == (version, True, STRICT)
    edited = grade_run_again(actor=ada, run=run, judge=judge, template=f"{STRICT} Be kind.", version=version)
    assert (edited.rubric_version, edited.edited) == (None, True)
    assert [use.regrading for use in uses_of(version.rubric)] == [again]


def test_the_methods_own_words_are_there_to_begin_from():
    keys = {opening.key for opening in openings()}
    assert {"mae/answer/chat", "mae/answer/starter", "mae/question/chat", "spar/vote/chat"} <= keys
    assert any(key.endswith("/pair/chat") for key in keys)
    begun = next(opening for opening in openings() if opening.key == "mae/answer/starter")
    assert begun.text == "<|judge|>{answer}<|reply|>{question}<|go|>"


def test_a_rubric_is_written_and_edited_on_its_pages(client, workspace, ada):
    client.force_login(ada)
    assert "No rubric yet" in client.get(reverse("rubrics")).text
    begun = client.get(reverse("new_rubric"), {"begin": "mae/answer/chat"}).text
    assert "You grade answers strictly." in begun
    refused = client.post(reverse("new_rubric"), {"name": "Mine", "kind": "answer", "text": "Hm <b>"})
    assert (refused.status_code, "Hm &lt;b&gt;" in refused.text) == (422, True)
    made = client.post(reverse("new_rubric"), {"name": "Mine", "kind": "answer", "text": STRICT})
    page = client.get(made.url).text
    assert "version 1 now" in page
    rubric_id = made.url.rstrip("/").rpartition("/")[2]
    refused = client.post(reverse("save_rubric_version", args=[rubric_id]), {"text": "{x}"})
    assert (refused.status_code, "{x} is not known here" in refused.text) == (422, True)
    client.post(reverse("save_rubric_version", args=[rubric_id]), {"text": f"{STRICT} Now.", "note": "sooner"})
    assert "sooner" in client.get(reverse("rubrics")).text
    client.post(reverse("save_rubric_version", args=[rubric_id]), {"text": f"{STRICT} Soon."})
    compare = {"before": "1", "after": "3"}
    assert "The very same text" not in client.get(made.url, compare).text
    found = client.get(made.url, compare).context["comparison"]
    assert (found.before.number, [piece.text for piece in found.right if piece.differs]) == (1, [" Soon."])
    assert "The very same text" in client.get(made.url, compare | {"before": "3"}).text
    assert client.get(made.url, compare | {"before": "9"}).context["comparison"] is None
    words = client.get(reverse("again_words"), {"rubric_version": versions_in(workspace)[1].pk}).text
    assert f"{STRICT} Now." in words.replace("&lt;", "<").replace("&gt;", ">")


def test_compose_takes_a_version_and_keeps_its_name_until_the_text_is_edited(client, version, workspace, ada):
    client.force_login(ada)
    block = f"{reverse('compose_block')}?path=method.judge_rubric"
    form = {"method": "mae", "method.judge_rubric": "answer_rubric", "model.source": "starter"}
    own = client.post(block, form).text
    assert "&lt;|judge|&gt;{answer}" in own
    picked = client.post(block, {**form, "pick.method.judge_rubric": version.pk}).text
    assert f'name="method.judge_rubric.digest" value="{version.digest}"' in picked
    fields = {f"method.judge_rubric.{key}": str(value) for key, value in version.in_spec.items()}
    checked = client.post(reverse("compose_check"), {**form, **fields}).text
    assert "name: Strict one" in checked
    edited = {**form, **fields, "method.judge_rubric.text": f"{STRICT} Be kind."}
    assert "name: Strict one" not in client.post(reverse("compose_check"), edited).text
    wrong = client.post(reverse("compose_check"), {**form, **fields, "method.judge_rubric.text": "{x}"}).text
    assert "{x} is not known here" in wrong
