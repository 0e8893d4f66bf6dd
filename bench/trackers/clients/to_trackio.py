"""``trackio.log`` into the local SQLite file, its default and its fastest."""

import trackio
from workload import Client, Values, serve


class Trackio(Client):
    def begin(self, project: str, name: str) -> str:
        trackio.init(project=project, name=name, embed=False, auto_log_cpu=False, auto_log_gpu=False)
        return name

    def log(self, step: int, values: Values) -> None:
        trackio.log(dict(values), step=step)

    def end(self) -> None:
        trackio.finish()


serve(Trackio())
