"""What a spec will roughly cost, before anything is started. Rules of thumb, written out here; not a promise.

Tokens     completions of one step (the method knows them) x an assumed length. The starter writes short lines; other models
           are assumed to fill a share of ``max_tokens``, at most 600 tokens. A prompt counts as half a completion.
Parameters the starter's size, or the size in a hub id such as "Qwen2.5-3B"; unknown otherwise.
Memory     weights, gradients and two AdamW moments (16 bytes a parameter in float32; 2 + 2 + 8 with bfloat16 weights),
           or with an adapter the frozen weights plus 16 bytes for each adapter parameter, once for every trained policy;
           the frozen start where somebody asks it, and every snapshot; a fifth more for activations, keys and values of one
           batch of completions, and another copy of the weights where vLLM, several processes or rollouts ahead sample from
           their own.
Time       2 operations per parameter and sampled token, 6 per trained token. A GPU reaches about a third of its peak when
           training and a twentieth when sampling; a CPU thread about 15 Gop/s, and small models pay overhead per token.
"""

import math
import re
from dataclasses import dataclass

from training_core.methods.registry import find_method
from training_core.spec.casting import START, cast
from training_core.spec.experiment import ExperimentSpec
from training_core.spec.model import ModelSpec

STARTER_PARAMS = 0.2e6
_STARTER_COMPLETION_TOKENS = 28
_MOST_COMPLETION_TOKENS = 600
_FILLED_SHARE = 0.25
_SIZE = re.compile(r"(?<![\w.])(\d+(?:\.\d+)?)\s*([BM])(?![A-Za-z])", re.IGNORECASE)
_GPU_OPS_PER_S = 4e14
_CPU_OPS_PER_S = 1.5e10
_CPU_TOKEN_OVERHEAD_S = 6e-6
"""Per sampled token in a large batch; what small models on a CPU mostly wait for."""
_KV_BYTES_PER_PARAM_ROOT = 1.2
_ACTIVATION_SHARE = 1.2


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """``Estimate(sampled_per_step=48_000, trained_per_step=11_000, params=200_000, memory_bytes=..., seconds=...)``"""

    completions_per_step: dict[str, int]
    sampled_per_step: int
    """Tokens the model writes in one step."""
    trained_per_step: int
    """Tokens of the update, prompts included."""
    sampled_total: int
    trained_total: int
    params: float | None
    """None where the model's size cannot be guessed; memory and time are None then as well."""
    memory_bytes: float | None
    """Of all processes together. They split the training state, and each holds the weights it samples from."""
    seconds_per_step: float | None
    seconds: float | None
    assumed_completion_tokens: int
    notes: tuple[str, ...]

    @property
    def completions_total_per_step(self) -> int:
        return sum(self.completions_per_step.values())


def estimate(spec: ExperimentSpec) -> Estimate:
    """Tokens, memory and time of a run, roughly."""
    cost = find_method(spec.method.name).rollout_cost(spec)
    length = _completion_tokens(spec)
    completions = sum(cost.completions.values())
    sampled, trained = completions * length, round(cost.trained * length * 1.5)
    params = params_of(spec.model)
    on_gpu = spec.resources.device == "cuda" or spec.resources.num_gpus > 0
    seconds = None if params is None else _seconds(spec, params, sampled, trained, on_gpu=on_gpu)
    return Estimate(
        completions_per_step=cost.completions,
        sampled_per_step=sampled,
        trained_per_step=trained,
        sampled_total=sampled * spec.steps,
        trained_total=trained * spec.steps,
        params=params,
        memory_bytes=None if params is None else _memory(spec, params, completions, length),
        seconds_per_step=seconds,
        seconds=None if seconds is None else seconds * spec.steps + _evaluation_seconds(spec, seconds, completions),
        assumed_completion_tokens=length,
        notes=tuple(_notes(spec, params, on_gpu=on_gpu)),
    )


