"""Trackio: a SQLite file written by the training process itself, a page that asks once a second."""

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import httpx

from bench.trackers.base import COMPARED, LIVE, Tracker, free_port

_BEFORE_PAGE = """
window.told = window.shown = -1;
const json = Response.prototype.json;
Response.prototype.json = async function () {
  const found = await json.call(this);
  if (this.url.endsWith("/get_logs_batch")) window.told = Math.max(...found.data.flatMap(({ logs }) => logs.map(({ step }) => step)));
  return found;
};
const stroke = CanvasRenderingContext2D.prototype.stroke;
CanvasRenderingContext2D.prototype.stroke = function (...rest) {
  window.shown = window.told;
  return stroke.apply(this, rest);
};
"""
"""It draws on a canvas: what a stroke shows is what it was told last."""


class Trackio(Tracker):
    name = "Trackio"
    pins = ("trackio==0.43.0",)
    commands = "`pip install trackio`, `trackio show`"
    draws = "document.querySelectorAll('canvas.marks').length"
    shown_step = "window.shown"
    before_page = _BEFORE_PAGE
    renews = "asks for everything once a second"
    remarks: ClassVar[Mapping[str, str]] = {
        "query": "its one call answers all four metrics",
        "ingest": "into a file on the training machine; nothing travels",
    }

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._port = free_port()

    @property
    def environment(self) -> dict[str, str]:
        return {"TRACKIO_DIR": str(self.folder / "data"), "GRADIO_SERVER_PORT": str(self._port), "BROWSER": "true"}

    def serve(self) -> None:
        self.url = self.start([str(self.home / "bin" / "trackio"), "show"], self._port)

    def compare_query(self) -> tuple[int, int]:
        runs = self._call("get_runs_for_project", project=COMPARED).json()["data"]
        wanted = [{"run": run["name"], "run_id": run["id"]} for run in runs]
        answer = self._call("get_logs_batch", project=COMPARED, runs=wanted, scalar_only=True)
        logs = [log for run in answer.json()["data"] for log in run["logs"]]
        return answer.num_bytes_downloaded, sum(name.startswith("group_") for log in logs for name in log)

    def page(self, project: str) -> str:
        return f"{self.url}/?project={project}"

    def last_step(self, run: str) -> int:
        found = self._call("get_run_summary", project=LIVE, run=run).json()["data"]
        return -1 if found.get("last_step") is None else int(found["last_step"])

    def _call(self, name: str, **what: object) -> httpx.Response:
        return self.ask("POST", f"{self.url}/api/{name}", json=what)
