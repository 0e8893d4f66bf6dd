"""TensorBoard's own writer of event files: a file for each run, flushed at the end, or at each row of a run that is watched."""

import os
from pathlib import Path

from tensorboard.summary import Writer
from workload import Client, Values, serve


class TensorBoard(Client):
    def begin(self, project: str, name: str) -> str:
        self.writer = Writer(str(Path(os.environ["BENCH_LOGDIR"]) / project / name))
        return name

    def log(self, step: int, values: Values) -> None:
        for tag, value in values.items():
            self.writer.add_scalar(tag, value, step)
        if "BENCH_FLUSH" in os.environ:
            self.writer.flush()

    def end(self) -> None:
        self.writer.close()


serve(TensorBoard())