def params_of(model: ModelSpec) -> float | None:
    """Parameters of the base model, from what its name says: "Qwen/Qwen2.5-3B-Instruct" has 3e9."""
    if model.is_starter:
        return STARTER_PARAMS
    name = model.source.rstrip("/").rsplit("/", 1)[-1].replace("-", " ").replace("_", " ")
    found = _SIZE.search(name)
    return float(found[1]) * (1e9 if found[2].upper() == "B" else 1e6) if found else None


def _completion_tokens(spec: ExperimentSpec) -> int:
    sampling = getattr(spec.method, "sampling", None)
    most = sampling.max_tokens if sampling else _MOST_COMPLETION_TOKENS
    if spec.model.is_starter:
        return min(_STARTER_COMPLETION_TOKENS, most)
    return max(1, min(_MOST_COMPLETION_TOKENS, round(most * _FILLED_SHARE)))


def _memory(spec: ExperimentSpec, params: float, completions: int, length: int) -> float:
    weight = 4 if spec.model.dtype == "float32" else 2
    adapter = spec.model.adapter
    # An adapter is two thin matrices beside each square one: about rank / 3500 of a 3-billion-parameter model's weights.
    trained = params if adapter is None else params * adapter.rank / 3500
    per_trained = weight + weight + 8 if adapter is None else 16
    parts = cast(spec)
    num_trained, num_snapshots = len(parts.trained), len(parts.snapshots)
    base = params * weight if adapter is not None or parts.needs_start else 0.0
    snapshot = params * weight if adapter is None else trained * 4
    state = base + num_trained * trained * per_trained + num_snapshots * snapshot
    num_processes = spec.resources.num_processes
    own = sum(name != START for name in parts.speakers)
    if spec.engine.kind == "vllm":
        sampler = params * weight * (len(parts.speakers) if adapter is None else 1) * num_processes
    elif num_processes > 1:
        sampler = own * trained * weight * num_processes + base * (num_processes - 1)
    else:
        sampler = num_trained * trained * weight * spec.learner.ahead
    batch = min(completions, spec.engine.max_batch * num_processes)
    keys_and_values = batch * length * 1.5 * weight * _KV_BYTES_PER_PARAM_ROOT * math.sqrt(params)
    return state * _ACTIVATION_SHARE + sampler + keys_and_values


def _seconds(spec: ExperimentSpec, params: float, sampled: int, trained: int, *, on_gpu: bool) -> float:
    if on_gpu:
        gpus = max(1, spec.resources.num_gpus) * spec.resources.hosts
        return (2 * params * sampled / 0.05 + 6 * params * trained / 0.33) / (_GPU_OPS_PER_S * gpus)
    operations = 2 * params * sampled + 6 * params * trained
    threads = spec.resources.threads * spec.resources.num_processes
    return operations / (_CPU_OPS_PER_S * threads) + (sampled + trained) * _CPU_TOKEN_OVERHEAD_S


def _evaluation_seconds(spec: ExperimentSpec, step_seconds: float, completions: int) -> float:
    rounds = spec.steps // spec.evaluation.every + 2
    asked = spec.evaluation.num_items * (spec.evaluation.samples_per_item + 1)
    return rounds * step_seconds * asked / max(completions, 1)


def _notes(spec: ExperimentSpec, params: float | None, *, on_gpu: bool) -> list[str]:
    notes = []
    if snapshots := cast(spec).snapshots:
        kept = "another set of weights" if len(snapshots) == 1 else f"{len(snapshots)} further sets of weights"
        notes.append(f"Beside the trained weights, the run keeps {kept}: {', '.join(snapshots)}.")
    if params is None:
        notes.append("The size of this model cannot be read from its name, so memory and time are unknown.")
    elif not on_gpu and params > 5e7:
        notes.append("A model of this size is very slow on a CPU. Ask for a GPU under Resources.")
    if spec.model.is_starter:
        notes.append(
            "The first run on a machine also makes and teaches the starter, about two minutes of one CPU core."
        )
    else:
        notes.append("Completion lengths are assumed; reasoning models often write far more.")
    return notes
