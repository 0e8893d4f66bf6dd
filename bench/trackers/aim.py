"""Aim: a repository of RocksDB files, a page that asks again only when "Live Update" is switched on."""

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar
from urllib.parse import quote

from bench.trackers.base import COMPARED, LIVE, Tracker, free_port, metric

DENSITY = 500
"""Points of a line its own page asks for."""


class Aim(Tracker):
    """A repository and a server for each project."""

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

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._urls: dict[str, str] = {}

    @property
    def environment(self) -> dict[str, str]:
        return {"BENCH_AIM_REPOS": str(self.folder), "__AIM_TELEMETRY_ENABLED__": "0"}

    def serve(self) -> None:
        self._url(COMPARED)

    def _url(self, project: str) -> str:
        if project not in self._urls:
            port, folder = free_port(), self.folder / project
            folder.mkdir(exist_ok=True)
            argv = [str(self.home / "bin" / "aim"), "up", "--yes", "--host", "127.0.0.1", "--port", str(port)]
            self._urls[project] = self.start([*argv, "--repo", str(folder)], port)
        return self._urls[project]

    def compare_query(self) -> tuple[int, int]:
        asked = {"q": f'metric.name == "{metric(0)}"', "p": str(DENSITY), "report_progress": "false"}
        answer = self.ask("GET", f"{self._url(COMPARED)}/api/runs/search/metric/", params=asked)
        return answer.num_bytes_downloaded, DENSITY * answer.content.count(b"props\xfename")

    def page(self, project: str) -> str:
        """The explorer with the first four metrics chosen, as its own address names them."""
        options = [
            {"label": one, "group": one, "type": "metrics", "color": "#3E72E7", "key": one}
            | {"value": {"option_name": one, "context": None}}
            for one in map(metric, range(4))
        ]
        chosen = {"options": options, "query": "", "advancedMode": False, "advancedQuery": ""}
        written = base64.b64encode(quote(json.dumps(chosen, separators=(",", ":")), safe=":,/").encode()).decode()
        return f"{self._url(project)}/metrics?select=O-{written.rstrip('=')}"

    def last_step(self, run: str) -> int:
        wanted = [{"name": metric(0), "context": {}}]
        answer = self.ask("POST", f"{self._url(LIVE)}/api/runs/{run}/metric/get-batch/", json=wanted)
        found = answer.json()
        return int(found[0]["iters"][-1]) if found and found[0]["iters"] else -1
