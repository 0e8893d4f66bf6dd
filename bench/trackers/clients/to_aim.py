"""``Run.track`` with a dictionary into a local repository, without system metrics and captured output."""

import os
from pathlib import Path

from aim import Run
from workload import Client, Values, serve


class Aim(Client):
    def begin(self, project: str, name: str) -> str:
        repo = Path(os.environ["BENCH_AIM_REPOS"]) / project
        repo.mkdir(exist_ok=True)
        self.run = Run(
            repo=str(repo),
            experiment=project,
            system_tracking_interval=None,
            log_system_params=False,
            capture_terminal_logs=False,
        )
        self.run.name = name
        return str(self.run.hash)

    def log(self, step: int, values: Values) -> None:
        self.run.track(dict(values), step=step)

    def end(self) -> None:
        self.run.close()


serve(Aim())
