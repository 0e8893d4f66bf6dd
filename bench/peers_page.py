"""Writes ``docs/compared.md`` from the stored results: ``python -m bench.peers_page``."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.speed_page import results

PAGE = Path(__file__).resolve().parent.parent / "docs" / "compared.md"
OURS = "Kumite"
Figures = dict[str, Any]

_HEAD = """# Beside other trackers
What Kumite costs beside the trackers that pip installs. All are asked the same in one run of `python -m bench.peers`, taking turns; each
peer lives in an environment of its own and is set up as its documentation tells. CPU-seconds count every process that takes part:
program, server, database, all of Chromium. **Bold** is the best of a line, whoever it is.
"""
_MEASURED = """
Measured on {day}, {processor}, {cores} cores, {memory_gib} GiB, Python {python}; load {load_before} before.
"""
_WORDS = """- *Not offered*: these pages ask again for everything instead of being told, so there is nothing to be cut off from;
  and none has a page that groups rollouts by question or searches all of them.
- Peers write into files on the machine that trains; Kumite's figures have the way over HTTP into Postgres in them. Who never leaves one
  machine pays for that with the larger set-up: Postgres, Redis and a server.
- A line with more points than its chart has places travels to Kumite's page as the mean of each stretch, with its extremes where bands are
  drawn; others send the points or a part of them. Zooming in reads the stretch again, down to every point.
"""


@dataclass(frozen=True, kw_only=True)
class Row:
    """A line of the table: what is told of a tracker's figures, and by what the least is the best."""

    title: str
    line: str
    remark: str
    """Under which key trackers remark on it."""
    bar: str
    tell: Callable[[Figures], str]
    rank: Callable[[Figures], float]


def _us(value: float) -> str:
    return f"{value:,.1f} µs" if value < 1000 else f"{value / 1000:,.1f} ms"


def _delay(found: Figures) -> str:
    if "p50_s" not in found:
        return f"{found['seen']} of {found['told']} values were seen"
    lost = "" if found["seen"] == found["told"] else f" ({found['seen']} of {found['told']} values)"
    return f"{found['p50_s']:.2f} s, {found['p95_s']:.2f} s{lost}"


def _opened(found: Figures) -> str:
    text = f"{found['browser_cpu_s']:.1f} CPU-s, {found['bytes'] / 1e6:.2f} MB, heap {found['heap_mb']:.0f} MB"
    return text if found["rests"] else f"over {text}, still at work after {found['wall_s']:.0f} s"


ROWS = (
    Row(
        title="A call of `log` with ten values: CPU time of the training program",
        line="told",
        remark="call",
        bar="≤ 100 µs",
        tell=lambda found: f"{found['call_cpu_us']:,.0f} µs",
        rank=lambda found: float(found["call_cpu_us"]),
    ),
    Row(
        title="How long that call holds training up: median, 99th percentile",
        line="told",
        remark="call",
        bar="never blocks",
        tell=lambda found: f"{_us(found['call_blocks_p50_us'])}, {_us(found['call_blocks_p99_us'])}",
        rank=lambda found: float(found["call_blocks_p50_us"]),
    ),
    Row(
        title="Points stored for good per CPU-second of all that takes part",
        line="told",
        remark="ingest",
        bar="≥ 30,000",
        tell=lambda found: f"{found['points_per_cpu_s']:,.0f}",
        rank=lambda found: -float(found["points_per_cpu_s"]),
    ),
    Row(
        title="Server: one metric of 50 runs × 1,000 steps",
        line="query",
        remark="query",
        bar="≤ 0.15 CPU-s, 0.3 MB",
        tell=lambda found: (
            f"{found['cpu_s']:.2f} CPU-s, {found['kilobytes'] / 1000:.2f} MB, {found['points']:,.0f} points"
        ),
        rank=lambda found: float(found["cpu_s"]),
    ),
    Row(
        title="Browser: page with four charts of these runs, until it rests",
        line="compare",
        remark="compare",
        bar="≤ 4 CPU-s, 0.8 MB, heap 100 MB",
        tell=_opened,
        rank=lambda found: float(found["browser_cpu_s"]),
    ),
    Row(
        title="Open page of a run while nothing is new",
        line="live",
        remark="idle",
        bar="≤ 1 kB/s",
        tell=lambda found: f"{found['idle_bytes_per_s'] / 1000:.2f} kB/s, {found['idle_requests']} requests in 20 s",
        rank=lambda found: float(found["idle_bytes_per_s"]),
    ),
    Row(
        title="From `log` to the API: median, 95th percentile",
        line="live",
        remark="latency",
        bar="",
        tell=lambda found: _delay(found["api"]),
        rank=lambda found: float(found["api"].get("p50_s", "inf")),
    ),
    Row(
        title="From `log` to the screen: median, 95th percentile",
        line="live",
        remark="screen",
        bar="≤ 0.3 s, 1 s",
        tell=lambda found: _delay(found["page"]) if "page" in found else "does not renew itself",
        rank=lambda found: float(found.get("page", {}).get("p50_s", "inf")),
    ),
    Row(
        title="Browser: page of a run of 1,000,000 points in 60 metrics, until it rests",
        line="million",
        remark="million",
        bar="≤ 2 CPU-s",
        tell=_opened,
        rank=lambda found: float(found["browser_cpu_s"]),
    ),
    Row(
        title="What pip installs, pip itself not counted",
        line="footprint",
        remark="footprint",
        bar="≤ 400 MB without torch",
        tell=lambda found: f"{found['megabytes']} MB, {found['packages']} packages",
        rank=lambda found: float(found["megabytes"]),
    ),
)


