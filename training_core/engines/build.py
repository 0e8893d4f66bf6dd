"""From the spec to the engine that samples for a run."""

from collections.abc import Mapping, Sequence
from functools import partial

import torch

from training_core.distributed.parallel import Parallel
from training_core.distributed.spread import SpreadEngine
from training_core.engines.replicated import ReplicaEngine
from training_core.engines.transformers import TransformersEngine
from training_core.engines.vllm import VllmEngine
from training_core.engines.vllm_local import LocalInstance
from training_core.engines.vllm_server import ServerInstance
from training_core.engines.vllm_setup import is_installed
from training_core.failures import EngineError
from training_core.play.requests import Engine
from training_core.policies.loaded import LoadedPolicy
from training_core.policies.roster import Roster
from training_core.spec.engine import VllmEngine as VllmSpec
from training_core.spec.experiment import ExperimentSpec


def check_engine(spec: ExperimentSpec, *, num_processes: int) -> None:
    """Refuse an engine that cannot work on this machine or with so many processes, before anything is loaded."""
    if not isinstance(spec.engine, VllmSpec):
        return
    if not is_installed():
        raise EngineError(
            "engine is vllm, but vLLM is not installed on this worker. Install it as docs/engines.md says, or choose "
            "engine: transformers."
        )
    if num_processes > 1 and spec.engine.placement == "in_process":
        raise EngineError(
            f"engine.placement is in_process, but the run has {num_processes} processes; set engine.placement to server."
        )
    if num_processes > 1 and spec.engine.urls:
        raise EngineError(
            f"engine.urls names servers that one process keeps up to date, but the run has {num_processes}; leave engine.urls "
            "empty, so that each process starts servers of its own, or ask for one process."
        )
    if spec.engine.urls and spec.weights.kind == "separate":
        raise EngineError(
            "engine.urls names servers for one model, but weights.kind is separate; leave engine.urls empty, or set "
            "weights.kind to adapters or shared."
        )


def make_engine(spec: ExperimentSpec, roster: Roster, parallel: Parallel) -> Engine:
    """The engine the spec asks for, holding the policies of the roster; with several processes, one engine in each of them."""
    engine = _own_engine(spec, roster, parallel)
    return engine if parallel.size == 1 else SpreadEngine(engine, parallel.twin())


def _own_engine(spec: ExperimentSpec, roster: Roster, parallel: Parallel) -> Engine:
    if isinstance(spec.engine, VllmSpec):
        return vllm_engine(
            spec.engine,
            roster.speakers,
            trained=tuple(roster.trained),
            device=next(roster.first.model.parameters()).device,
            seed=spec.seed,
        )
    if spec.learner.ahead or parallel.size > 1:
        return ReplicaEngine(roster, max_batch=spec.engine.max_batch, max_cache_mib=spec.engine.max_cache_mib)
    return TransformersEngine(roster.speakers, max_batch=spec.engine.max_batch, max_cache_mib=spec.engine.max_cache_mib)


def vllm_engine(
    spec: VllmSpec,
    policies: Mapping[str, LoadedPolicy],
    *,
    trained: Sequence[str],
    device: torch.device,
    seed: int,
) -> VllmEngine:
    """vLLM with these policies, started and holding their weights."""
    placement = LocalInstance if spec.placement == "in_process" else ServerInstance
    start = partial(placement, spec, device=device, seed=seed)
    return VllmEngine(policies, trained=trained, spec=spec, device=device, start=start)


def samples_learners_weights(spec: ExperimentSpec) -> bool:
    """Whether completions come from the very weights that are learnt, so that sampler and learner agree."""
    return not spec.learner.ahead and not isinstance(spec.engine, VllmSpec)
