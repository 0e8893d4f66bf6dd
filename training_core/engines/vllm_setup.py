"""Whether vLLM can be used here, and how it is set up for a model."""

import importlib.util
from collections.abc import Mapping
from typing import Any

import torch

from training_core.policies.loaded import LoadedPolicy
from training_core.spec.engine import VllmEngine as VllmSpec

_CPU_BLOCK = 32
_LORA_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
_GIB = 1 << 30


def is_installed() -> bool:
    return importlib.util.find_spec("vllm") is not None


def engine_arguments(
    spec: VllmSpec, policies: Mapping[str, LoadedPolicy], *, device: torch.device, share: float, seed: int
) -> dict[str, Any]:
    """vLLM's settings for the model that ``policies`` have in common; ``share`` is this engine's part of the memory."""
    policy = next(iter(policies.values()))
    arguments: dict[str, Any] = {
        "dtype": str(sampling_dtype(spec, policy)).removeprefix("torch."),
        "max_model_len": policy.max_context,
        "max_num_seqs": spec.max_num_seqs,
        "enable_prefix_caching": True,
        "seed": seed,
        "use_tqdm_on_load": False,
    }
    if device.type == "cpu":
        arguments |= {
            "distributed_executor_backend": "uni",
            "enforce_eager": True,
            "block_size": spec.block_size or _CPU_BLOCK,
            "kv_cache_memory_bytes": int(spec.cpu_cache_gib * _GIB * share),
        }
    else:
        arguments |= {
            "tensor_parallel_size": spec.tensor_parallel,
            "enforce_eager": spec.enforce_eager,
            "gpu_memory_utilization": round(spec.gpu_memory_utilization * share, 3),
            "enable_sleep_mode": spec.sleep_level > 0,
        }
        if spec.block_size:
            arguments["block_size"] = spec.block_size
    adapters = [each for each in policies.values() if each.adapter is not None]
    if adapters:
        rank = max(each.model.peft_config[each.adapter].r for each in adapters)
        arguments |= {
            "enable_lora": True,
            "max_loras": len(policies),
            "max_cpu_loras": 2 * len(policies),
            "max_lora_rank": next(offered for offered in _LORA_RANKS if offered >= rank),
        }
    else:
        arguments["load_format"] = "dummy"  # the weights are handed over as after every update
    return arguments


def sampling_dtype(spec: VllmSpec, policy: LoadedPolicy) -> torch.dtype:
    if spec.dtype != "auto":
        wanted: torch.dtype = getattr(torch, spec.dtype)
        return wanted
    own: torch.dtype = next(iter(policy.model.parameters())).dtype
    return own
