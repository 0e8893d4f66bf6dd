"""Whether TRL and this project compute one loss and one gradient on one batch: prints the differences as JSON.

One step of each TRL trainer is taken first; its batch then goes through our learner on the same weights.
"""

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
from training_core.learn.preference import Pair
from training_core.learn.scoring import Scorer
from training_core.play.records import Rollout
from training_core.play.requests import Completion
from training_core.policies.loaded import LoadedPolicy
from training_core.spec.learner import LearnerSpec

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


def main() -> None:
    torch.set_num_threads(1)
    answer(grpo=grpo(), dpo=dpo())


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
        kumite.build_method(workload), LearnerSpec(), {"main": policy}, policy_of={"solver": "main"}, reference=None
    )
    metrics, gradient = _update(policy, lambda: learner.update(rollouts, [], order=range(len(rollouts))))
    return _differences(witness, gradient, loss=metrics["loss/policy"])


def dpo() -> dict[str, float]:
    """Differences on a batch of pairs."""
    with tempfile.TemporaryDirectory() as folder:
        trainer = trl_dpo.build_trainer(num_steps=1, folder=folder)
        witness = Witness(trainer)
        trainer.train()
    policy = kumite.build_policy(WORKLOADS["mixed"])
    learner = kumite_dpo.build_learner(policy)
    pairs: list[Pair] = kumite_dpo.pairs_of(policy, 0)
    metrics, gradient = _update(policy, lambda: learner.update(pairs))
    return _differences(witness, gradient, loss=metrics["loss/preference"])


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
