"""Reports and passports: what they hold, who reads them, and what they are as files."""

import hashlib
import json
import re

import pytest

from tests.factories import mae_events, make_experiment, make_run, tell
from webapp.pages.figures import Curve, figure, svg
from webapp.reports.blocks import ChartBlock, SampleBlock, TextBlock, read_blocks
from webapp.reports.models import Report
from webapp.reports.passport import canonical, passport_of
from webapp.reports.services import ReportChanged, create_report, create_report_link, revoke_report_link, save_report

pytestmark = pytest.mark.django_db


@pytest.fixture
def runs(workspace, ada):
    frozen = make_experiment(workspace, ada, name="Frozen judge", method={"name": "mae", "judge": {"kind": "frozen"}})
    made = [make_run(make_experiment(workspace, ada), "succeeded"), make_run(frozen, "succeeded")]
    for seed, run in enumerate(made):
        tell(run, mae_events(12, seed=seed))
    return made


@pytest.fixture
def report(workspace, ada, runs):
    return create_report(actor=ada, workspace=workspace, title="Which judge?", runs=runs)


def test_a_report_of_runs_begins_with_their_curves_scores_settings_and_passports(report, ada, client):
    client.force_login(ada)
    page = client.get(f"/reports/{report.pk}/").content.decode()
    assert 'class="figure"' in page
    assert "Frozen judge, run 1" in page
    assert "method.judge.kind" in page
    assert "Before, step 0" in page
    assert page.count("sha256") == 0
    assert len(re.findall(r"[0-9a-f]{64}", page)) >= 2


def test_a_report_reads_its_runs_whenever_it_is_opened(workspace, ada, client):
    run = make_run(make_experiment(workspace, ada), "running")
    report = create_report(actor=ada, workspace=workspace, title="Live", runs=[run])
    client.force_login(ada)
    page = client.get(f"/reports/{report.pk}/").content.decode()
    assert "hx-trigger" in page
    assert "None of these runs has reported" in page
    tell(run, mae_events(4))
    assert 'class="figure"' in client.get(f"/reports/{report.pk}/panels/").content.decode()
    run.experiment.delete()
    assert "no longer exist" in client.get(f"/reports/{report.pk}/panels/").content.decode()


def test_buttons_of_the_editor_change_the_form_and_save_nothing(report, ada, client):
    client.force_login(ada)
    form = {"version": "1", "title": "T", "count": "1", "b0-kind": "text", "b0-text": "one"}
    page = client.post(f"/reports/{report.pk}/edit/", {**form, "action": "add:chart"}).content.decode()
    assert 'name="b1-metric"' in page
    two = {**form, "count": "2", "b1-kind": "text", "b1-text": "two"}
    moved = client.post(f"/reports/{report.pk}/edit/", {**two, "action": "up:1"}).content.decode()
    assert moved.index(">two<") < moved.index(">one<")
    gone = client.post(f"/reports/{report.pk}/edit/", {**two, "action": "remove:0"}).content.decode()
    assert ">one<" not in gone
    report.refresh_from_db()
    assert report.version == 1
    client.post(f"/reports/{report.pk}/edit/", {**two, "action": "save"})
    report.refresh_from_db()
    assert (report.title, [block["text"] for block in report.blocks]) == ("T", ["one", "two"])


def test_two_people_who_save_at_once_lose_nothing(report, ada, client):
    save_report(actor=ada, report_id=report.pk, version=1, title="First", blocks=[TextBlock(text="mine")])
    with pytest.raises(ReportChanged):
        save_report(actor=ada, report_id=report.pk, version=1, title="Second", blocks=[])
    client.force_login(ada)
    form = {
        "version": "1",
        "title": "Second",
        "count": "1",
        "b0-kind": "text",
        "b0-text": "my long words",
        "action": "save",
    }
    answer = client.post(f"/reports/{report.pk}/edit/", form)
    assert answer.status_code == 409
    assert "my long words" in answer.content.decode()
    assert Report.objects.get().title == "First"


def test_what_cannot_be_saved_is_refused_with_a_sentence(report, ada, client):
    client.force_login(ada)
    form = {"version": "1", "title": "T", "count": "1", "b0-kind": "sample", "b0-seq": "x", "action": "save"}
    answer = client.post(f"/reports/{report.pk}/edit/", form)
    assert answer.status_code == 422
    assert "Block 1 cannot be used" in answer.content.decode()
    with pytest.raises(ValueError, match="title"):
        save_report(actor=ada, report_id=report.pk, version=1, title=" ", blocks=[])
    with pytest.raises(ValueError, match="Block 1"):
        read_blocks([{"kind": "script"}])


