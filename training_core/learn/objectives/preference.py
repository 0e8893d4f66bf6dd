"""Learning from pairs of completions of which one is preferred.

Shapes: P pairs, N completion tokens laid end to end.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise

import torch

from training_core.learn.logprobs import Text
from training_core.learn.meter import Meter
from training_core.learn.objectives.base import MiniBatch, Objective, PolicyPasses, Share, completion_ids
from training_core.learn.preference_losses import PairTensors, preference_loss, strength
from training_core.learn.scoring import Scorer
from training_core.play.records import Pair
from training_core.policies.loaded import LoadedPolicy
from training_core.spec.events import Turn
from training_core.spec.learning import PreferenceLossSpec, SppoLoss, SppoSingleLoss


@dataclass(frozen=True, kw_only=True)
class PairText(Text):
    """A pair as one text, so that both completions come into one micro-batch; the prompt counts once."""

    num_chosen: int
    """Leading tokens of the text that are the chosen completion."""
    strength: float | None
    win_rates: tuple[float, float]
    turns: tuple[Turn, Turn] | None
    correction: float | None
    place: int
    """Where it stands among all pairs of the update."""
    reference_logp: tuple[float, float] = (0.0, 0.0)
    """Summed log-probs of chosen and rejected under the reference, in nats."""

    @property
    def chosen(self) -> Text:
        return Text(prompt_ids=self.prompt_ids, token_ids=self.token_ids[: self.num_chosen])

    @property
    def rejected(self) -> Text:
        return Text(prompt_ids=self.prompt_ids, token_ids=self.token_ids[self.num_chosen :])


class Preference(Objective):
    """The mean preference loss of the pairs of a mini-batch, and imitation of what was chosen beside it.

    Pairs of corrected verdicts are added with their factor, on the same scale: the mean is over the step's own pairs.
    A prompt runs once for both completions. The reference scores every pair once, before the first update that sees it.
    """

    def __init__(self, loss: PreferenceLossSpec, passes: PolicyPasses, *, imitation_coef: float) -> None:
        if passes.reference is None:
            raise ValueError(
                "a preference loss compares with a reference policy, but none was given; pass a frozen copy of the start"
            )
        self._loss = loss
        self._passes = passes
        self._imitation_coef = imitation_coef
        self._num_pairs = 0
        self._logratios: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
        self._turns: dict[int, tuple[Turn, Turn]] = {}

    def shares(self, batches: Sequence[MiniBatch], *, num_updates: int) -> list[Share]:
        texts: list[PairText] = []
        cuts = [0]
        for batch in batches:
            texts += [_text(self._passes.policy, pair, len(texts) + place) for place, pair in enumerate(batch.pairs)]
            cuts.append(len(texts))
        self._turns = {text.place: text.turns for text in texts if text.turns is not None}
        texts = self._with_reference(texts)
        parts = [texts[begin:end] for begin, end in pairwise(cuts)]
        return [
            Share(num_tokens=sum(len(text.token_ids) for text in part), losses=partial(self._losses, part))
            for part in parts
        ]

    def finish(self) -> None:
        """Tell the turns their log-ratios, as they were when an update first saw them."""
        if not self._turns:
            return
        seen = [(place, float(chosen), float(rejected)) for place, (chosen, rejected) in self._logratios.items()]
        for place, chosen, rejected in self._passes.parallel.gather_lists(seen):
            turns = self._turns[place]
            turns[0].logratio, turns[1].logratio = chosen, rejected
        self._logratios, self._turns = {}, {}

    def _with_reference(self, texts: Sequence[PairText]) -> list[PairText]:
        """The pairs with their log-probs under the reference; every process computes a part."""
        found: list[tuple[int, tuple[float, float]]] = []
        with self._passes.watch("logprobs"), self._passes.as_reference() as reference:
            for batch, counts in self._passes.micro_batches(texts, score=reference):
                chosen_P, rejected_P = _summed_logprobs(reference, batch)
                if counts:
                    sums = zip(chosen_P.tolist(), rejected_P.tolist(), strict=True)
                    found += [(text.place, both) for text, both in zip(batch, sums, strict=True)]
        logps = dict(self._passes.parallel.gather_lists(found))
        return [replace(text, reference_logp=logps[text.place]) for text in texts]

    def _losses(self, texts: Sequence[PairText], meter: Meter) -> Iterator[torch.Tensor]:
        num_own = sum(text.correction is None for text in texts) or len(texts)
        for batch, counts in self._passes.micro_batches(texts):
            with self._passes.watch("forward"):
                loss_P = self._pair_losses(batch, meter if counts else Meter())
            yield loss_P.sum() * (counts / num_own)

    def _pair_losses(self, texts: Sequence[PairText], meter: Meter) -> torch.Tensor:
        chosen_P, rejected_P = _summed_logprobs(self._passes.score, texts)
        pairs = self._tensors(texts, chosen_P, rejected_P)
        loss_P, margin_P = preference_loss(self._loss, pairs)
        self._remember(texts, pairs)
        means = {
            "loss/preference": loss_P,
            "preference/margin": margin_P,
            "preference/accuracy": margin_P > 0,
            "preference/chosen_logratio": pairs.chosen_logratio_P,
            "preference/rejected_logratio": pairs.rejected_logratio_P,
            "preference/chosen_tokens": pairs.chosen_tokens_P,
            "preference/rejected_tokens": pairs.rejected_tokens_P,
            "preference/strength": pairs.strength_P,
        }
        if isinstance(self._loss, SppoLoss | SppoSingleLoss):
            means |= {"preference/chosen_wins": pairs.chosen_wins_P, "preference/rejected_wins": pairs.rejected_wins_P}
        own = [text for text in texts if text.correction is None]
        own_P = loss_P.new_tensor([text.correction is None for text in texts])
        for name, value_P in means.items():
            meter.add(name, (value_P.detach() * own_P).sum(), weight=len(own))
        if self._imitation_coef:
            num_tokens = sum(text.num_chosen for text in own)
            meter.add("loss/imitation", -(chosen_P.detach() * own_P).sum(), weight=num_tokens)
            loss_P = loss_P - self._imitation_coef * chosen_P / pairs.chosen_tokens_P
        return loss_P * loss_P.new_tensor([1.0 if text.correction is None else text.correction for text in texts])

    def _tensors(self, texts: Sequence[PairText], chosen_P: torch.Tensor, rejected_P: torch.Tensor) -> PairTensors:
        usual = strength(self._loss)
        values_7P = torch.tensor(
            [
                [text.reference_logp[0] for text in texts],
                [text.reference_logp[1] for text in texts],
                [usual if text.strength is None else text.strength for text in texts],
                [text.num_chosen for text in texts],
                [len(text.token_ids) - text.num_chosen for text in texts],
                [text.win_rates[0] for text in texts],
                [text.win_rates[1] for text in texts],
            ],
            dtype=torch.float32,
            device=chosen_P.device,
        )
        return PairTensors(
            chosen_logratio_P=chosen_P - values_7P[0],
            rejected_logratio_P=rejected_P - values_7P[1],
            strength_P=values_7P[2],
            chosen_tokens_P=values_7P[3],
            rejected_tokens_P=values_7P[4],
            chosen_wins_P=values_7P[5],
            rejected_wins_P=values_7P[6],
        )

    def _remember(self, texts: Sequence[PairText], pairs: PairTensors) -> None:
        """Log-ratios for readers; they stay tensors until all updates are done, so that a GPU is not waited for."""
        chosen_P, rejected_P = pairs.chosen_logratio_P.detach(), pairs.rejected_logratio_P.detach()
        for index, text in enumerate(texts):
            if text.turns is not None:
                self._logratios.setdefault(text.place, (chosen_P[index], rejected_P[index]))


def _text(policy: LoadedPolicy, pair: Pair, place: int) -> PairText:
    chosen_ids, rejected_ids = completion_ids(policy, pair.chosen), completion_ids(policy, pair.rejected)
    return PairText(
        prompt_ids=policy.encode(pair.prompt),
        token_ids=[*chosen_ids, *rejected_ids],
        num_chosen=len(chosen_ids),
        strength=pair.beta,
        win_rates=pair.win_rates or (1.0, 0.0),
        turns=pair.turns,
        correction=pair.correction,
        place=place,
    )


def _summed_logprobs(score: Scorer, pairs: Sequence[PairText]) -> tuple[torch.Tensor, torch.Tensor]:
    """Summed log-probs of chosen and of rejected completions: P numbers each."""
    texts = [text for pair in pairs for text in (pair.chosen, pair.rejected)]
    logp_N, _ = score(texts, temperature=1.0)
    owner_N = torch.repeat_interleave(torch.tensor([len(text.token_ids) for text in texts])).to(logp_N.device)
    sums = logp_N.new_zeros(len(texts)).index_add(0, owner_N, logp_N).view(-1, 2)
    return sums[:, 0], sums[:, 1]
