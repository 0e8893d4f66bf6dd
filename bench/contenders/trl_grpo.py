"""TRL's ``GRPOTrainer``, set up for this machine as its users would: see ``SETTINGS``."""

import argparse
import tempfile
from typing import Any

import torch
from datasets import Dataset
from transformers import TrainerCallback
from trl import GRPOConfig, GRPOTrainer

from bench.contenders.gate import Gate
from bench.contenders.workloads import WORKLOADS, Workload, build_model, build_tokenizer, draw_prompts, rewards

SETTINGS: dict[str, Any] = {
    "learning_rate": 1e-6,
    "lr_scheduler_type": "constant",
    "beta": 0.0,
    "epsilon": 0.2,
    "epsilon_high": 0.28,
    "loss_type": "dapo",
    "scale_rewards": "none",
    "temperature": 1.0,
    "use_cpu": True,
    "bf16": False,
    "gradient_checkpointing": False,
    "shuffle_dataset": False,
    "report_to": "none",
    "save_strategy": "no",
    "logging_strategy": "no",
    "disable_tqdm": True,
}
"""float32, no recomputation, on-policy, nothing logged or saved."""
ROWS = 32
"""Completions in one forward pass of the update: of 32, 64 and 256 the fastest on mixed lengths, within the noise elsewhere."""


class Turnstile(TrainerCallback):
    """Holds the trainer between its steps."""

    def __init__(self, gate: Gate, workload: Workload) -> None:
        self.gate = gate
        self.workload = workload
        self.trainer: GRPOTrainer

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        self.gate.wait()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        lengths = self.trainer._metrics["train"]["completions/mean_length"]
        self.gate.wait(tokens=round(lengths[-1] * self.workload.num_completions))


def build_trainer(workload: Workload, *, num_steps: int, folder: str) -> GRPOTrainer:
    """As many forward passes to a step as make up its completions."""
    prompts = [prompt for step in range(num_steps) for prompt in draw_prompts(workload, step)]
    return GRPOTrainer(
        model=build_model(workload),
        reward_funcs=rewards,
        args=GRPOConfig(
            output_dir=folder,
            num_generations=workload.num_samples,
            per_device_train_batch_size=ROWS,
            gradient_accumulation_steps=workload.num_completions // ROWS,
            max_completion_length=workload.max_tokens,
            max_steps=num_steps,
            **SETTINGS,
        ),
        train_dataset=Dataset.from_dict({"prompt": prompts}),
        processing_class=build_tokenizer(),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workload", choices=WORKLOADS, required=True)
    workload = WORKLOADS[parser.parse_args().workload]
    torch.set_num_threads(1)
    turnstile = Turnstile(Gate(), workload)
    with tempfile.TemporaryDirectory() as folder:
        turnstile.trainer = build_trainer(workload, num_steps=400, folder=folder)
        turnstile.trainer.add_callback(turnstile)
        turnstile.trainer.train()


if __name__ == "__main__":
    main()
