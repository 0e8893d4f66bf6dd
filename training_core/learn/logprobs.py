"""Log-probabilities of given completions under a model.

Shapes: B rows, T tokens of prompt and completion, C completion tokens (padded), V vocabulary, N completion tokens end to end.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True, kw_only=True)
class Text:
    """A prompt with its completion, as token ids."""

    prompt_ids: Sequence[int]
    token_ids: Sequence[int]

    @property
    def length(self) -> int:
        return len(self.prompt_ids) + len(self.token_ids)


def micro_batches(texts: Sequence[Text], *, budget_tokens: int) -> Iterator[list[int]]:
    """Indices of texts, longest first, cut so that rows x longest row stays within the budget (one row at the least)."""
    batch: list[int] = []
    longest = 0
    for index in sorted(range(len(texts)), key=lambda i: (-texts[i].length, i)):
        longest = max(longest, texts[index].length)
        if batch and longest * (len(batch) + 1) > budget_tokens:
            yield batch
            batch, longest = [], texts[index].length
        batch.append(index)
    if batch:
        yield batch


def completion_logprobs(
    model: Any, texts: Sequence[Text], *, temperature: float, with_entropy: bool
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Log-prob and entropy of every completion token of ``texts``, end to end: two tensors of N numbers, in nats.

    Rows are padded on the left, so that completions end together and logits are made for the last C positions only.
    """
    device = model.device
    num_T, num_C = max(text.length for text in texts), max(len(text.token_ids) for text in texts)
    ids_BT = torch.zeros(len(texts), num_T, dtype=torch.long)
    mask_BT = torch.zeros(len(texts), num_T, dtype=torch.long)
    target_BC = torch.zeros(len(texts), num_C, dtype=torch.bool)
    for row, text in enumerate(texts):
        ids_BT[row, num_T - text.length :] = torch.tensor([*text.prompt_ids, *text.token_ids])
        mask_BT[row, num_T - text.length :] = 1
        target_BC[row, num_C - len(text.token_ids) :] = True
    ids_BT, mask_BT, target_BC = ids_BT.to(device), mask_BT.to(device), target_BC.to(device)
    logits_BCV = model(
        input_ids=ids_BT,
        attention_mask=mask_BT,
        position_ids=(mask_BT.cumsum(1) - 1).clamp(min=0),
        use_cache=False,
        logits_to_keep=num_C + 1,
    ).logits[:, :-1]
    logits_NV = logits_BCV[target_BC].float()
    if temperature not in {0.0, 1.0}:
        logits_NV = logits_NV / temperature
    all_logp_NV = logits_NV.log_softmax(-1)
    logp_N = all_logp_NV.gather(-1, ids_BT[:, -num_C:][target_BC][:, None])[:, 0]
    entropy_N = -(all_logp_NV.exp() * all_logp_NV).sum(-1) if with_entropy else None
    return logp_N, entropy_N
