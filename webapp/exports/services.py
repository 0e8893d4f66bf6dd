"""One export: which runs, which part of what they said, and in which format."""

import asyncio
import io
import zipfile
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from asgiref.sync import sync_to_async
from django.http import HttpResponse, StreamingHttpResponse
from django.utils.text import slugify

from webapp.experiments.models import Run
from webapp.exports import event_files, lines, rows
from webapp.exports.parquet import parquet
from webapp.telemetry.finding import SampleFilter

CHUNK_BYTES = 64 * 1024
MAX_RUNS = 100

Writer = Callable[[Sequence[Run]], Iterator[bytes]]
SampleWriter = Callable[[Sequence[Run], SampleFilter | None], Iterator[bytes]]

METRICS: Final[dict[str, Writer]] = {
    "csv": lines.metrics_csv,
    "jsonl": lines.metrics_jsonl,
    "parquet": lambda runs: parquet(rows.POINT_COLUMNS, rows.point_rows(runs)),
    "tensorboard": event_files.metrics_events,
}
SAMPLES: Final[dict[str, SampleWriter]] = {
    "csv": lines.samples_csv,
    "jsonl": lines.samples_jsonl,
    "parquet": lambda runs, wanted: parquet(rows.SAMPLE_COLUMNS, rows.sample_rows(runs, wanted)),
}
_TYPES = {"csv": "text/csv; charset=utf-8", "jsonl": "application/jsonl; charset=utf-8"}


@dataclass(frozen=True, kw_only=True)
class Export:
    """A file that is made while it is sent."""

    name: str
    content_type: str
    parts: Iterator[bytes]


def export(
    runs: Sequence[Run], *, what: str = "metrics", form: str = "csv", wanted: SampleFilter | None = None
) -> Export:
    """``what`` is metrics or samples, ``form`` csv, jsonl, parquet or tensorboard (metrics only); else ``ValueError``.

    Of samples only those that are ``wanted``, if given.
    """
    offered = {"metrics": tuple(METRICS), "samples": tuple(SAMPLES)}
    if form not in offered.get(what, ()):
        listed = ", ".join(f"{part} as {kind}" for part, forms in offered.items() for kind in forms)
        raise ValueError(f"There is no export of {what} as {form}. There are: {listed}.")
    title = slugify(f"{runs[0].experiment.name}-{runs[0].number}") if len(runs) == 1 else f"{len(runs)}-runs"
    name = f"{title or 'run'}-{what}.{form}"
    parts = SAMPLES[form](runs, wanted) if what == "samples" else METRICS[form](runs)
    if form == "tensorboard" and len(runs) == 1:
        name = f"events.out.tfevents.{int(runs[0].created_at.timestamp())}.{title or 'run'}"
    elif form == "tensorboard":
        name, parts = f"{title}-tensorboard.zip", _zipped(runs, METRICS[form])
    return Export(name=name, content_type=_TYPES.get(form, "application/octet-stream"), parts=parts)


def response(found: Export) -> HttpResponse | StreamingHttpResponse:
    """The export as an answer that is never whole in memory."""
    answer = StreamingHttpResponse(_in_chunks(found.parts), content_type=found.content_type)
    answer["Content-Disposition"] = f'attachment; filename="{found.name}"'
    answer["X-Content-Type-Options"] = "nosniff"
    return answer


async def _in_chunks(parts: Iterator[bytes]) -> AsyncIterator[bytes]:
    """Chunks of a decent size, each made in the thread of the request, which holds the database connection."""
    while chunk := await sync_to_async(_chunk)(parts):
        yield chunk
        await asyncio.sleep(0)


def _chunk(parts: Iterator[bytes]) -> bytes:
    found: list[bytes] = []
    size = 0
    for part in parts:
        found.append(part)
        size += len(part)
        if size >= CHUNK_BYTES:
            break
    return b"".join(found)


def _zipped(runs: Sequence[Run], writer: Writer) -> Iterator[bytes]:
    """A folder for each run with its event file in it, as TensorBoard's ``--logdir`` wants it."""
    sink = _Sink()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        for run in runs:
            folder = f"{slugify(run.experiment.name) or 'run'}-{run.number}-{str(run.pk)[:8]}"
            name = f"{folder}/events.out.tfevents.{int(run.created_at.timestamp())}.kumite"
            with archive.open(name, "w", force_zip64=True) as file:
                for part in writer([run]):
                    file.write(part)
                    yield sink.taken()
    yield sink.taken()


class _Sink(io.RawIOBase):
    """Where an archive is written to and taken from, bit by bit."""

    def __init__(self) -> None:
        self._held = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: bytes | bytearray | memoryview) -> int:  # type: ignore[override]
        self._held += data
        return len(data)

    def taken(self) -> bytes:
        found = bytes(self._held)
        self._held.clear()
        return found
