"""Metrics and samples taken out: every point once, in files other programs read."""

import csv
import io
import json
import struct
import zipfile
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from tests.factories import START_T, mae_events, make_experiment, make_run, tell
from webapp.accounts.models import User
from webapp.experiments.models import Run
from webapp.experiments.services import create_share_link, revoke_share_link
from webapp.exports.event_files import crc32c, masked_crc, record, scalars
from webapp.exports.parquet import parquet
from webapp.exports.rows import point_rows
from webapp.exports.services import export
from webapp.review.models import Mark
from webapp.telemetry.finding import SampleFilter
from webapp.telemetry.selectors import samples
from webapp.workspaces.models import Workspace

pytestmark = pytest.mark.django_db


@pytest.fixture
def run(workspace: Workspace, ada: User) -> Run:
    run = make_run(make_experiment(workspace, ada))
    values: list[dict[str, Any]] = [{"loss": 0.5, "reward/solver": 1.0}, {"loss": None}, {"loss": 1e-9}]
    tell(
        run,
        [
            {"seq": place, "kind": "metric", "step": place, "t": START_T + place, "data": {"values": said}}
            for place, said in enumerate(values, start=1)
        ],
    )
    return run


def content(runs: list[Run], what: str = "metrics", form: str = "csv") -> bytes:
    return b"".join(export(runs, what=what, form=form).parts)


def test_metrics_as_csv_are_a_line_an_event_and_a_column_a_metric(run: Run) -> None:
    rows = list(csv.reader(io.StringIO(content([run]).decode())))
    head = [str(run.pk), "1", "1", str(START_T + 1)]
    assert rows[0] == ["run", "seq", "step", "t", "loss", "reward/solver"]
    assert rows[1] == [*head, "0.5", "1.0"]
    assert [row[4:] for row in rows[2:]] == [["", ""], ["1e-09", ""]]


def test_metrics_as_json_lines_are_the_values_as_stored(run: Run) -> None:
    lines = [json.loads(line) for line in content([run], form="jsonl").splitlines()]
    assert [line["values"] for line in lines] == [{"loss": 0.5, "reward/solver": 1.0}, {"loss": None}, {"loss": 1e-9}]
    assert (lines[0]["run"], lines[0]["seq"], lines[0]["step"]) == (str(run.pk), 1, 1)


def test_text_that_a_spreadsheet_would_run_is_quoted(run: Run) -> None:
    turn = {"role": "solver", "text": "4", "rewards": {}}
    data = {"episode": "1-0", "title": "=HYPERLINK(1)", "turns": [turn]}
    tell(run, [{"seq": 4, "kind": "sample", "step": 3, "t": START_T, "data": data}])
    rows = list(csv.DictReader(io.StringIO(content([run], what="samples").decode())))
    assert rows[0]["title"] == "'=HYPERLINK(1)"
    assert json.loads(rows[0]["data"])["title"] == "=HYPERLINK(1)"


def test_every_sample_is_in_the_export(workspace: Workspace, ada: User) -> None:
    run = make_run(make_experiment(workspace, ada))
    tell(run, mae_events(300))
    lines = [json.loads(line) for line in content([run], what="samples", form="jsonl").splitlines()]
    assert len(lines) == run.events.filter(kind="sample").count() == 600
    assert lines[0]["turns"]


