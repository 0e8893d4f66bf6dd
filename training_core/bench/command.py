"""The command: measure, print tables, write JSON."""

import json
import os
import platform
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from transformers.utils.logging import disable_progress_bar

from training_core.assembly import assemble, device_of
from training_core.bench.breakdown import Breakdown, measure_steps
from training_core.bench.phases import Bench, Phase, Say
from training_core.bench.roofline import Peak, Shape, measure_bandwidth, measure_peaks, shape_of
from training_core.distributed.parallel import Alone
from training_core.learn.scoring import autocasts
from training_core.memory import set_up_memory
from training_core.policies.models_dir import default_models_dir
from training_core.spec.experiment import ExperimentSpec
from training_core.spec.io import parse_spec
from training_core.spec.presets import preset

STARTER_BATCH, STARTER_TOKENS = 256, 72
OTHER_BATCH, OTHER_TOKENS = 32, 64


@dataclass(frozen=True, kw_only=True)
class Report:
    """Everything that was measured. ``bound`` names the peak that phases are compared with."""

    model: str
    num_parameters: int
    device: str
    threads: int
    batch: int
    peaks: list[Peak]
    bandwidth: float
    bound: Peak
    phases: list[Phase]
    breakdown: Breakdown | None

    def seconds(self, phase: Phase) -> float:
        """CPU seconds where one thread computes, so that other work on the machine does not matter; else wall seconds."""
        return phase.cpu_s if self.device == "cpu" and self.threads == 1 else phase.wall_s

    def share_of_peak(self, phase: Phase) -> float:
        return phase.flops / self.seconds(phase) / self.bound.flops_per_s

    def least_s(self, phase: Phase) -> float:
        """The roofline's time."""
        return max(phase.flops / self.bound.flops_per_s, phase.bytes_ / self.bandwidth)

    def to_json(self) -> dict[str, Any]:
        values = asdict(self)
        for phase, row in zip(self.phases, values["phases"], strict=True):
            row |= {
                "tokens_per_s": phase.tokens / phase.wall_s,
                "tokens_per_cpu_s": phase.tokens / phase.cpu_s,
                "share_of_peak": self.share_of_peak(phase),
                "least_s": self.least_s(phase),
            }
        return values


def spec_of(
    source: str | None, *, engine: str, batch: int | None, threads: int, device: str, max_tokens: int | None
) -> ExperimentSpec:
    """The spec whose parts are measured: the starter preset, or the method's defaults with another model."""
    changes: dict[str, Any] = {"resources": {"threads": threads, "device": device}, "engine": {"kind": engine}}
    if batch:
        changes["engine"]["max_num_seqs" if engine == "vllm" else "max_batch"] = batch
    if source is None or source.split(":")[0] == "starter":
        chosen = preset("mae", "starter", **changes)
        return (
            chosen
            if source is None
            else chosen.model_copy(update={"model": chosen.model.model_copy(update={"source": source})})
        )
    method = {"name": "mae", "sampling": {"max_tokens": max_tokens or OTHER_TOKENS}}
    return parse_spec({"method": method, "model": {"source": source}, **changes})


def measure(
    spec: ExperimentSpec, *, batch: int, max_tokens: int, repeats: int, steps: int, models_dir: Path, say: Say
) -> Report:
    """All figures of a spec; ``say`` is told what is being done. Raises what assembling a run raises."""
    torch.set_num_threads(spec.resources.threads)
    set_up_memory()
    disable_progress_bar()
    device = device_of(spec)
    parts = assemble(
        spec,
        models_dir=models_dir,
        device=device,
        parallel=Alone(),
        progress=lambda fraction, text: say(f"{text} ({fraction:.0%})"),
    )
    try:
        policy = parts.roster.first
        say("Multiplying matrices: what could this machine give?")
        peaks = measure_peaks(device, threads=spec.resources.threads)
        bandwidth = measure_bandwidth(device)
        shape = shape_of(policy.model)
        bench = Bench(spec=spec, parts=parts, shape=shape, batch=batch, max_tokens=max_tokens, repeats=repeats, say=say)
        phases = bench.phases()
        breakdown = None
        if steps:
            say(f"Playing {steps + 1} whole steps")
            breakdown = measure_steps(spec, parts, steps=steps)
    finally:
        parts.engine.close()
    return Report(
        model=spec.model.source,
        num_parameters=sum(parameter.numel() for parameter in policy.model.parameters()),
        device=_device_name(device),
        threads=spec.resources.threads,
        batch=batch,
        peaks=peaks,
        bandwidth=bandwidth,
        bound=_bound(peaks, shape, half=autocasts(spec.learner, policy.model), threads=spec.resources.threads),
        phases=phases,
        breakdown=breakdown,
    )


