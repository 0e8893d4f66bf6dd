"""MLflow: a row in SQLite for each value, a page that asks for everything visible every 30 seconds."""

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from bench.trackers.base import COMPARED, Tracker, free_port, metric

POINTS_A_RUN = 320
"""What its own charts ask for."""


class MLflow(Tracker):
    name = "MLflow"
    pins = ("mlflow==3.17.2",)
    commands = "`pip install mlflow`, `mlflow server`"
    has_bulk = True
    draws = "[...document.querySelectorAll('.js-plotly-plot')].filter((plot) => plot.data?.some(({ x }) => x?.length)).length"
    shown_step = "document.querySelector('.js-plotly-plot')?.data?.[0]?.x?.at(-1) ?? -1"
    renews = "asks for everything every 30 s"
    renews_seldom = True
    remarks: ClassVar[Mapping[str, str]] = {
        "call": "commits to SQLite while training waits; over its server it waits longer",
        "ingest": "`log_batch` with 1,000 values, into SQLite on the training machine",
        "query": f"at most {POINTS_A_RUN} points of each run",
        "compare": "draws the ten newest of the 50 runs",
    }

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._experiments: dict[str, str] = {}

    @property
    def _store(self) -> str:
        return f"sqlite:///{self.folder / 'mlflow.db'}"

    @property
    def environment(self) -> dict[str, str]:
        return {"MLFLOW_TRACKING_URI": self._store, "MLFLOW_DISABLE_TELEMETRY": "true"}

    def serve(self) -> None:
        port = free_port()
        argv = [
            str(self.home / "bin" / "mlflow"),
            "server",
            "--host",
            "127.0.0.1",
            "--port",
            str(port),
            "--workers",
            "1",
        ]
        self.url = self.start([*argv, "--backend-store-uri", self._store], port)

    def _experiment(self, project: str) -> str:
        if project not in self._experiments:
            answer = self.ask(
                "GET", f"{self.url}/api/2.0/mlflow/experiments/get-by-name", params={"experiment_name": project}
            )
            self._experiments[project] = answer.json()["experiment"]["experiment_id"]
        return self._experiments[project]

    def _runs(self, project: str) -> list[dict[str, dict[str, list[dict[str, str]]]]]:
        wanted = {"experiment_ids": [self._experiment(project)], "max_results": 50}
        answer = self.ask("POST", f"{self.url}/api/2.0/mlflow/runs/search", json=wanted)
        found: list[dict[str, dict[str, list[dict[str, str]]]]] = answer.json().get("runs", [])
        return found

    def compare_query(self) -> tuple[int, int]:
        if not hasattr(self, "_ids"):
            self._ids = [run["info"]["run_id"] for run in self._runs(COMPARED)]
        wanted = {"run_ids": self._ids, "metric_key": metric(0), "max_results": POINTS_A_RUN}
        answer = self.ask("GET", f"{self.url}/ajax-api/2.0/mlflow/metrics/get-history-bulk-interval", params=wanted)
        return answer.num_bytes_downloaded, len(answer.json()["metrics"])

    def page(self, project: str) -> str:
        return f"{self.url}/#/experiments/{self._experiment(project)}/runs?compareRunsMode=CHART"

    def last_step(self, run: str) -> int:
        found = self.ask("GET", f"{self.url}/api/2.0/mlflow/runs/get", params={"run_id": run}).json()["run"]["data"]
        return max((int(one["step"]) for one in found.get("metrics", [])), default=-1)
