"""Blocks about how a run is carried out rather than what it learns."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from training_core.spec.base import Block, Live, Unit


class EvaluationSpec(Block):
    """Measurement on held-out items that training can never see."""

    every: Annotated[int, Field(ge=1, le=100_000), Unit("steps"), Live()] = 10
    """Steps between two evaluations; the start and the end are always measured."""
    num_items: Annotated[int, Field(ge=1, le=100_000), Unit("items")] = 256
    """Held-out items asked each time."""
    samples_per_item: Annotated[int, Field(ge=1, le=64), Unit("answers")] = 1
    """Answers per item at sampling temperature; the greedy answer is always measured as well."""


class CheckpointSpec(Block):
    """What is kept so that a run can go on, be forked or be used."""

    every: Annotated[int, Field(ge=1, le=100_000), Unit("steps"), Live()] = 25
    """Steps between two checkpoints; the last step is always saved."""
    keep: Annotated[int, Field(ge=1, le=10_000), Unit("checkpoints")] = 3
    """Newest checkpoints kept; older ones are deleted."""
    format: Literal["whole", "sharded"] = "whole"
    """whole gathers the weights into one file that any tool loads; sharded lets every process write its own part, for large models."""


class ResourceSpec(Block):
    """What a run asks of a worker."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto takes a GPU where the slot has one."""
    num_gpus: Annotated[int, Field(ge=0, le=1024), Unit("GPUs")] = 0
    """GPUs the run needs on each host, one process for each; 0 runs on a CPU slot."""
    processes: Annotated[int, Field(ge=1, le=256), Unit("processes")] = 1
    """Processes on each host that share the work of a run without GPUs; with GPUs there is one for each of them."""
    hosts: Annotated[int, Field(ge=1, le=1024), Unit("hosts")] = 1
    """Hosts that carry out the run together, all with the same number of GPUs or processes."""
    threads: Annotated[int, Field(ge=1, le=256), Unit("threads")] = 1
    """CPU threads of each process. One is the fastest choice for small models on a shared machine."""
    max_hours: Annotated[float, Field(gt=0, le=10_000), Unit("hours")] | None = None
    """Stop with a checkpoint after this much time; empty means no limit."""
    max_tokens: Annotated[int, Field(ge=1), Unit("tokens")] | None = None
    """End once training has sampled so many tokens, measured and saved; empty means no limit."""

    @model_validator(mode="after")
    def _devices_agree(self) -> "ResourceSpec":
        if self.num_gpus > 0 and self.device == "cpu":
            raise ValueError(
                f"device is cpu but num_gpus is {self.num_gpus}; set device to auto or cuda, or num_gpus to 0"
            )
        if self.num_gpus > 0 and self.processes > 1:
            raise ValueError(
                f"{self.num_gpus} GPUs on each host mean {self.num_gpus} processes there; leave processes at 1"
            )
        return self

    @property
    def processes_per_host(self) -> int:
        """Processes that the run has on each of its hosts."""
        return max(self.num_gpus, self.processes)

    @property
    def num_processes(self) -> int:
        """Processes of the run on all hosts."""
        return self.hosts * self.processes_per_host


class RecordingSpec(Block):
    """What is kept for reading."""

    samples_per_step: Annotated[int, Field(ge=0, le=100_000), Unit("samples")] | None = None
    """Most episodes whose full text is kept of each step, spread evenly over it; empty keeps all. Metrics always count all."""
    token_steps: Annotated[int, Field(ge=0, le=1_000_000), Unit("steps")] = 500
    """Newest steps whose tokens are kept with their log-probs, entropies and advantages, in files of the run's folder; 0 keeps none."""
