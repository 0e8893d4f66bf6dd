"""TensorBoard: event files, a server that reads them anew every five seconds, a page that renews itself only if told to."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from bench.trackers.base import COMPARED, LIVE, Tracker, free_port, metric


class TensorBoard(Tracker):
    """One server for each project, for its page shows everything under a folder."""

    name = "TensorBoard"
    pins = ("tensorboard==2.21.0",)
    commands = "`pip install tensorboard`, `tensorboard --logdir .`"
    draws = "document.querySelectorAll('scalar-card line-chart canvas').length"
    renews = "not at all unless switched on, then every 30 s"
    remarks: ClassVar[Mapping[str, str]] = {
        "ingest": "into a file on the training machine; nothing travels. Of a tag's points 1,000 drawn by lot can be seen",
        "million": "1,000 points of each line, drawn by lot",
        "latency": "flushed after every row here; by itself it does so every 120 s",
    }

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._urls: dict[str, str] = {}

    @property
    def environment(self) -> dict[str, str]:
        return {"BENCH_LOGDIR": str(self.folder)}

    def serve(self) -> None:
        self._url(COMPARED)

    def _url(self, project: str) -> str:
        if project not in self._urls:
            port, folder = free_port(), self.folder / project
            folder.mkdir(exist_ok=True)
            argv = [str(self.home / "bin" / "tensorboard"), "--host", "127.0.0.1", "--port", str(port)]
            self._urls[project] = self.start([*argv, "--logdir", str(folder)], port)
        return self._urls[project]

    def _series(self, project: str) -> tuple[int, dict[str, list[dict[str, float]]]]:
        """Bytes of an answer with all lines of the first metric, and the lines by run."""
        wanted = {"requests": (None, json.dumps([{"plugin": "scalars", "tag": metric(0)}]))}
        answer = self.ask("POST", f"{self._url(project)}/data/plugin/timeseries/timeSeries", files=wanted)
        return answer.num_bytes_downloaded, answer.json()[0].get("runToSeries", {})

    def compare_query(self) -> tuple[int, int]:
        size, lines = self._series(COMPARED)
        return size, sum(map(len, lines.values()))

    def page(self, project: str) -> str:
        return f"{self._url(project)}/#timeseries"

    def last_step(self, run: str) -> int:
        points = self._series(LIVE)[1].get(run) or [{"step": -1}]
        return int(points[-1]["step"])
