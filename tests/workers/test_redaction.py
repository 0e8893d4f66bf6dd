"""What a run says is stored without the secrets it was given, however the pieces arrive."""

import io
import json
from pathlib import Path

import pytest

from workers.output import OutputLog
from workers.redaction import Redactor
from workers.relay import EventFile

SECRETS = {"HF_TOKEN": "hf_abcdefgh", "LONG_KEY": "hf_abcdefgh-and-more"}


def test_each_secret_is_shown_by_its_name() -> None:
    redactor = Redactor(SECRETS)
    assert redactor.clean(b"hf_abcdefgh hf_abcdefgh-and-more hf_abcdefg") == b"[HF_TOKEN] [LONG_KEY] hf_abcdefg"
    assert Redactor().clean(b"hf_abcdefgh") == b"hf_abcdefgh"


class _Pieces(io.BytesIO):
    """A pipe that gives so many bytes at a time."""

    size = 1

    def read1(self, size: int | None = -1) -> bytes:
        return super().read1(self.size)


@pytest.mark.parametrize("size", [1, 3, 7, 11, 1000])
def test_output_holds_no_secret_in_whatever_pieces_it_comes(size: int, tmp_path: Path) -> None:
    pipe = _Pieces(b"token hf_abcdefgh-and-more, then hf_abcdefgh. The end: hf_abc")
    pipe.size = size
    output = OutputLog(tmp_path / "output.log", redactor=Redactor(SECRETS))
    output.drain(pipe)
    output.close()
    assert output.tail() == "token [LONG_KEY], then [HF_TOKEN]. The end: hf_abc"


def test_events_are_read_without_them(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    file = EventFile(path, last_seq=0, redactor=Redactor(SECRETS))
    event = {"seq": 1, "kind": "log", "step": 0, "t": 1.0, "data": {"level": "info", "text": "got hf_abcdefgh"}}
    path.write_text(json.dumps(event) + "\n" + "not JSON: hf_abcdefgh\n", encoding="utf-8")
    batch = file.next_batch()
    assert batch is not None
    texts = [event["data"]["text"] for event in batch.events]
    assert texts[0] == "got [HF_TOKEN]"
    assert texts[1].endswith("not JSON: [HF_TOKEN]\n")
