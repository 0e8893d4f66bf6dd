"""Learning from rollouts with advantages: the clipped policy loss.

Shapes: N completion tokens, laid end to end.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch

from training_core.learn.correction import truncated_importance
from training_core.learn.logprobs import Text
from training_core.learn.losses import clipped_policy_loss, k3
from training_core.learn.meter import Meter
from training_core.learn.objectives.base import MiniBatch, Objective, PolicyPasses, Share, flat
from training_core.play.records import Rollout
from training_core.spec.learning import PolicyLossSpec


@dataclass(frozen=True, kw_only=True)
class Row(Text):
    """One completion to learn from: ``Row(prompt_ids=(4, 9), token_ids=(7, 0), role="solver", advantage=0.5, ...)``."""

    role: str
    advantage: float
    kl_coef: float
    sampler_logp: Sequence[float]
    """Log-probs under the distribution it was sampled from."""
    old_logp: Sequence[float] | None = None
    """Log-probs under the learner's weights before the first update; None where these are the present ones."""
    place: int = 0
    """Where it stands in its mini-batch."""
    rollout: Rollout | None = None
    """What it was made from."""
    number: int = 0
    """Where it stands among all rows of the update."""


class PolicyGradient(Objective):
    """Clipped policy loss with entropy bonus and KL penalty.

    Every token's loss is divided by the number of tokens of the whole mini-batch. ``correction_cap`` bounds the weights that
    correct for a sampler that is not the learner; None says that no correction is needed.
    """

    def __init__(
        self,
        loss: PolicyLossSpec,
        passes: PolicyPasses,
        *,
        temperature: float,
        correction_cap: float | None,
        keeps_logprobs: bool = False,
    ) -> None:
        self._loss = loss
        self._passes = passes
        self._temperature = temperature
        self._correction_cap = correction_cap
        self._keeps_logprobs = keeps_logprobs
        self._rollouts: list[Rollout] = []
        self._seen: dict[int, torch.Tensor] = {}

    def shares(self, batches: Sequence[MiniBatch], *, num_updates: int) -> list[Share]:
        found: list[Share] = []
        for batch in batches:
            rows = self._numbered(self._rows(batch.rollouts))
            if self._correction_cap is not None and num_updates > 1:
                rows = self._with_old_logprobs(rows)
            num_idle = sum(len(rollout.completion.token_ids) for rollout in batch.rollouts) - _num_tokens(rows)
            losses = partial(self._losses, rows, num_idle=num_idle)
            found.append(Share(num_tokens=_num_tokens(rows), losses=losses))
        return found

    def finish(self) -> None:
        """Tell the rollouts the log-probs of their tokens as an update last saw them."""
        if not self._keeps_logprobs:
            return
        seen = [(number, tuple(logp_N.tolist())) for number, logp_N in self._seen.items()]
        for number, logprobs in self._passes.parallel.gather_lists(seen):
            self._rollouts[number].learner_logprobs = logprobs
        self._rollouts, self._seen = [], {}

    def _numbered(self, rows: list[Row]) -> list[Row]:
        if not self._keeps_logprobs:
            return rows
        first = len(self._rollouts)
        self._rollouts += [row.rollout for row in rows if row.rollout is not None]
        return [replace(row, number=first + place) for place, row in enumerate(rows)]

    def _remember(self, rows: Sequence[Row], logp_N: torch.Tensor) -> None:
        """Log-probs for readers; they stay tensors until all updates are done, so that a GPU is not waited for."""
        for row, piece in zip(rows, torch.split(logp_N.detach(), [len(row.token_ids) for row in rows]), strict=True):
            self._seen[row.number] = piece

    def _rows(self, rollouts: Sequence[Rollout]) -> list[Row]:
        """Rows that have a gradient: without bonus and penalty, an advantage of 0 has none."""
        rows = [_row(rollout, kl_coef=self._loss.kl_coef) for rollout in rollouts]
        if self._passes.reference is None and any(row.kl_coef > 0 for row in rows):
            raise ValueError(
                "rollouts ask for a KL penalty, but no reference was loaded; set loss.kl_coef, or override needs_reference in "
                "the method's spec"
            )
        return [row for row in rows if row.advantage != 0 or self._loss.entropy_coef > 0 or row.kl_coef > 0]

    def _losses(self, rows: Sequence[Row], meter: Meter, *, num_idle: int) -> Iterator[torch.Tensor]:
        """The mini-batch's loss in pieces; ``num_idle`` of its tokens were left out because they have no gradient."""
        if num_idle and self._passes.tells:
            # Their policy loss is 0 and none of them is clipped.
            for name in ("loss/policy", "loss/clip_share", "loss/total"):
                meter.add(name, 0.0, weight=num_idle)
        num_tokens = _num_tokens(rows) + num_idle
        for batch, counts in self._passes.micro_batches(rows):
            with self._passes.watch("forward"):
                loss_sum = self._loss_sum(batch, meter if counts else Meter(), remembers=bool(counts))
            yield loss_sum * (counts / num_tokens)

    def _loss_sum(self, rows: Sequence[Row], meter: Meter, *, remembers: bool) -> torch.Tensor:
        """Summed loss of the tokens of one micro-batch."""
        device, loss = self._passes.policy.model.device, self._loss
        logp_N, entropy_N = self._passes.score(rows, temperature=self._temperature, with_entropy=loss.entropy_coef > 0)
        if remembers and self._keeps_logprobs:
            self._remember(rows, logp_N)
        reference_logp_N = self._reference_logprobs(rows)
        old_logp_N = sampler_logp_N = flat([row.sampler_logp for row in rows], device)
        weight_N, num_tokens = None, logp_N.numel()
        meter.add("kl/sampler_learner", k3(sampler_logp_N, logp_N.detach()).sum(), weight=num_tokens)
        if self._correction_cap is not None:
            own = [row.old_logp for row in rows]
            old_logp_N = logp_N.detach() if None in own else flat([logp or () for logp in own], device)
            mismatch = truncated_importance(old_logp_N, sampler_logp_N, cap=self._correction_cap)
            weight_N = mismatch.weight_N
            meter.add("mismatch/kl", mismatch.kl, weight=num_tokens)
            meter.add("mismatch/truncated_share", mismatch.num_truncated, weight=num_tokens)
            meter.highest("mismatch/ratio_max", mismatch.ratio_max)
        token_loss = clipped_policy_loss(
            loss,
            logp_N=logp_N,
            old_logp_N=old_logp_N,
            advantage_N=flat([[row.advantage] * len(row.token_ids) for row in rows], device),
            entropy_N=entropy_N,
            reference_logp_N=reference_logp_N,
            kl_coef_N=None if reference_logp_N is None else self._kl_coefs(rows),
            weight_N=weight_N,
        )
        for name, value in token_loss.sums.items():
            meter.add(name, value, weight=num_tokens)
        if reference_logp_N is not None:
            _add_by_role(meter, rows, k3(logp_N.detach(), reference_logp_N))
        return token_loss.loss_N.sum()

    def _kl_coefs(self, rows: Sequence[Row]) -> torch.Tensor:
        return flat([[row.kl_coef] * len(row.token_ids) for row in rows], self._passes.policy.model.device)

    def _reference_logprobs(self, rows: Sequence[Row]) -> torch.Tensor | None:
        if all(row.kl_coef == 0 for row in rows):
            return None
        with self._passes.watch("logprobs"), self._passes.as_reference() as reference:
            logp_N, _ = reference(rows, temperature=self._temperature)
        return logp_N

    def _with_old_logprobs(self, rows: Sequence[Row]) -> list[Row]:
        """The rows with their log-probs under the weights as they are now; every process computes a part."""
        found: list[tuple[int, list[float]]] = []
        places = [replace(row, place=place) for place, row in enumerate(rows)]
        with self._passes.watch("logprobs"), torch.no_grad():
            for batch, counts in self._passes.micro_batches(places):
                logp_N, _ = self._passes.score(batch, temperature=self._temperature)
                if counts:
                    pieces = torch.split(logp_N, [len(row.token_ids) for row in batch])
                    found += [(row.place, piece.tolist()) for row, piece in zip(batch, pieces, strict=True)]
        logps = dict(self._passes.parallel.gather_lists(found))
        return [replace(row, old_logp=logps[place]) for place, row in enumerate(rows)]


def _row(rollout: Rollout, *, kl_coef: float) -> Row:
    completion = rollout.completion
    return Row(
        prompt_ids=completion.prompt_ids,
        token_ids=completion.token_ids,
        role=rollout.role,
        advantage=rollout.advantage,
        kl_coef=kl_coef if rollout.kl_coef is None else rollout.kl_coef,
        sampler_logp=completion.logprobs,
        rollout=rollout,
    )


def _num_tokens(rows: Sequence[Row]) -> int:
    return sum(len(row.token_ids) for row in rows)


def _add_by_role(meter: Meter, rows: Sequence[Row], k3_N: torch.Tensor) -> None:
    """The KL to the reference of each role, where several speak with one policy: ``kl/<role>_start``."""
    by_role: dict[str, list[torch.Tensor]] = defaultdict(list)
    for row, piece in zip(rows, torch.split(k3_N, [len(row.token_ids) for row in rows]), strict=True):
        by_role[row.role].append(piece)
    for role, pieces in by_role.items():
        k3_R = torch.cat(pieces)
        meter.add(f"kl/{role}_start", k3_R.sum(), weight=k3_R.numel())
