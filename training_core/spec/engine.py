"""The engine that generates completions: transformers in the run's own process, or vLLM."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from training_core.spec.base import Block, Unit


class TransformersEngine(Block):
    """Sample with the learner's own weights through transformers. Works on any machine."""

    kind: Literal["transformers"] = "transformers"
    max_batch: Annotated[int, Field(ge=1, le=65_536), Unit("completions")] = 1024
    """Completions sampled together; more is faster until memory ends."""
    max_cache_mib: Annotated[int, Field(ge=64, le=16_777_216), Unit("MiB")] = 4096
    """Memory for the keys and values of completions being sampled; those that do not fit wait. The samples stay the same."""


class VllmEngine(Block):
    """Sample with vLLM, the fastest choice for large models on GPUs. Must be installed on the worker; see docs/engines.md."""

    kind: Literal["vllm"] = "vllm"
    placement: Literal["in_process", "server"] = "in_process"
    """in_process shares the run's process, and one device; server starts vLLM apart, for more GPUs or to keep its memory apart."""
    max_num_seqs: Annotated[int, Field(ge=1, le=65_536), Unit("completions")] = 256
    """Completions sampled together in each engine; the others wait their turn."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Precision of sampling; auto takes that of the model. Another one than the learner's shows in the mismatch metrics."""
    gpu_memory_utilization: Annotated[float, Field(gt=0, le=0.98)] = 0.4
    """Share of each GPU's memory that vLLM takes for weights and cache, all of the run's engines together. The learner needs the rest."""
    cpu_cache_gib: Annotated[float, Field(gt=0, le=1024), Unit("GiB")] = 1.0
    """Memory for keys and values where vLLM runs on a CPU."""
    block_size: Annotated[int, Field(ge=16, le=256, multiple_of=16), Unit("tokens")] | None = None
    """Prompts share their cache in whole blocks of this size. Empty: 32 on a CPU, vLLM's own choice on a GPU."""
    enforce_eager: bool = False
    """Skip compilation and CUDA graphs: starts faster, samples slower. Always so on a CPU."""
    sleep_level: Annotated[int, Field(ge=0, le=2)] = 1
    """While the learner works: 0 keeps the GPU memory, 1 moves the weights to main memory, 2 drops them. Nothing happens on a CPU."""
    tensor_parallel: Annotated[int, Field(ge=1, le=64), Unit("GPUs")] = 1
    """GPUs that hold one copy of the weights together; more than one needs placement server."""
    num_servers: Annotated[int, Field(ge=1, le=64), Unit("servers")] = 1
    """Servers started for each set of weights; requests are dealt among them."""
    urls: Annotated[tuple[str, ...], Field(max_length=64)] = ()
    """Servers that run already, such as http://10.0.0.7:8000 or unix:/run/vllm.sock, instead of starting any; see docs/engines.md."""
    weights_dir: Annotated[str, Field(min_length=1, max_length=1000)] | None = None
    """Folder through which servers receive new weights; must be in memory or fast, and visible to all servers. Empty: shared memory."""
    start_timeout_s: Annotated[int, Field(ge=10, le=7200), Unit("s")] = 600
    """Longest wait for a server to start."""

    @property
    def max_batch(self) -> int:
        """Completions sampled together."""
        return self.max_num_seqs

    @field_validator("urls")
    @classmethod
    def _urls_are_servers(cls, urls: tuple[str, ...]) -> tuple[str, ...]:
        for url in urls:
            if not url.startswith(("http://", "https://", "unix:/")):
                raise ValueError(f"{url!r} is no server; give http://host:port, https://host:port or unix:/path")
        return urls

    @model_validator(mode="after")
    def _fits_placement(self) -> "VllmEngine":
        if self.placement == "server":
            if self.urls and self.num_servers > 1:
                raise ValueError("urls names servers that run already, so num_servers must stay 1")
            return self
        needs_server = {
            "tensor_parallel": self.tensor_parallel > 1,
            "num_servers": self.num_servers > 1,
            "urls": bool(self.urls),
        }
        for name, asked in needs_server.items():
            if asked:
                raise ValueError(f"{name} needs servers, but placement is in_process; set placement to server")
        return self


def _by_name(value: Any) -> Any:
    """``engine: vllm`` is short for ``engine: {kind: vllm}``; without a kind it is transformers."""
    if isinstance(value, str):
        return {"kind": value}
    if isinstance(value, dict) and "kind" not in value:
        return {"kind": "transformers", **value}
    return value


EngineSpec = Annotated[
    Annotated[TransformersEngine | VllmEngine, Field(discriminator="kind")],
    BeforeValidator(_by_name),
]
