"""From a model block to weights in memory: the starter, a folder, or a model of the hub.

Weights are safetensors and code is ours: whatever would unpickle a file or run a model's own Python is refused.
"""

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import torch

from training_core.curricula.base import Curriculum
from training_core.curricula.registry import find_curriculum
from training_core.play.requests import derive_seed
from training_core.policies.loaded import LoadedPolicy
from training_core.spec.model import LoraSpec, ModelSpec
from training_core.spec.tasks import TASKS, TaskSpec

Progress = Callable[[float, str], None]
_PICKLED = (".bin", ".pt", ".pth", ".pkl", ".ckpt")
_HUB_FILES = ("*.safetensors", "*.json", "*.jinja", "tokenizer*", "vocab*", "merges.txt", "spiece.model")
ADAPTER = "default"
"""Name of the only adapter, where there is one for all roles."""


class ModelError(ValueError):
    """A model that cannot be used; the message is one sentence for the person who chose it."""


def load_policy(
    model_spec: ModelSpec,
    *,
    task: TaskSpec,
    models_dir: Path,
    device: torch.device | str,
    progress: Progress,
    adapters: Sequence[str] = (ADAPTER,),
    curriculum: str = "evolve",
) -> LoadedPolicy:
    """Weights, tokenizer and style of a model block; makes the starter of the curriculum if need be. Raises ``ModelError``.

    Where the block asks for LoRA, the model gets one adapter per name in ``adapters`` and the policy speaks with the first.
    """
    taught = find_curriculum(curriculum)
    folder = _folder_of(model_spec, taught, task=task, models_dir=models_dir, progress=progress)
    config = _read_config(folder)
    style = _style(model_spec, folder)
    progress(1.0, f"Loading {model_spec.source}")
    tokenizer = _load_tokenizer(folder, style)
    if style == "starter" and not set(taught.marks) <= set(tokenizer.get_added_vocab()):
        raise ModelError(
            f"The starter in {folder} was not taught the {taught.name} curriculum, whose marks this method speaks in; "
            "set model.source to starter, or to a checkpoint of a run of this method."
        )
    model = _load_weights(folder, config, getattr(torch, model_spec.dtype))
    end_ids = _end_ids(model, tokenizer)
    if model_spec.adapter is not None:
        model = with_adapters(model, model_spec.adapter, adapters)
    return LoadedPolicy(
        model=model.to(device).eval(),
        tokenizer=tokenizer,
        style=style,
        end_ids=end_ids,
        max_context=_max_context(model_spec, config),
        adapter=None if model_spec.adapter is None else adapters[0],
    )


def _folder_of(
    model_spec: ModelSpec,
    curriculum: Curriculum,
    *,
    task: TaskSpec,
    models_dir: Path,
    progress: Progress,
) -> Path:
    source = model_spec.source
    if model_spec.is_starter:
        from training_core.policies.starter import ensure_starter

        task = _starter_task(source, curriculum, task)
        return ensure_starter(task=task, curriculum=curriculum.name, models_dir=models_dir, progress=progress)
    if source.startswith(("/", "./", "../", "~")):
        return Path(source).expanduser()
    progress(0.0, f"Fetching {source} from the hub")
    return _download(source, model_spec.revision)


def _starter_task(source: str, curriculum: Curriculum, task: TaskSpec) -> TaskSpec:
    """The task whose starter is meant: "starter:strings" names one, "starter" takes the task of the run."""
    kind = source.partition(":")[2] or task.kind
    if kind not in curriculum.tasks:
        raise ModelError(
            f"The starter model of this method knows {' and '.join(curriculum.tasks)} only and was not taught {kind}; "
            "choose one of these tasks, or a folder or hub id as the model."
        )
    return task if kind == task.kind else TASKS[kind]()


def _download(source: str, revision: str | None) -> Path:
    import httpx
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        return Path(snapshot_download(source, revision=revision, allow_patterns=list(_HUB_FILES)))
    except GatedRepoError as error:
        raise ModelError(
            f"The model {source} asks for permission first; accept its terms on the hub and keep HF_TOKEN among the "
            "secrets of the workspace, or set it on the worker."
        ) from error
    except RevisionNotFoundError as error:
        raise ModelError(f"The model {source} has no revision {revision!r}; check model.revision.") from error
    except RepositoryNotFoundError as error:
        raise ModelError(f"The hub has no model called {source} (or it is private); check model.source.") from error
    except (HfHubHTTPError, LocalEntryNotFoundError, httpx.HTTPError, OSError) as error:
        raise ModelError(
            f"The model {source} is not on this machine and the hub cannot be reached; check the network or give "
            "a folder as model.source."
        ) from error


