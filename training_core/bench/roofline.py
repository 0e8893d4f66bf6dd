"""What a machine can give and what a model asks of it.

The work of a token (Kaplan et al. 2020, section 2.1; Chowdhery et al. 2022, appendix B): every weight of a matrix is used for one
multiplication and one addition, and attention compares with and adds up the C tokens a token can see:

    forward = 2 N + 4 L A C        N weights in matrices, L layers, A = heads x head size
    update  = 3 forward            twice the forward pass again for the gradients of inputs and of weights

The output layer counts only where scores are made, which is at completion tokens; looking up an embedding is no work.

The least time of a piece of work (Williams et al. 2009, the roofline) is the longer of work / peak and bytes / bandwidth, where the
bytes are those of weights, keys and values that must be read at least; activations are taken to stay in the cache.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

SHAPES = {
    "cpu": ((256, 256, 256), (512, 512, 512), (1024, 1024, 1024), (2048, 512, 2048)),
    "cuda": ((4096, 4096, 4096), (8192, 8192, 8192), (16_384, 4096, 4096)),
}
"""Rows, inner and columns of the products that are tried."""
_REPEATS = 5
_LEAST_S = 0.03
_COPIED_BYTES = 1 << 28


@dataclass(frozen=True, kw_only=True)
class Peak:
    """The fastest matrix product: ``Peak(dtype="float32", threads=1, flops_per_s=9.1e10, shape=(1024, 1024, 1024))``."""

    dtype: str
    threads: int
    flops_per_s: float
    shape: tuple[int, int, int]


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What the work of a token depends on."""

    num_body: int
    """Weights in the matrices of the layers."""
    num_head: int
    """Weights of the output layer."""
    num_layers: int
    attention_width: int
    """Heads times head size."""
    cache_width: int
    """Keys and values of one token in one layer, in numbers."""
    bytes_per_number: int

    @property
    def weight_bytes(self) -> int:
        return (self.num_body + self.num_head) * self.bytes_per_number

    def forward_flops(self, lengths: Sequence[tuple[int, int]], *, new_prompts: Sequence[int]) -> float:
        """Work of completions given as (prompt tokens, completion tokens), and of the prompts that are read for them."""
        tokens = sum(new_prompts) + sum(completion for _, completion in lengths)
        scored = sum(completion for _, completion in lengths)
        seen = sum(prompt * (prompt + 1) / 2 for prompt in new_prompts)
        seen += sum(completion * prompt + completion * (completion + 1) / 2 for prompt, completion in lengths)
        return (
            2.0 * self.num_body * tokens
            + 2.0 * self.num_head * scored
            + 4.0 * self.num_layers * self.attention_width * seen
        )


def shape_of(model: Any) -> Shape:
    """Counts of a transformers causal language model; adapters count as weights."""
    config = model.config.get_text_config()
    inputs, outputs = model.get_input_embeddings().weight, model.get_output_embeddings().weight
    matrices = sum(p.numel() for p in model.parameters() if p.ndim == 2 and p is not inputs and p is not outputs)
    heads = config.num_attention_heads
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // heads
    kv_heads = getattr(config, "num_key_value_heads", None) or heads
    return Shape(
        num_body=matrices,
        num_head=outputs.numel(),
        num_layers=config.num_hidden_layers,
        attention_width=heads * head_dim,
        cache_width=2 * kv_heads * head_dim,
        bytes_per_number=outputs.element_size(),
    )


def measure_peaks(device: torch.device, *, threads: int) -> list[Peak]:
    """The best of several products in float32 and, where the device has it, bfloat16; on a CPU with one and with all threads."""
    dtypes = [torch.float32, *([torch.bfloat16] if _has_bfloat16(device) else [])]
    counts = sorted({1, threads}) if device.type == "cpu" else [1]
    return [_peak(device, dtype, count) for count in counts for dtype in dtypes]


def measure_bandwidth(device: torch.device) -> float:
    """Bytes per second of a large copy, read and written."""
    source = torch.ones(_COPIED_BYTES // 4, device=device)
    target = torch.empty_like(source)
    return 2 * _COPIED_BYTES / _fastest(lambda: target.copy_(source), device)


def _peak(device: torch.device, dtype: torch.dtype, threads: int) -> Peak:
    with _threads(threads):
        found = [(_product_rate(shape, device, dtype), shape) for shape in SHAPES[device.type]]
    rate, shape = max(found)
    return Peak(dtype=str(dtype).removeprefix("torch."), threads=threads, flops_per_s=rate, shape=shape)


def _product_rate(shape: tuple[int, int, int], device: torch.device, dtype: torch.dtype) -> float:
    rows, inner, columns = shape
    left = torch.randn(rows, inner, device=device).to(dtype)
    right = torch.randn(inner, columns, device=device).to(dtype)
    out = torch.empty(rows, columns, device=device, dtype=dtype)
    return 2.0 * rows * inner * columns / _fastest(lambda: torch.mm(left, right, out=out), device)


def _fastest(action: Callable[[], object], device: torch.device) -> float:
    """Seconds of one action: the best of several tries, each long enough for the clock."""
    action()
    once = max(1e-7, _seconds(action, 1, device))
    repeats = max(1, int(_LEAST_S / once))
    return min(_seconds(action, repeats, device) for _ in range(_REPEATS)) / repeats


def _seconds(action: Callable[[], object], repeats: int, device: torch.device) -> float:
    # What else runs on the machine does not count where one thread computes.
    now = time.process_time if device.type == "cpu" and torch.get_num_threads() == 1 else time.perf_counter
    synchronize(device)
    begin = now()
    for _ in range(repeats):
        action()
    synchronize(device)
    return now() - begin


def synchronize(device: torch.device) -> None:
    """Wait for what a GPU still has to do."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _has_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
