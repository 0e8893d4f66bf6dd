"""``kumite.log`` to the bench's own server; address and token are in the environment."""

from workload import Client, Values, serve

import kumite


class Kumite(Client):
    def begin(self, project: str, name: str) -> str:
        kumite.init(project=project, name=name)
        return name

    def log(self, step: int, values: Values) -> None:
        kumite.log(values, step=step)

    def end(self) -> None:
        kumite.finish(timeout_s=120)


serve(Kumite())
