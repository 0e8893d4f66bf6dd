"""Three forward passes to one result, from the one that knows a model best to the one that fits any.

Shapes: M completion tokens, laid end to end, D features, V vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import nn

from training_core.distributed.sharding import compute_gathered, is_sharded
from training_core.engines.anatomy import Anatomy, NotUnderstood, bias_of, take_apart, weight_of
from training_core.learn import packed, padded
from training_core.learn.head import head_logprobs
from training_core.learn.logprobs import Text, completion_logprobs, micro_batches
from training_core.learn.packing import families, num_packed_tokens, pack
from training_core.policies.loaded import LoadedPolicy
from training_core.spec.learner import LearnerSpec

_WORTH_SHARING = 0.1
"""Prompts are shared where that spares at least this part of the tokens."""
_PROBE = (((1, 2, 3, 4, 5), (6, 7, 8)), ((1, 2, 3, 4, 5), (9, 3)), ((4, 2, 6), (1, 5, 2, 3)), ((4, 2, 6), (8,)))

LogProbs = tuple[torch.Tensor, torch.Tensor | None]


class Pass(Protocol):
    """A way to the log-probs (and entropies) of completions, with gradients."""

    def cut(self, texts: Sequence[Text], budget_tokens: int) -> list[list[int]]:
        """Indices of ``texts`` in micro-batches of at most ``budget_tokens`` tokens each (one text at the least)."""

    def __call__(self, texts: Sequence[Text], *, temperature: float, with_entropy: bool) -> LogProbs:
        """M log-probs, and M entropies if asked for, in the order of ``texts``."""


@dataclass(frozen=True, kw_only=True)
class PackedPass:
    """Our own forward pass over texts end to end; for models that ``take_apart`` understands, on the CPU."""

    anatomy: Anatomy
    settings: LearnerSpec

    def cut(self, texts: Sequence[Text], budget_tokens: int) -> list[list[int]]:
        return _cut_families(texts, budget_tokens, share=_shares(texts, self.settings))

    def __call__(self, texts: Sequence[Text], *, temperature: float, with_entropy: bool) -> LogProbs:
        laid = pack(texts, share=_shares(texts, self.settings))
        hidden_MD = packed.hidden_states(self.anatomy, laid, checkpointed=self.settings.gradient_checkpointing)
        return head_logprobs(
            hidden_MD,
            weight_of(self.anatomy.head),
            bias_of(self.anatomy.head),
            laid.target_M,
            temperature=temperature,
            chunk=self.settings.logits_chunk,
            with_entropy=with_entropy,
        )


@dataclass(frozen=True, kw_only=True)
class PaddedPass:
    """The model's own decoder, and its head at completion tokens only."""

    model: Any
    decoder: Any
    head: nn.Linear
    settings: LearnerSpec
    can_share: bool

    def cut(self, texts: Sequence[Text], budget_tokens: int) -> list[list[int]]:
        if self.can_share and _shares(texts, self.settings):
            return _cut_families(texts, budget_tokens, share=True)
        return list(micro_batches(texts, budget_tokens=budget_tokens))

    def __call__(self, texts: Sequence[Text], *, temperature: float, with_entropy: bool) -> LogProbs:
        found: LogProbs = compute_gathered(
            self.model, lambda: self._compute(texts, temperature=temperature, with_entropy=with_entropy)
        )
        return found

    def _compute(self, texts: Sequence[Text], *, temperature: float, with_entropy: bool) -> LogProbs:
        share = self.can_share and _shares(texts, self.settings)
        hidden_MD = padded.hidden_states(self.decoder, texts, share=share)
        targets = [token for text in texts for token in text.token_ids]
        return head_logprobs(
            hidden_MD,
            self.head.weight,
            self.head.bias,
            torch.tensor(targets, device=hidden_MD.device),
            temperature=temperature,
            chunk=self.settings.logits_chunk,
            with_entropy=with_entropy,
        )


@dataclass(frozen=True, kw_only=True)
class WholePass:
    """The whole model from the outside: for models that do more than a linear head with what their decoder gives."""

    model: Any

    def cut(self, texts: Sequence[Text], budget_tokens: int) -> list[list[int]]:
        return list(micro_batches(texts, budget_tokens=budget_tokens))

    def __call__(self, texts: Sequence[Text], *, temperature: float, with_entropy: bool) -> LogProbs:
        return completion_logprobs(self.model, texts, temperature=temperature, with_entropy=with_entropy)


