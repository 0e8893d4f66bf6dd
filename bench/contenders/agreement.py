"""Whether TRL and this project compute one loss and one gradient on one batch: prints the differences as JSON.

One step of each TRL trainer is taken first; its batch then goes through our learner on the same weights.
"""

import random
import tempfile
from typing import Any

import torch
from torch.optim.optimizer import register_optimizer_step_pre_hook
from transformers import TrainerCallback

from bench.contenders import kumite, kumite_dpo, trl_dpo, trl_grpo
from bench.contenders.gate import answer
from bench.contenders.workloads import WORKLOADS, reward
from training_core.learn.learner import Learner
from training_core.learn.logprobs import Text
from training_core.learn.scoring import Scorer
from training_core.play.records import Rollout, StepBatch
from training_core.play.requests import Completion
from training_core.policies.loaded import LoadedPolicy, start_copy
from training_core.spec.learner import LearnerSpec
from training_core.spec.learning import DpoLoss, HingeLoss, IpoLoss, PreferenceLossSpec, SppoLoss

Gradient = dict[str, torch.Tensor]


class Witness(TrainerCallback):
    """Keeps the batches, the losses and the gradient of a trainer's first step."""

    def __init__(self, trainer: Any) -> None:
        self.batches: list[dict[str, Any]] = []
        self.loss = 0.0
        self.gradient: Gradient = {}
        original = trainer.compute_loss

        def compute_loss(model: Any, inputs: Any, *arguments: Any, **options: Any) -> Any:
            self.batches.append(inputs)
            found = original(model, inputs, *arguments, **options)
            self.loss += float((found[0] if isinstance(found, tuple) else found).detach())
            return found

        trainer.compute_loss = compute_loss
        trainer.add_callback(self)

    def on_pre_optimizer_step(self, *_: Any, model: Any, **__: Any) -> None:
        self.gradient = _gradient(model)


NO_CLIP = 1000.0
"""Longest gradient allowed: longer than any here, so that its scale is compared too."""
PREFERENCES: dict[str, tuple[PreferenceLossSpec, str, float]] = {
    "dpo": (DpoLoss(beta=0.1), "sigmoid", 1.0),
    "ipo": (IpoLoss(beta=0.1), "ipo", 1.0),
    "hinge": (HingeLoss(beta=0.1), "hinge", 1.0),
    "sppo": (SppoLoss(eta=10.0), "sppo_hard", 2.0),
}
"""Our loss, TRL's name for it, and TRL's multiple of it: SPPO's paper halves the two squares, TRL does not."""


def main() -> None:
    torch.set_num_threads(1)
    answer(grpo=grpo(), **{name: preference(*losses) for name, losses in PREFERENCES.items()})


def grpo() -> dict[str, float]:
    """Differences on a batch of completions of many lengths."""
    workload = WORKLOADS["agreement"]
    with tempfile.TemporaryDirectory() as folder:
        trainer = trl_grpo.build_trainer(workload, num_steps=1, folder=folder)
        witness = Witness(trainer)
        trainer.train()
    policy = kumite.build_policy(workload)
    texts = [text for batch in witness.batches for text in _texts(batch)]
    rollouts = _rollouts(policy, texts)
    learner = Learner(
        kumite.build_method(workload), LearnerSpec(), {"main": policy}, policy_of={"solver": "main"}, references={}
    )
    metrics, gradient = _update(policy, lambda: learner.update(StepBatch(rollouts=rollouts), [], rng=random.Random(0)))
    return _differences(witness, gradient, loss=metrics["loss/policy"])


def preference(ours: PreferenceLossSpec, theirs: str, multiple: float) -> dict[str, float]:
    """Differences on a batch of pairs, with a reference that is not the start."""
    policy = kumite.build_policy(WORKLOADS["mixed"])
    reference = _strayed(start_copy(policy))
    with tempfile.TemporaryDirectory() as folder:
        trainer = trl_dpo.build_trainer(
            num_steps=1, folder=folder, loss=theirs, reference=reference.model, grad_clip=NO_CLIP
        )
        witness = Witness(trainer)
        trainer.train()
    learner = kumite_dpo.build_learner(policy, ours, reference=reference, grad_clip=NO_CLIP)
    metrics, gradient = _update(policy, lambda: learner.update(kumite_dpo.pairs_of(0), [], rng=random.Random(0)))
    scaled = {name: multiple * value for name, value in gradient.items()}
    return _differences(witness, scaled, loss=multiple * metrics["loss/preference"])


def _strayed(policy: LoadedPolicy) -> LoadedPolicy:
    """The policy with a little noise on its weights."""
    torch.manual_seed(0)
    for parameter in policy.model.parameters():
        parameter.add_(0.1 * parameter.std() * torch.randn_like(parameter))
    return policy


def _texts(batch: dict[str, torch.Tensor]) -> list[Text]:
    rows = zip(
        batch["prompt_ids"],
        batch["prompt_mask"].bool(),
        batch["completion_ids"],
        batch["completion_mask"].bool(),
        strict=True,
    )
    return [Text(prompt_ids=p[pm].tolist(), token_ids=c[cm].tolist()) for p, pm, c, cm in rows]


@torch.no_grad()
def _rollouts(policy: LoadedPolicy, texts: list[Text]) -> list[Rollout]:
    """What our engine would have returned for these completions."""
    logps = Scorer(policy, LearnerSpec())(texts, temperature=1.0)[0].split([len(text.token_ids) for text in texts])
    found = []
    for text, logp in zip(texts, logps, strict=True):
        ended = text.token_ids[-1] in policy.end_ids
        answer_text = policy.decode([text.token_ids[: len(text.token_ids) - int(ended)]])[0]
        completion = Completion(
            text=answer_text,
            prompt_ids=tuple(text.prompt_ids),
            token_ids=tuple(text.token_ids),
            logprobs=tuple(logp.tolist()),
            entropies=(),
            ended=ended,
        )
        found.append(
            Rollout(role="solver", group=str(text.prompt_ids), completion=completion, reward=reward(answer_text))
        )
    return found


def _update(policy: LoadedPolicy, update: Any) -> tuple[dict[str, float], Gradient]:
    """Metrics of an update, and the gradient as the optimiser saw it."""
    seen: list[Gradient] = []
    hook = register_optimizer_step_pre_hook(lambda *_: seen.append(_gradient(policy.model)))
    metrics = update()
    hook.remove()
    return metrics, seen[0]


def _gradient(model: Any) -> Gradient:
    return {name: p.grad.detach().clone() for name, p in model.named_parameters() if p.grad is not None}


def _differences(witness: Witness, gradient: Gradient, *, loss: float) -> dict[str, float]:
    largest = max(float(value.abs().max()) for value in witness.gradient.values())
    assert gradient.keys() == witness.gradient.keys()
    gap = max(float((gradient[name] - value).abs().max()) for name, value in witness.gradient.items())
    return {"loss_trl": witness.loss, "loss_ours": loss, "gradient_gap": gap / largest}


if __name__ == "__main__":
    main()