def test_text_of_people_and_models_stays_text(workspace, ada, runs, client):
    report = create_report(actor=ada, workspace=workspace, title="<i>x</i>", runs=[])
    hostile = "<script>alert(1)</script> [x](javascript:alert(1)) ![y](https://a.example/p.png)"
    seq = runs[0].events.filter(kind="sample").first().seq
    runs[0].events.filter(seq=seq).update(
        data={
            "episode": "1-0",
            "title": "<b>t</b>",
            "facts": {},
            "turns": [{"role": "solver", "text": "</pre><script>alert(2)</script>", "rewards": {}, "reward": 1.0}],
        }
    )
    blocks = [TextBlock(text=hostile), SampleBlock(runs=[runs[0].pk], seq=seq)]
    save_report(actor=ada, report_id=report.pk, version=1, title="<i>x</i>", blocks=blocks)
    client.force_login(ada)
    for page in (client.get(f"/reports/{report.pk}/"), client.get(f"/reports/{report.pk}/report.html")):
        body = page.content.decode()
        assert "alert(2)&lt;/script&gt;" in body
        assert "<script>alert" not in body
        assert 'href="javascript' not in body
        assert 'p.png"' not in body.replace("https://a.example/p.png)", "")
        assert "<i>x</i>" not in body


def test_files_need_nothing_else(report, ada, client):
    client.force_login(ada)
    page = client.get(f"/reports/{report.pk}/report.html")
    body = page.content.decode()
    assert "attachment" in page["Content-Disposition"]
    assert "<svg" in body
    assert not re.findall(r"""(?:src|href)=["'](?!#)""", body)
    paper = client.get(f"/reports/{report.pk}/report.pdf")
    assert paper.content.startswith(b"%PDF-")
    assert paper.content.count(b"/Type /Page\n") >= 1


def test_whoever_holds_a_link_reads_until_it_is_taken_back(report, ada, client):
    link, secret = create_report_link(actor=ada, report_id=report.pk)
    page = client.get(f"/r/{secret}/").content.decode()
    assert "Which judge?" in page
    assert "/runs/" not in page
    assert client.get(f"/r/{secret}/report.pdf").status_code == 200
    assert secret not in str(list(Report.objects.values_list("links__digest", flat=True)))
    revoke_report_link(actor=ada, report_id=report.pk, link_id=link.pk)
    assert client.get(f"/r/{secret}/").status_code == 404


def test_a_report_shows_no_run_of_another_workspace(report, ada, cyn, client):
    from webapp.workspaces.services import create_workspace

    foreign = make_run(make_experiment(create_workspace(name="Cyn's", owner=cyn), cyn, name="Secret"), "succeeded")
    tell(foreign, mae_events(3))
    chart = ChartBlock(runs=[foreign.pk], metric="reward/solver")
    save_report(actor=ada, report_id=report.pk, version=1, title="T", blocks=[chart])
    client.force_login(ada)
    page = client.get(f"/reports/{report.pk}/").content.decode()
    assert "Secret" not in page
    assert "no longer exist" in page
    with pytest.raises(ValueError, match="its own workspace"):
        create_report(actor=ada, workspace=report.workspace, title="T", runs=[foreign])


def test_the_passport_s_hash_is_that_of_its_content(runs, ada, client):
    client.force_login(ada)
    told = json.loads(client.get(f"/runs/{runs[0].pk}/passport.json").content)
    content = json.dumps(told["content"], sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    assert told["sha256"] == hashlib.sha256(content).hexdigest()
    assert told["final"] is True
    assert told["content"]["spec"] == runs[0].spec
    assert [c["step"] for c in told["content"]["checkpoints"]] == [10]
    assert told["sha256"] in client.get(f"/runs/{runs[0].pk}/passport/").content.decode()
    assert client.get(f"/runs/{runs[0].pk}/passport.pdf").content.startswith(b"%PDF-")


def test_the_passport_changes_with_what_decides_a_run(runs):
    before = passport_of(runs[0]).digest
    assert passport_of(runs[0]).digest == before
    runs[0].spec = {**runs[0].spec, "seed": 7}
    assert passport_of(runs[0]).digest != before
    assert canonical({"b": 1, "a": "ä"}) == '{"a":"ä","b":1}'.encode()


def test_a_run_tells_what_carried_it_out(runs):
    facts = {"kumite": "0.4.0", "code": "ab", "torch": "2.13.0"}
    told = {"seq": runs[0].last_seq + 1, "kind": "log", "step": 12, "t": 1.0}
    tell(runs[0], [{**told, "data": {"level": "info", "text": "Kumite", "facts": facts}}])
    assert passport_of(runs[0]).content["machine"] == facts


def test_a_drawing_has_round_ticks_and_says_what_it_shows():
    drawing = figure("Accuracy", [Curve(label="run 1", points=[(0, 0.42), (45, 0.84), (50, float("nan"))], hue=0)])
    assert drawing is not None
    assert [tick.words for tick in drawing.y_ticks] == ["0.4", "0.5", "0.6", "0.7", "0.8", "0.9"]
    assert drawing.paths == [[(54.0, pytest.approx(216.2 - 0, abs=10)), (628.0, pytest.approx(37, abs=4))]]
    assert drawing.words == "Accuracy over step: run 1 from 0.42 to 0.84"
    assert 'aria-label="Accuracy over step' in svg(drawing)
    assert figure("Nothing", [Curve(label="a", points=[], hue=0)]) is None
    single = figure("One", [Curve(label="a", points=[(3, 1.0)], hue=0)])
    assert single is not None
    assert "<circle" in svg(single)
