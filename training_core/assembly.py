"""From a spec to the parts of a run in memory: policies, engine, learner, method."""

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import torch

from training_core.checkpoints import Checkpoint, load_weights
from training_core.distributed.parallel import Parallel
from training_core.engines.build import check_engine, make_engine, samples_learners_weights
from training_core.games.base import Games
from training_core.learn.learner import Learner
from training_core.learn.scoring import autocasts
from training_core.methods.base import SelfPlay
from training_core.methods.registry import find_method
from training_core.play.prompts import prompts_of
from training_core.play.requests import Engine
from training_core.policies.load import ModelError, Progress
from training_core.policies.roster import Roster, load_roster
from training_core.spec.experiment import ExperimentSpec
from training_core.spec.trained import TrainedSpec
from training_core.tasks.base import Domain
from training_core.tasks.registry import make_domain


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What a run is made of."""

    domain: Domain | Games
    roster: Roster
    engine: Engine
    learner: Learner
    method: SelfPlay


def assemble(
    spec: ExperimentSpec,
    *,
    models_dir: Path,
    device: torch.device,
    parallel: Parallel,
    progress: Progress,
    weights: Checkpoint | None = None,
) -> Parts:
    """Load what the spec names, with the weights of a checkpoint where one is given; the engine is the caller's to close.

    Raises ``ModelError``, ``DataError`` or ``EngineError`` for what a person can fix.
    """
    assert isinstance(spec.method, TrainedSpec)
    check_engine(spec, num_processes=parallel.size)
    method_class = find_method(spec.method.name)
    domain = make_domain(spec.task)
    roster = load_roster(
        spec,
        models_dir=models_dir,
        device=device,
        progress=progress,
        begin=lambda trained: load_weights(weights, trained) if weights else None,
    )
    style = roster.first.style
    if spec.method.rehearsal is not None and style != "starter":
        raise ModelError(f"{spec.model.source} does not speak the starter's language, which method.rehearsal needs.")
    with ExitStack() as on_failure:
        engine = make_engine(spec, roster, parallel)
        on_failure.callback(engine.close)
        if parallel.size > 1:
            _shard(spec, roster, device=device, parallel=parallel)
        learner = Learner(
            spec.method,
            spec.learner,
            roster.trained,
            policy_of=roster.policy_of,
            references=roster.references,
            parallel=parallel,
            sampler_is_learner=samples_learners_weights(spec),
            keeps_logprobs=spec.recording.token_steps > 0,
        )
        method = method_class(spec, domain, prompts_of(spec, style))
        on_failure.pop_all()
    return Parts(domain=domain, roster=roster, engine=engine, learner=learner, method=method)


def _shard(spec: ExperimentSpec, roster: Roster, *, device: torch.device, parallel: Parallel) -> None:
    """Split the trained models and their snapshots over the processes; by now the engine has weights of its own to sample from."""
    from training_core.distributed.sharding import shard_models

    models = [policy.model for policy in roster.moving.values()]
    in_bfloat16 = any(autocasts(spec.learner, model) for model in models)
    shard_models(models, device=device, size=parallel.size, in_bfloat16=in_bfloat16)


def device_of(spec: ExperimentSpec) -> torch.device:
    """The device the spec asks for, if this machine has it."""
    wish = spec.resources.device
    if wish == "cuda" and not torch.cuda.is_available():
        raise ValueError("resources.device is cuda, but this machine has no usable GPU; choose auto or cpu")
    return torch.device("cuda" if wish != "cpu" and torch.cuda.is_available() else "cpu")