class Notes:
    """Remarks under the table, numbered; the same remark of the same tracker once."""

    def __init__(self) -> None:
        self.all: list[str] = []

    def mark(self, name: str, remark: str) -> str:
        note = f"{name}: {remark}."
        if note not in self.all:
            self.all.append(note)
        return f" [{self.all.index(note) + 1}]"

    def __iter__(self) -> Iterator[str]:
        return (f"{place}. {note}" for place, note in enumerate(self.all, start=1))


def page(found: Figures) -> str:
    if not found:
        return f"{_HEAD}\nNo figures are stored yet; that command measures them in about twelve minutes.\n"
    names, notes = list(found["versions"]), Notes()
    columns = [f"{name} {found['versions'][name]}" for name in names]
    typed = [found["commands"][name] for name in names]
    table = [
        _cells(["what", *columns, "our bar"]),
        "|" + " --- |" * (len(names) + 2),
        *(_row(found, names, row, notes) for row in ROWS),
        *_own_rows(len(names) - 1),
        _cells(["Typed until the first live chart", *typed, "two commands"]),
    ]
    measured = _MEASURED.format(day=found["measured_at"][:10], **found["machine"])
    behind = [text for row in ROWS if (text := _behind(found, row))]
    last = f"- Others are better at: {'; '.join(behind)}.\n" if behind else ""
    return "\n".join([_HEAD + measured, *table, "", *notes, "", _WORDS + last])


def _cells(texts: list[str]) -> str:
    return f"| {' | '.join(texts)} |"


def _row(found: Figures, names: list[str], row: Row, notes: Notes) -> str:
    figures = {name: found["lines"][row.line].get(name, {"missing": "was not asked"}) for name in names}
    ranks = {name: row.rank(one) for name, one in figures.items() if "missing" not in one}
    best = min(ranks, key=lambda name: ranks[name], default="")
    cells = []
    for name, one in figures.items():
        text = "not measured" if "missing" in one else row.tell(one)
        remark = one.get("missing") or found["remarks"][name].get(row.remark, "")
        if row.remark == "screen":
            remark = one.get("missing") or f"the page {found['renews'][name]}"
        cells.append((f"**{text}**" if name == best else text) + (notes.mark(name, remark) if remark else ""))
    return _cells([row.title, *cells, row.bar])


def _own_rows(num_peers: int) -> Iterator[str]:
    """What no peer offers, from benches of our own."""
    none = ["not offered"] * num_peers
    live, samples = results("live"), results("samples")
    if live:
        title = (
            f"From the event to the viewer, {live['viewers']} viewers for {live['minutes']:g} minutes (`bench.live`)"
        )
        told = f"{live['socket']['p50_s']:.2f} s, {live['socket']['p95_s']:.2f} s"
        yield _cells([title, told, *none, "p95 ≤ 1.5 s"])
        title = "A viewer that was cut off has all it missed: after how long, p95 (`bench.live`)"
        told = f"{live['catch_up']['p95_s']:.2f} s, {live['out_of_order_or_doubled']} doubled or out of order"
        yield _cells([title, told, *none, "≤ 2 s, none"])
    if samples:
        title = f"{samples['samples']:,} samples in a run: open a group, search a word, p95 (`bench.samples`)"
        group, word = samples["pages"]["group"]["p95_s"], samples["pages"]["common word"]["p95_s"]
        yield _cells([title, f"{group:.2f} s, {word:.2f} s", *none, "≤ 0.3 s, 1 s"])


def _behind(found: Figures, row: Row) -> str:
    """The line in words if somebody is better at it than we are."""
    ranks = {name: row.rank(one) for name, one in found["lines"][row.line].items() if "missing" not in one}
    better = [name for name, value in ranks.items() if OURS in ranks and value < ranks[OURS]]
    return f"{row.title[:1].lower()}{row.title[1:].partition(':')[0]} ({', '.join(better)})" if better else ""


def main() -> None:
    PAGE.write_text(page(results("peers")), encoding="utf-8")


if __name__ == "__main__":
    main()