def _read_config(folder: Path) -> dict[str, Any]:
    """The model's config, after making sure that loading it is safe and possible."""
    if not folder.is_dir():
        raise ModelError(f"There is no model folder at {folder}; check model.source.")
    names = sorted(path.name for path in folder.iterdir())
    if not any(name.endswith(".safetensors") and not name.startswith("adapter_") for name in names):
        raise ModelError(_without_weights(folder, names))
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        model_type = config["model_type"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"The model folder {folder} has no readable config.json with a model_type.") from error
    if model_type != "qwen2":  # the starter's architecture needs no look into the full register
        from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

        if model_type not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
            raise ModelError(
                f"The model in {folder} is of type {model_type!r}, which transformers can only load with code from the "
                "model's own folder; that code is never run, so choose another model."
            )
    return dict(config)


def _without_weights(folder: Path, names: list[str]) -> str:
    if "adapter_config.json" in names:
        return f"The folder {folder} holds only a LoRA adapter; merge it into its base model first."
    if pickled := [name for name in names if name.endswith(_PICKLED)]:
        return (
            f"The folder {folder} holds pickled weights ({pickled[0]}), which can run any code when loaded; "
            "convert them to safetensors first."
        )
    return f"The folder {folder} holds no safetensors weights; check model.source."


def _style(model_spec: ModelSpec, folder: Path) -> Literal["chat", "starter"]:
    from training_core.policies.tokenizer import speaks_starter

    natural: Literal["chat", "starter"] = "starter" if speaks_starter(folder) else "chat"
    if model_spec.prompt_style in {"auto", natural}:
        return natural
    if natural == "starter":
        raise ModelError("The starter model understands only its own marks; set model.prompt_style to auto.")
    raise ModelError(
        f"{model_spec.source} does not know the marks of the starter's language; set model.prompt_style to auto."
    )


def _load_tokenizer(folder: Path, style: str) -> Any:
    from training_core.policies.tokenizer import load_starter_tokenizer, load_tokenizer

    try:
        return load_starter_tokenizer(folder) if style == "starter" else load_tokenizer(folder)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise ModelError(f"The tokenizer in {folder} cannot be loaded: {_first_line(error)}") from error


def _load_weights(folder: Path, config: dict[str, Any], dtype: torch.dtype) -> Any:
    from safetensors import SafetensorError

    try:
        model, info = _model_class(config["model_type"]).from_pretrained(
            folder, dtype=dtype, use_safetensors=True, trust_remote_code=False, output_loading_info=True
        )
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise ModelError(f"The weights in {folder} cannot be loaded: {_first_line(error)}") from error
    if lacking := sorted(map(str, [*info["missing_keys"], *info["mismatched_keys"]])):
        raise ModelError(
            f"The weights in {folder} do not fit its config.json: {len(lacking)} tensors are missing or of another "
            f"shape, the first is {lacking[0]}."
        )
    return model


def _model_class(model_type: str) -> Any:
    if model_type == "qwen2":  # importing the register of all architectures takes seconds
        from transformers.models.qwen2 import Qwen2ForCausalLM

        return Qwen2ForCausalLM
    from transformers.models.auto.modeling_auto import AutoModelForCausalLM

    return AutoModelForCausalLM


def with_adapters(model: Any, adapter: LoraSpec, names: Sequence[str]) -> Any:
    """The model with one fresh adapter per name; a fresh adapter changes nothing yet."""
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(
        r=adapter.rank,
        lora_alpha=adapter.alpha,
        lora_dropout=adapter.dropout,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )
    first, *others = names
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed("adapter", first))
        wrapped = get_peft_model(model, config, adapter_name=first)
        for name in others:
            torch.manual_seed(derive_seed("adapter", name))
            wrapped.add_adapter(name, config)
    return wrapped


def _end_ids(model: Any, tokenizer: Any) -> frozenset[int]:
    found: set[int] = set()
    for value in (model.generation_config.eos_token_id, model.config.eos_token_id, tokenizer.eos_token_id):
        found.update(value if isinstance(value, list) else [] if value is None else [value])
    if not found:
        raise ModelError("The model names no token that ends a text (eos_token_id), so it would never stop speaking.")
    return frozenset(found)


def _max_context(model_spec: ModelSpec, config: dict[str, Any]) -> int:
    limit = int(config.get("max_position_embeddings") or config.get("n_positions") or 2048)
    if model_spec.max_context is not None and model_spec.max_context > limit:
        raise ModelError(
            f"model.max_context is {model_spec.max_context} tokens, but {model_spec.source} was made for at most {limit}."
        )
    return model_spec.max_context or limit


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__)[:300].rstrip(os.linesep)
