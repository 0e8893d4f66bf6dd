"""Kumite itself: one web process over Postgres and Redis, fed by ``kumite.log``, a page that is told."""

import json
import os
import struct
import sys
import tomllib
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import ClassVar
from urllib.parse import urlencode

import psutil

from bench.live import site
from bench.trackers.base import COMPARED, LIVE, ROOT, Tracker, metric

PIXELS = 200
"""What the page asks for where it draws so many lines, see ``static/compare``."""

_NEEDS = [
    line
    for name in ("base", "web")
    for line in (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    if line and not line.startswith(("#", "-"))
]


class Kumite(Tracker):
    name = "Kumite"
    pins = (*_NEEDS, "-c", str(ROOT / "requirements" / "constraints.txt"))
    commands = "`git clone`, `make demo`"
    draws = "[...document.querySelectorAll('.js-plotly-plot')].filter((plot) => plot.querySelector('.js-line')).length"
    shown_step = "document.querySelector('#curves .js-plotly-plot')?.data?.[0]?.x?.at(-1) ?? -1"
    renews = "is told through a socket"
    remarks: ClassVar[Mapping[str, str]] = {
        "ingest": "over HTTP into Postgres; client, web server and database counted together",
        "query": "means over as many stretches as the screen has places for",
        "footprint": "Postgres and Redis included, torch not",
    }

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.folder.chmod(0o711)
        self._stack = ExitStack()
        self._session = ""
        self._token = ""

    def open(self) -> None:
        super().open()
        others = set(psutil.Process().children())
        self.url = self._stack.enter_context(site(self.folder))
        os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"  # Playwright's loop runs in the thread that asks for runs
        self.servers = list(set(psutil.Process().children()) - others)
        from django.test import Client

        from webapp.accounts.models import User
        from webapp.accounts.services import create_token
        from webapp.workspaces.services import create_workspace

        ada = User.objects.create_user("ada@example.org")
        create_workspace(name="Bench", owner=ada)
        _, self._token = create_token(user=ada, name="bench")
        browser = Client()
        browser.force_login(ada)
        self._session = browser.cookies["sessionid"].value
        self.http.cookies.set("sessionid", self._session)

    def serve(self) -> None:
        """It has served since ``open``."""

    def stop(self) -> None:
        self.http.close()
        self._stack.close()

    @property
    def version(self) -> str:
        project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        return str(project["version"])

    @property
    def python(self) -> str:
        """The client is this repository's."""
        return sys.executable

    @property
    def environment(self) -> dict[str, str]:
        there = {"KUMITE_URL": self.url, "KUMITE_TOKEN": self._token, "KUMITE_SPOOL": str(self.folder / "spool")}
        return there | {"PYTHONPATH": str(ROOT)}

    @property
    def cookies(self) -> list[dict[str, str]]:
        return [{"name": "sessionid", "value": self._session, "url": self.url}]

    def _runs(self, project: str) -> list[str]:
        from webapp.experiments.models import Run

        found = Run.objects.filter(experiment__name__startswith=f"{project}/").order_by("created_at")
        return [str(run) for run in found.values_list("pk", flat=True)]

    def _wanted(self, metrics: int) -> list[tuple[str, str]]:
        return [
            *(("run", run) for run in self._runs(COMPARED)),
            *(("metric", metric(place)) for place in range(metrics)),
        ]

    def compare_query(self) -> tuple[int, int]:
        query = urlencode([*self._wanted(1), ("pixels", str(PIXELS))])
        answer = self.ask("GET", f"{self.url}/compare/lines/?{query}")
        (length,) = struct.unpack_from("<I", answer.content)
        (chart,) = json.loads(answer.content[4 : 4 + length])["charts"]
        return answer.num_bytes_downloaded, sum(line["n"] for line in chart["lines"])

    def page(self, project: str) -> str:
        if project == COMPARED:
            return f"{self.url}/compare/?{urlencode([*self._wanted(4), ('all', '1'), ('by', 'run')])}"
        return f"{self.url}/runs/{self._runs(project)[0]}/"

    def last_step(self, run: str) -> int:
        """Over the API, by the name the client gave; the run is there once the client has reached the server."""
        runs = self._runs(LIVE)
        if not runs:
            return -1
        answer = self.ask(
            "GET", f"{self.url}/api/v1/runs/{runs[0]}/", headers={"Authorization": f"Bearer {self._token}"}
        )
        return int(answer.json()["step"])