def test_an_export_of_samples_is_narrowed_like_their_list(
    workspace: Workspace, ada: User, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webapp.exports.rows.AT_ONCE", 3)
    run = make_run(make_experiment(workspace, ada))
    tell(run, mae_events(10))
    wanted = SampleFilter(kind="proposal", step_from=3)
    expected = [each["seq"] for each in samples(run, wanted, limit=200)]
    lines = [
        json.loads(line)
        for line in b"".join(export([run], what="samples", form="jsonl", wanted=wanted).parts).splitlines()
    ]
    assert [line["seq"] for line in lines] == sorted(expected)
    assert len(lines) > 3
    # What members think of samples is no business of whoever holds a share link.
    episode = lines[0]["episode"]
    Mark.objects.create(run=run, episode=episode, kind="pin", by=ada)
    _, secret = create_share_link(actor=ada, run_id=run.pk)
    query = {"what": "samples", "form": "jsonl", "show": "marked"}
    client.force_login(ada)
    own = b"".join(client.get(reverse("export_run", args=[run.pk]), query)).splitlines()
    assert [json.loads(line)["episode"] for line in own] == [episode]
    shared = b"".join(client.get(reverse("share_export", args=[secret]), query)).splitlines()
    assert len(shared) == 20
    page = client.get(reverse("share_find", args=[secret]), {"show": "marked"})
    assert (page.context["wanted"].show, "marked" in page.context["show"]) == ("all", False)


def test_the_checksums_of_event_files_are_those_of_the_standard() -> None:
    """CRC-32C of "123456789" is the check value of the catalogue, that of 32 zero bytes is in RFC 3720; masks by hand."""
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(bytes(32)) == 0x8A9136AA
    assert masked_crc(bytes(32)) == ((0x8A9136AA >> 15 | 0x8A9136AA << 17) + 0xA282EAD8) & 0xFFFFFFFF


def test_an_event_message_has_the_bytes_that_tensorboard_reads() -> None:
    """wall_time 1.5 (tag 0x09), step 300 (0x10), summary (0x2a) with one value (0x0a): tag "a" and 0.25 (0x15)."""
    value = b"\x0a\x01a\x15" + struct.pack("<f", 0.25)
    expected = b"\x09" + struct.pack("<d", 1.5) + b"\x10\xac\x02" + b"\x2a\x0a\x0a\x08" + value
    assert scalars(1.5, 300, {"a": 0.25}) == expected
    framed = record(expected)
    assert framed[:8] == struct.pack("<Q", len(expected))
    assert framed[12:-4] == expected
    assert len(framed) == len(expected) + 16


def test_several_runs_are_an_archive_with_a_folder_each_for_tensorboard(run: Run) -> None:
    other = make_run(run.experiment)
    archive = zipfile.ZipFile(io.BytesIO(content([run, other], form="tensorboard")))
    assert archive.testzip() is None
    names = archive.namelist()
    assert len({name.partition("/")[0] for name in names}) == 2
    assert archive.read(names[0]) == content([run], form="tensorboard")


def test_parquet_is_read_back_as_it_was(run: Run) -> None:
    """By pyarrow where it is installed, as it comes with the packages for benchmarks."""
    reader = pytest.importorskip("pyarrow.parquet")
    table = reader.read_table(io.BytesIO(content([run], form="parquet")))
    assert table.to_pylist() == [
        dict(zip(("run", "seq", "step", "t", "name", "value"), row, strict=True)) for row in point_rows([run])
    ]
    assert [str(kind) for kind in table.schema.types] == ["string", "int64", "int64", "double", "string", "double"]
    rows = [(f"é{n}", n - 30_000, n / 7) for n in range(45_000)]
    many = reader.read_table(io.BytesIO(b"".join(parquet({"a": str, "b": int, "c": float}, rows))))
    assert many.num_rows == 45_000
    assert [tuple(row.values()) for row in many.to_pylist()] == rows


def test_a_parquet_file_without_rows_is_one(run: Run) -> None:
    found = b"".join(parquet({"a": str}, []))
    assert found[:4] == found[-4:] == b"PAR1"
    assert struct.unpack("<I", found[-8:-4])[0] == len(found) - 12


def test_a_download_is_named_and_streamed(run: Run, ada: User, client: Client) -> None:
    client.force_login(ada)
    answer = client.get(reverse("export_run", args=[run.pk]), {"form": "csv"})
    assert answer.streaming
    assert answer["Content-Disposition"] == 'attachment; filename="first-light-1-metrics.csv"'
    assert b"".join(answer) == content([run])
    assert (
        client.get(reverse("export_run", args=[run.pk]), {"what": "samples", "form": "tensorboard"}).status_code == 404
    )


def test_whoever_holds_a_share_link_takes_out_what_it_shows(run: Run, ada: User, client: Client) -> None:
    link, secret = create_share_link(actor=ada, run_id=run.pk)
    address = reverse("share_export", args=[secret])
    answer = client.get(address, {"what": "metrics", "form": "csv"})
    assert b"".join(answer) == content([run])
    assert f"{address}?what=samples&amp;form=parquet" in client.get(reverse("share", args=[secret])).text
    revoke_share_link(actor=ada, run_id=run.pk, link_id=link.pk)
    assert client.get(address).status_code == 404
