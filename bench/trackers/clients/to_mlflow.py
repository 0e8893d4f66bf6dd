"""MLflow into the local SQLite store, which is cheaper than over its server; ``log_batch`` for many steps at once."""

import time
from collections.abc import Sequence

import mlflow
from mlflow.entities import Metric
from workload import Client, Values, serve


class MLflow(Client):
    def begin(self, project: str, name: str) -> str:
        mlflow.set_experiment(project)
        self.run_id: str = mlflow.start_run(run_name=name).info.run_id
        self.client = mlflow.MlflowClient()
        return self.run_id

    def log(self, step: int, values: Values) -> None:
        mlflow.log_metrics(dict(values), step=step)

    def log_many(self, first: int, rows: Sequence[Values]) -> None:
        now = int(1000 * time.time())
        metrics = [
            Metric(name, value, now + step, step)
            for step, values in enumerate(rows, start=first)
            for name, value in values.items()
        ]
        for begin in range(0, len(metrics), 1000):
            self.client.log_batch(self.run_id, metrics=metrics[begin : begin + 1000])

    def end(self) -> None:
        mlflow.end_run()


serve(MLflow())