def _bound(peaks: Sequence[Peak], shape: Shape, *, half: bool, threads: int) -> Peak:
    """The peak in the precision and with the threads of the run."""
    dtype = "bfloat16" if half or shape.bytes_per_number == 2 else "float32"
    fitting = [peak for peak in peaks if peak.dtype == dtype] or list(peaks)
    return next((peak for peak in fitting if peak.threads == threads), fitting[-1])


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def show(report: Report, console: Console) -> None:
    """The tables a person reads."""
    console.print(
        f"[bold]{report.model}[/bold]: {report.num_parameters:,} parameters on {report.device}, "
        f"{report.threads} thread{'s' if report.threads > 1 else ''} of {os.cpu_count()}, {platform.machine()}"
    )
    console.print(_peak_table(report))
    console.print(_phase_table(report))
    if report.breakdown:
        console.print(_breakdown_table(report.breakdown))


def _peak_table(report: Report) -> Table:
    table = Table(title="What the machine gives", title_justify="left")
    for name in ("matrix product", "threads", "shape", "GFLOP/s"):
        table.add_column(name, justify="left" if name == "matrix product" else "right")
    for peak in report.peaks:
        shape = " x ".join(map(str, peak.shape))
        table.add_row(peak.dtype, str(peak.threads), shape, f"{peak.flops_per_s / 1e9:,.0f}")
    table.caption = f"Copying memory: {report.bandwidth / 1e9:,.1f} GB/s read and written"
    return table


def _phase_table(report: Report) -> Table:
    table = Table(title=f"What engine and learner make of it: {report.batch} completions", title_justify="left")
    for name in ("work", "tokens", "tokens/s", "tokens/CPU s", "share of peak", "share of roofline"):
        table.add_column(name, justify="left" if name == "work" else "right")
    for phase in report.phases:
        table.add_row(
            phase.name,
            f"{phase.tokens:,}",
            f"{phase.tokens / phase.wall_s:,.0f}",
            f"{phase.tokens / phase.cpu_s:,.0f}",
            f"{report.share_of_peak(phase):.0%}",
            f"{report.least_s(phase) / report.seconds(phase):.0%}",
        )
    bound = report.bound
    table.caption = f"Peak: {bound.flops_per_s / 1e9:,.0f} GFLOP/s, {bound.dtype}. Roofline: work or memory, whichever takes longer."
    return table


def _breakdown_table(breakdown: Breakdown) -> Table:
    table = Table(title=f"Where a step's {breakdown.step_s:.2f} s go, mean of {breakdown.steps}", title_justify="left")
    for name in ("part", "seconds", "share"):
        table.add_column(name, justify="left" if name == "part" else "right")
    for name, seconds, inside in breakdown.rows():
        label, style = (f"  {name}", "dim") if inside else (name, "")
        table.add_row(label, f"{seconds:.3f}", f"{seconds / breakdown.step_s:.0%}", style=style)
    return table


@contextmanager
def telling() -> Iterator[Say]:
    """A moving line on standard error where that is a terminal; elsewhere a line for every new thing that is done."""
    console = Console(stderr=True)
    if console.is_terminal:
        with console.status("Starting") as status:
            yield status.update
        return
    told: set[str] = set()

    def say(text: str) -> None:
        kind = text.partition(" (")[0]
        if kind not in told:
            told.add(kind)
            sys.stderr.write(f"{text}\n")

    yield say


def run(
    *,
    source: str | None,
    engine: str,
    batch: int | None,
    max_tokens: int | None,
    threads: int,
    device: str,
    repeats: int,
    steps: int,
    models_dir: Path | None,
    json_file: Path | None,
) -> None:
    """``python -m training_core bench``: print the tables and write the JSON file if one is named."""
    spec = spec_of(source, engine=engine, batch=batch, threads=threads, device=device, max_tokens=max_tokens)
    is_starter = spec.model.is_starter
    with telling() as say:
        report = measure(
            spec,
            batch=batch or (STARTER_BATCH if is_starter else OTHER_BATCH),
            max_tokens=max_tokens or (STARTER_TOKENS if is_starter else OTHER_TOKENS),
            repeats=repeats,
            steps=steps,
            models_dir=models_dir or default_models_dir(),
            say=say,
        )
    show(report, Console())
    if json_file:
        json_file.write_text(json.dumps(report.to_json(), indent=1) + "\n", encoding="utf-8")
