"""Aim: a repository of RocksDB files, a page that asks again only when "Live Update" is switched on."""

import base64
import json
from collections.abc import Mapping
from typing import ClassVar
from urllib.parse import quote

import httpx

from bench.trackers.base import COMPARED, Tracker, free_port, metric

DENSITY = 500
"""Points of a line its own page asks for."""


class Aim(Tracker):
    name = "Aim"
    pins = ("aim==3.29.1",)
    commands = "`pip install aim`, `aim up`"
    draws = "new Set([...document.querySelectorAll('.Lines .Line')].map((line) => line.closest('svg'))).size"
    renews = "not at all unless switched on, then every 10 s"
    remarks: ClassVar[Mapping[str, str]] = {
        "ingest": "into files on the training machine; nothing travels",
        "query": f"at most {DENSITY} points of each run",
        "compare": f"at most {DENSITY} points of each line",
    }

    @property
    def environment(self) -> dict[str, str]:
        return {"BENCH_AIM_REPO": str(self.folder), "__AIM_TELEMETRY_ENABLED__": "0"}

    def serve(self) -> None:
        port = free_port()
        argv = [str(self.home / "bin" / "aim"), "up", "--yes", "--host", "127.0.0.1", "--port", str(port)]
        self.url = self.start([*argv, "--repo", str(self.folder)], port)

    def compare_query(self) -> tuple[int, int]:
        query = f'(metric.name == "{metric(0)}") and run.experiment == "{COMPARED}"'
        answer = self._search("metric", q=query, p=str(DENSITY))
        return answer.num_bytes_downloaded, DENSITY * answer.content.count(b"props\xfename")

    def _search(self, what: str, **how: str) -> httpx.Response:
        return self.ask("GET", f"{self.url}/api/runs/search/{what}/", params={"report_progress": "false", **how})

    def page(self, project: str) -> str:
        names = [metric(place) for place in range(4)]
        options = [
            {"label": one, "group": one, "type": "metrics", "color": "#3E72E7", "key": one}
            | {"value": {"option_name": one, "context": None}}
            for one in names
        ]
        chosen = {"options": options, "query": f'run.experiment == "{project}"'}
        written = quote(json.dumps({**chosen, "advancedMode": False, "advancedQuery": ""}), safe=":,/")
        return f"{self.url}/metrics?select=O-{base64.b64encode(written.encode()).decode().rstrip('=')}"

    def last_step(self, run: str) -> int:
        wanted = [{"name": metric(0), "context": {}}]
        answer = self.ask("POST", f"{self.url}/api/runs/{run}/metric/get-batch/", json=wanted)
        found = answer.json()
        return int(found[0]["iters"][-1]) if found and found[0]["iters"] else -1
