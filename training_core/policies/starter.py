"""The starter: a small model made on this machine, so that learning can be seen without any download."""

import fcntl
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from training_core.curricula.registry import find_curriculum
from training_core.policies.recipe import Recipe, starter_recipe
from training_core.spec.tasks import TaskSpec

_CARD = "starter.json"
_FILES = (
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
    _CARD,
)
_POLL_S = 0.5


def ensure_starter(
    *,
    task: TaskSpec,
    models_dir: Path,
    progress: Callable[[float, str], None],
    curriculum: str = "evolve",
    seed: int = 0,
) -> Path:
    """The folder of the starter for a task and a curriculum, made and taught first where it is missing (CPU minutes)."""
    recipe = starter_recipe(task, curriculum=find_curriculum(curriculum), seed=seed)
    return ensure_recipe(recipe, models_dir=models_dir, progress=progress)


def ensure_recipe(recipe: Recipe, *, models_dir: Path, progress: Callable[[float, str], None]) -> Path:
    """The folder of the starter of a recipe. Any number of processes may ask at once; one of them makes it."""
    folder = models_dir / recipe.name
    if _is_whole(folder):
        return folder
    models_dir.mkdir(parents=True, exist_ok=True)
    with _alone(models_dir / f".{recipe.name}.lock", progress):
        if not _is_whole(folder):
            _make(recipe, folder, progress)
    return folder


def _make(recipe: Recipe, folder: Path, progress: Callable[[float, str], None]) -> None:
    """Write the starter aside and put it in place by one rename; a process killed on the way leaves nothing behind."""
    progress(0.0, "Making the starter model: loading torch and transformers")
    from training_core.policies.teaching import teach  # brings torch and transformers, which take seconds

    aside = folder.with_name(f".tmp-{folder.name}")
    shutil.rmtree(aside, ignore_errors=True)
    taught = teach(recipe, progress)
    taught.policy.model.save_pretrained(aside)
    taught.policy.tokenizer.save_pretrained(aside)
    card = {
        "recipe": asdict(recipe),
        "scores": taught.scores,
        "num_steps": taught.num_steps,
        "cpu_s": round(taught.cpu_s, 1),
    }
    (aside / _CARD).write_text(json.dumps(card, indent=1), encoding="utf-8")
    for path in (*aside.iterdir(), aside):
        _fsync(path)
    shutil.rmtree(folder, ignore_errors=True)
    aside.rename(folder)
    _fsync(folder.parent)
    progress(1.0, "The starter model is ready")


@contextmanager
def _alone(lock: Path, progress: Callable[[float, str], None]) -> Iterator[None]:
    """Hold a file lock, so that of two processes in need of one starter only one teaches it."""
    with lock.open("a") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                progress(0.0, "Another process is making the starter model; waiting for it")
                time.sleep(_POLL_S)
        yield


def _is_whole(folder: Path) -> bool:
    return all((folder / name).is_file() for name in _FILES)


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
