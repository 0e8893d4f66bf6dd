"""vLLM in the run's own process, on one device."""

import gc
import os
import random
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from training_core.engine_health import EngineHealth
from training_core.engines.vllm import Ask, Drawn
from training_core.engines.vllm_health import StatLogger
from training_core.engines.vllm_model import NamedTensors, PrivateFolder, checkpoint_tensors, write_model, write_weights
from training_core.engines.vllm_serve import ENVIRONMENT
from training_core.engines.vllm_setup import engine_arguments, sampling_dtype
from training_core.failures import EngineError
from training_core.policies.loaded import LoadedPolicy
from training_core.spec.engine import VllmEngine as VllmSpec


class LocalInstance:
    """One model in a vLLM of this process."""

    _num_open: ClassVar[int] = 0

    def __init__(
        self,
        spec: VllmSpec,
        policies: Mapping[str, LoadedPolicy],
        *,
        device: torch.device,
        health: EngineHealth,
        share: float = 1.0,
        seed: int = 0,
    ) -> None:
        for name, value in ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        policy = next(iter(policies.values()))
        untie = device.type == "cpu"
        arguments = engine_arguments(spec, policies, device=device, share=share, seed=seed)
        folder = PrivateFolder()
        try:
            write_model(policy, folder.path, untie=untie)
            if "load_format" not in arguments:
                tensors = checkpoint_tensors(policy.model, dtype=sampling_dtype(spec, policy), untie=untie)
                write_weights(tensors, folder.path / "weights")
                for path in (folder.path / "weights").iterdir():
                    path.rename(folder.path / "model" / path.name)
            with _harmless():
                self._llm = _start(folder.path, arguments)
            # In the place of vLLM's own, which would write to the console and keep histograms for a web server.
            self._llm.llm_engine.logger_manager.stat_loggers = [StatLogger(health)]
        finally:
            folder.close()
        self._adapters: dict[str | None, Any] = {}
        self._num_adapters = 0
        LocalInstance._num_open += 1

    def wait_until_ready(self) -> None:
        """It is."""

    def generate(self, asks: Sequence[Ask]) -> list[list[Drawn]]:
        """Completions of every ask, in order."""
        return [[_drawn(each) for each in output.outputs] for output in self._generate(asks)]

    def score(self, asks: Sequence[Ask]) -> list[list[float]]:
        """Log-probs of the tokens of every ask's prompt but the first."""
        outputs = self._generate(asks)
        return [
            [output.prompt_logprobs[place][ask.prompt_ids[place]].logprob for place in range(1, len(ask.prompt_ids))]
            for ask, output in zip(asks, outputs, strict=True)
        ]

    def _generate(self, asks: Sequence[Ask]) -> list[Any]:
        from vllm import SamplingParams

        outputs: list[Any] = self._llm.generate(
            [{"prompt_token_ids": list(ask.prompt_ids)} for ask in asks],
            [SamplingParams(**ask.params, flat_logprobs=True) for ask in asks],
            lora_request=[self._adapters.get(ask.adapter) for ask in asks] if self._adapters else None,
            use_tqdm=False,
        )
        return outputs

    def load(self, tensors: NamedTensors, version: int) -> None:
        """Replace the weights and forget what was cached with the old ones."""
        from training_core.engines.vllm_transfer import handed_over

        key = str(id(self))
        handed_over[key] = iter(tensors)
        self._llm.start_weight_update()
        self._llm.update_weights({"update_info": {"key": key}})
        self._llm.finish_weight_update(weight_version=str(version))
        self._llm.reset_prefix_cache()

    def add_adapter(self, name: str, folder: Path) -> None:
        """Make an adapter known."""
        from vllm.lora.request import LoRARequest

        self._num_adapters += 1
        self._adapters[name] = LoRARequest(name, self._num_adapters, str(folder))
        self._llm.llm_engine.add_lora(self._adapters[name])

    def remove_adapter(self, name: str) -> None:
        """Forget it."""
        self._llm.llm_engine.remove_lora(self._adapters.pop(name).lora_int_id)

    def sleep(self, level: int) -> None:
        """Give back GPU memory."""
        self._llm.sleep(level=level)

    def wake(self, part: str) -> None:
        """Take it back."""
        self._llm.wake_up(tags=[part])

    def close(self) -> None:
        """Free the model; the last one also leaves torch.distributed, which vLLM had joined."""
        self._llm.llm_engine.engine_core.shutdown()
        del self._llm
        gc.collect()
        LocalInstance._num_open -= 1
        if LocalInstance._num_open == 0:
            from vllm.distributed import cleanup_dist_env_and_memory

            cleanup_dist_env_and_memory()


def _start(folder: Path, arguments: Mapping[str, Any]) -> Any:
    from vllm import LLM

    from training_core.engines.vllm_transfer import IN_PROCESS

    try:
        return LLM(
            model=str(folder / "model"),
            tokenizer=str(folder / "tokenizer"),
            weight_transfer_config={"backend": IN_PROCESS},
            logprobs_mode="processed_logprobs",
            generation_config="vllm",
            disable_log_stats=False,
            **arguments,
        )
    except (ValueError, NotImplementedError) as error:
        raise EngineError(
            f"vLLM cannot run this model with these settings: {_first_line(error)} "
            "Change the engine's settings, or choose engine: transformers."
        ) from error


def _drawn(output: Any) -> Drawn:
    ids = tuple(output.token_ids)
    return Drawn(
        token_ids=ids,
        logprobs=tuple(output.logprobs[place][token].logprob for place, token in enumerate(ids)),
        stopped=output.finish_reason == "stop",
    )


@contextmanager
def _harmless() -> Iterator[None]:
    """Undo what starting vLLM does to the process it shares: it seeds every generator and takes the number of threads away."""
    set_num_threads, state = torch.set_num_threads, random.getstate()
    numpy_state = np.random.get_state()
    with torch.random.fork_rng(), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        try:
            yield
        finally:
            torch.set_num_threads = set_num_threads
            random.setstate(state)
            np.random.set_state(numpy_state)


def _first_line(error: Exception) -> str:
    text = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    return f"{text[:300].rstrip('.')}."
