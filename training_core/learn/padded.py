"""Hidden states of any transformers decoder over rows of one length, a prompt once for all completions that answer it.

Shapes: P prompts, B rows, S prompt tokens, T tokens of a row, M predicted tokens, D features.
"""

from collections.abc import Sequence
from typing import Any

import torch
from transformers.cache_utils import DynamicCache

from training_core.learn.logprobs import Text
from training_core.learn.packing import families


def hidden_states(decoder: Any, texts: Sequence[Text], *, share: bool) -> torch.Tensor:
    """M x D: what the head reads to predict each completion token, in the order of ``texts``."""
    if share:
        return _shared(decoder, texts)
    rows = [[*text.prompt_ids, *text.token_ids[:-1]] for text in texts]
    # Filled up on the right: behind a causal mask no token sees what comes after it, so no other mask is needed.
    hidden_BTD = decoder(input_ids=_rectangle(rows, decoder.device), use_cache=False).last_hidden_state
    read = [(row, len(text.prompt_ids) - 1, len(text.token_ids)) for row, text in enumerate(texts)]
    return _pick(hidden_BTD, read)


def _shared(decoder: Any, texts: Sequence[Text]) -> torch.Tensor:
    """Prompts first, their keys and values repeated for the completions; autograd adds up what the siblings send back."""
    members = families(texts)
    prompts = [list(texts[family[0]].prompt_ids) for family in members]
    prompt_of = {index: place for place, family in enumerate(members) for index in family}
    longest = max(map(len, prompts))
    device = decoder.device
    gap_P = torch.tensor([longest - len(prompt) for prompt in prompts], device=device)
    mask_PS = torch.arange(longest, device=device) >= gap_P[:, None]
    is_even = len(set(map(len, prompts))) == 1
    cache = DynamicCache()
    hidden_PSD = decoder(
        input_ids=_rectangle(prompts, device, left=True),
        attention_mask=None if is_even else mask_PS.long(),
        position_ids=(torch.arange(longest, device=device) - gap_P[:, None]).clamp(min=0),
        past_key_values=cache,
        use_cache=True,
    ).last_hidden_state
    first_MD: torch.Tensor = hidden_PSD[:, -1][
        torch.tensor([prompt_of[index] for index in range(len(texts))], device=device)
    ]
    longer = [index for index, text in enumerate(texts) if len(text.token_ids) > 1]
    if not longer:
        return first_MD
    owner_B = torch.tensor([prompt_of[index] for index in longer], device=device)
    cache.batch_select_indices(owner_B)
    ids_BT = _rectangle([list(texts[index].token_ids[:-1]) for index in longer], device)
    later = torch.arange(ids_BT.shape[1], device=device)
    mask_BT = torch.cat([mask_PS[owner_B], mask_PS.new_ones(ids_BT.shape)], 1)
    hidden_BTD = decoder(
        input_ids=ids_BT,
        attention_mask=None if is_even else mask_BT.long(),
        position_ids=(longest - gap_P[owner_B])[:, None] + later,
        past_key_values=cache,
        use_cache=True,
    ).last_hidden_state
    row_of = {index: row for row, index in enumerate(longer)}
    start = len(texts)
    order: list[int] = []
    for index, text in enumerate(texts):
        order.append(index)
        order += range(start, start + len(text.token_ids) - 1)
        start += len(text.token_ids) - 1
    later_MD = _pick(hidden_BTD, [(row_of[index], 0, len(texts[index].token_ids) - 1) for index in longer])
    return torch.cat([first_MD, later_MD])[torch.tensor(order, device=device)]


def _rectangle(rows: Sequence[Sequence[int]], device: torch.device, *, left: bool = False) -> torch.Tensor:
    """Rows of token ids filled up with 0 to the longest."""
    ids_BT = torch.zeros(len(rows), max(map(len, rows)), dtype=torch.long)
    for ids_T, row in zip(ids_BT, rows, strict=True):
        start = len(ids_T) - len(row) if left else 0
        ids_T[start : start + len(row)] = torch.tensor(row)
    return ids_BT.to(device)


def _pick(hidden_BTD: torch.Tensor, spans: Sequence[tuple[int, int, int]]) -> torch.Tensor:
    """Positions ``start`` to ``start + length`` of each ``(row, start, length)``, end to end."""
    num_T = hidden_BTD.shape[1]
    cells = [row * num_T + place for row, start, length in spans for place in range(start, start + length)]
    picked_MD: torch.Tensor = hidden_BTD.flatten(0, 1)[torch.tensor(cells, device=hidden_BTD.device)]
    return picked_MD
