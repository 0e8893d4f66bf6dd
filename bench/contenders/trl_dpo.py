"""TRL's ``DPOTrainer`` on the same pairs, with a reference model that scores each of them, as new pairs need it."""

import tempfile
from typing import Any

import torch
from datasets import Dataset
from transformers import TrainerCallback
from trl import DPOConfig, DPOTrainer

from bench.contenders.gate import Gate
from bench.contenders.workloads import NUM_PAIRS, PAIR_TOKENS, WORKLOADS, build_model, build_tokenizer, draw_pairs

SETTINGS: dict[str, Any] = {
    "learning_rate": 1e-6,
    "lr_scheduler_type": "constant",
    "beta": 0.1,
    "per_device_train_batch_size": NUM_PAIRS,
    "use_cpu": True,
    "bf16": False,
    "gradient_checkpointing": False,
    "report_to": "none",
    "save_strategy": "no",
    "logging_strategy": "no",
    "disable_tqdm": True,
}


class Turnstile(TrainerCallback):
    """Holds the trainer between its steps."""

    def __init__(self, gate: Gate) -> None:
        self.gate = gate

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        self.gate.wait()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.gate.wait(tokens=2 * NUM_PAIRS * (PAIR_TOKENS + 1))


def build_trainer(
    *, num_steps: int, folder: str, loss: str = "sigmoid", reference: Any | None = None, grad_clip: float = 1.0
) -> DPOTrainer:
    """``reference`` is the start where none is given."""
    pairs = [pair for step in range(num_steps) for pair in draw_pairs(step)]
    prompts, chosen, rejected = zip(*pairs, strict=True)
    workload = WORKLOADS["mixed"]
    return DPOTrainer(
        model=build_model(workload),
        ref_model=reference or build_model(workload),
        args=DPOConfig(output_dir=folder, max_steps=num_steps, loss_type=[loss], max_grad_norm=grad_clip, **SETTINGS),
        train_dataset=Dataset.from_dict({"prompt": prompts, "chosen": chosen, "rejected": rejected}),
        processing_class=build_tokenizer(),
    )


def main() -> None:
    torch.set_num_threads(1)
    gate = Gate()
    with tempfile.TemporaryDirectory() as folder:
        trainer = build_trainer(num_steps=400, folder=folder)
        trainer.add_callback(Turnstile(gate))
        trainer.train()


if __name__ == "__main__":
    main()