def best_pass(policy: LoadedPolicy, settings: LearnerSpec) -> Pass:
    """The cheapest pass that gives this model's log-probs and gradients, tried out on a few tokens. ``policy`` must be active."""
    model = policy.model
    whole = WholePass(model=model)
    was_training = model.training
    model.eval()
    try:
        return next((found for found in _candidates(policy, settings) if _agrees(found, whole)), whole)
    finally:
        model.train(was_training)


def _candidates(policy: LoadedPolicy, settings: LearnerSpec) -> list[Pass]:
    model = policy.model
    found: list[Pass] = []
    if model.device.type == "cpu":
        try:
            anatomy = take_apart(model, max_context=policy.max_context)
            found.append(PackedPass(anatomy=anatomy, settings=settings))
        except NotUnderstood:
            pass  # the model's own forward pass serves
    inner = model.get_base_model() if hasattr(model, "peft_config") else model
    decoder, head = inner.get_decoder(), inner.get_output_embeddings()
    if decoder is not inner and type(head) is nn.Linear:
        # Transformers keeps no cache while it checkpoints activations. Processes that share weights must run the decoder equally
        # often, but with shared prompts it runs twice or once, as the texts of the process are.
        runs_once = settings.gradient_checkpointing or is_sharded(model)
        found.extend(
            PaddedPass(model=model, decoder=decoder, head=head, settings=settings, can_share=can_share)
            for can_share in ((False,) if runs_once else (True, False))
        )
    return found


def _agrees(candidate: Pass, whole: WholePass) -> bool:
    """Whether log-probs and some gradients are those of the model itself."""
    texts = [Text(prompt_ids=prompt, token_ids=tokens) for prompt, tokens in _PROBE]
    # Gradients of weights that are spread over processes go to the weights themselves; log-probs have to do for these.
    trained = [p for p in whole.model.parameters() if p.requires_grad and not hasattr(p, "placements")]
    some = sorted(trained, key=lambda parameter: parameter.numel())[:16]
    tolerance = 1e-3 if whole.model.dtype == torch.float32 else 0.1
    with torch.enable_grad():
        expected = _values(whole, texts, some)
        try:
            found = _values(candidate, texts, some)
        except (RuntimeError, TypeError, ValueError, AttributeError, NotImplementedError, IndexError, KeyError):
            return False  # it cannot run this model; a pass that can will be found
    return all(_near(a, b, tolerance) for a, b in zip(found, expected, strict=True))


def _values(run: Pass, texts: Sequence[Text], parameters: list[nn.Parameter]) -> list[torch.Tensor]:
    logp_M, _ = run(texts, temperature=1.0, with_entropy=False)
    if not parameters:
        return [logp_M.detach()]
    weight_M = torch.linspace(-1, 1, len(logp_M), device=logp_M.device)
    gradients = torch.autograd.grad((logp_M * weight_M).sum(), parameters, allow_unused=True)
    return [logp_M.detach(), *(torch.zeros(1) if gradient is None else gradient for gradient in gradients)]


def _near(found: torch.Tensor, expected: torch.Tensor, tolerance: float) -> bool:
    gap = float((found - expected).float().norm())
    return gap <= tolerance * float(expected.float().norm()) + 1e-4


def _shares(texts: Sequence[Text], settings: LearnerSpec) -> bool:
    if settings.share_prompts != "auto":
        return settings.share_prompts == "always"
    alone = num_packed_tokens(texts, share=False)
    return alone - num_packed_tokens(texts, share=True) >= _WORTH_SHARING * alone > 0


def _cut_families(texts: Sequence[Text], budget_tokens: int, *, share: bool) -> list[list[int]]:
    """Siblings together as far as they fit, the micro-batches of about one size."""
    pieces: list[tuple[int, list[int]]] = []
    for family in families(texts) if share else [[index] for index in range(len(texts))]:
        prompt = cost = len(texts[family[0]].prompt_ids)
        piece: list[int] = []
        for index in family:
            more = len(texts[index].token_ids) - 1
            if piece and cost + more > budget_tokens:
                pieces.append((cost, piece))
                piece, cost = [], prompt
            piece.append(index)
            cost += more
        pieces.append((cost, piece))
    total = sum(cost for cost, _ in pieces)
    goal = total / max(1, -(-total // budget_tokens))
    batches: list[list[int]] = []
    held = 0.0
    for cost, piece in pieces:
        if not batches or held + cost > budget_tokens or held >= goal:
            batches.append([])
            held = 0.0
        batches[-1] += piece
        held += cost
    return batches
