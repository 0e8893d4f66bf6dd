"""How fast engine and learner are against what people use otherwise: ``python -m bench.engines [NAME ...]``.

Each comparison keeps two processes alive and lets them take their steps in turn, the order changing from round to round, one
thread each. What counts is the CPU time of a step, so that whatever else the machine does hardly matters; the figures are
medians over the rounds, the ratio is the median of the rounds' ratios. They go to ``bench/results/engines.json``.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from bench.machine import describe

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "bench" / "results" / "engines.json"
SETTINGS = {
    "TRL": "float32, no gradient checkpointing, one thread, on-policy, beta 0, dapo loss, no logging; 32 completions to a forward "
    "pass, of 32, 64 and 256 the fastest on mixed lengths and within the noise elsewhere; "
    "DPO: 32 pairs to a forward pass, reference scored with every new pair",
    "transformers.generate": "KV cache, all prompts in one batch, log-probs gathered from output_logits",
    "vLLM": "float32, in process, prefix cache on, log-prob of the sampled token, no detokenising, eager",
    "Kumite": "defaults; as in every run, the process asks for large pages and keeps the memory that tensors give back "
    "(`training_core/memory.py`)",
}
"""What everybody was set to; each the fastest that was found."""
WARM_UP = 2
"""Steps of each side that are not counted."""


@dataclass(frozen=True, kw_only=True)
class Contender:
    """A process of ``bench.contenders``. Example: ``Contender(name="TRL", module="trl_grpo", arguments=("--workload", "short"))``."""

    name: str
    module: str
    arguments: tuple[str, ...]
    needs: str = ""
    """Which extra interpreter it may be given: trl or vllm."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Ours against theirs; ``per`` says whether steps or tokens are compared."""

    title: str
    ours: Contender
    theirs: Contender
    per: str
    target: float


def _step(title: str, workload: str, target: float) -> Comparison:
    arguments = ("--workload", workload)
    return Comparison(
        title=title,
        ours=Contender(name="Kumite", module="kumite", arguments=arguments),
        theirs=Contender(name="TRL GRPOTrainer", module="trl_grpo", arguments=arguments, needs="trl"),
        per="step",
        target=target,
    )


def _rollout(title: str, workload: str, sampler: str, target: float) -> Comparison:
    arguments = ("--workload", workload, "--sampler")
    names = {"generate": "transformers.generate", "vllm": "vLLM"}
    return Comparison(
        title=title,
        ours=Contender(name="Kumite", module="rollouts", arguments=(*arguments, "kumite")),
        theirs=Contender(
            name=names[sampler],
            module="rollouts",
            arguments=(*arguments, sampler),
            needs=sampler.replace("generate", ""),
        ),
        per="token",
        target=target,
    )


COMPARISONS = {
    "grpo_short": _step("Whole step: short prompts, 64 tokens each", "short", 1.5),
    "grpo_long_prompt": _step("Whole step: 200-token prompt per group, 32 tokens each", "long_prompt", 4.0),
    "grpo_mixed": _step("Whole step: answers of 1 to 256 tokens", "mixed", 3.0),
    "dpo": Comparison(
        title="Whole step: DPO on 32 pairs of 32 + 33 tokens, reference included",
        ours=Contender(name="Kumite", module="kumite_dpo", arguments=()),
        theirs=Contender(name="TRL DPOTrainer", module="trl_dpo", arguments=(), needs="trl"),
        per="step",
        target=1.5,
    ),
    "rollout_starter": _rollout("Rollout: the starter, 256 completions", "starter", "generate", 2.0),
    "rollout_large": _rollout("Rollout: 100M parameters, 32 completions", "large", "generate", 1.0),
    "rollout_vllm": _rollout("Rollout: starter-shaped, 256 completions", "starter_shaped", "vllm", 1.0),
}


class Process:
    """A contender's process: ``step()`` lets it take one and returns what that cost."""

    def __init__(self, contender: Contender, python: str, log: Path) -> None:
        self.name = contender.name
        self.packages: dict[str, str] = {}
        argv = [python, "-m", f"bench.contenders.{contender.module}", *contender.arguments]
        self._log = log
        with log.open("w") as errors:
            self._child = subprocess.Popen(
                argv,
                cwd=ROOT,
                env={**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )

    def read(self) -> dict[str, Any]:
        """The next answer; raises ``RuntimeError`` with the end of its log when the process has ended instead."""
        assert self._child.stdout is not None
        line = self._child.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name} ended early:\n{self._log.read_text(errors='replace')[-2000:]}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def step(self) -> dict[str, Any]:
        assert self._child.stdin is not None
        self._child.stdin.write("go\n")
        self._child.stdin.flush()
        return self.read()

    def close(self) -> None:
        self._child.kill()
        self._child.wait()


@contextmanager
def processes(comparison: Comparison, pythons: Mapping[str, str], logs: Path) -> Iterator[tuple[Process, Process]]:
    """Both sides, ready for their first step; started one after the other."""
    with ExitStack() as stack:
        both = []
        for side, contender in (("ours", comparison.ours), ("theirs", comparison.theirs)):
            process = Process(contender, pythons.get(contender.needs, sys.executable), logs / f"{side}.log")
            stack.callback(process.close)
            process.packages = process.read()["packages"]
            both.append(process)
        yield both[0], both[1]


def measure(comparison: Comparison, *, rounds: int, pythons: Mapping[str, str], logs: Path) -> dict[str, Any]:
    """Costs of both sides and their ratio; above 1 ours is cheaper."""
    found: tuple[list[dict[str, Any]], list[dict[str, Any]]] = ([], [])
    with processes(comparison, pythons, logs) as both:
        packages = both[1].packages
        for round_ in range(WARM_UP + rounds):
            for side in (0, 1) if round_ % 2 == 0 else (1, 0):
                facts = both[side].step()
                if round_ >= WARM_UP:
                    found[side].append(facts)
            say(comparison, round_, found)
    ours, theirs = ([_cost(facts, comparison.per) for facts in side] for side in found)
    ratios = [their / our for our, their in zip(ours, theirs, strict=True)]
    return {
        "title": comparison.title,
        "against": comparison.theirs.name,
        "packages": packages,
        "unit": f"CPU seconds per {'step' if comparison.per == 'step' else '1,000 tokens'}",
        "ours": round(median(ours), 4),
        "theirs": round(median(theirs), 4),
        "ratio": round(median(ratios), 2),
        "ratio_range": [round(min(ratios), 2), round(max(ratios), 2)],
        "target": comparison.target,
        "rounds": rounds,
        "tokens": [round(median(facts["tokens"] for facts in side)) for side in found],
    }


def _cost(facts: Mapping[str, Any], per: str) -> float:
    return float(facts["cpu_s"]) * (1.0 if per == "step" else 1000 / facts["tokens"])


def agree(python: str, logs: Path) -> dict[str, Any]:
    """Loss and gradient of TRL and of ours on one batch each, with the largest gap relative to the largest gradient."""
    process = Process(
        Contender(name="agreement", module="agreement", arguments=(), needs="trl"), python, logs / "agreement.log"
    )
    found = process.read()
    process.close()
    return found


def update_share(logs: Path) -> dict[str, Any]:
    """How near the update of a 100M-parameter model comes to the fastest matrix product of this machine, on one thread."""
    process = Process(Contender(name="update", module="update", arguments=()), sys.executable, logs / "update.log")
    found = process.read()
    process.close()
    return found


def say(comparison: Comparison, round_: int, found: Sequence[Sequence[Mapping[str, Any]]]) -> None:
    last = "  ".join(f"{side[-1]['cpu_s']:.2f}" for side in found if side)
    print(f"{comparison.title}, round {round_ + 1}: {last or 'warming up'} CPU s", file=sys.stderr, flush=True)


def record(name: str, found: Mapping[str, Any]) -> None:
    """Replace what was found under this name in the results."""
    known = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    if name in COMPARISONS:
        rows = known.get("comparisons", {}) | {name: found}
        known["comparisons"] = {each: rows[each] for each in COMPARISONS if each in rows}
    else:
        known[name] = found
    ordered = {key: known[key] for key in ("comparisons", "agreement", "update_share") if key in known}
    content = {"machine": describe(), "threads": 1, "settings": SETTINGS, **ordered}
    RESULTS.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    everything = [*COMPARISONS, "agreement", "update_share"]
    parser.add_argument("names", nargs="*", help=f"{', '.join(everything)}; without a name all of them")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--trl-python", default=sys.executable, help="an interpreter that has TRL, if this one has not")
    parser.add_argument(
        "--vllm-python", default=sys.executable, help="an interpreter that has vLLM, if this one has not"
    )
    parser.add_argument("--logs", type=Path, default=ROOT / "var" / "bench", help="folder for what the processes say")
    parser.add_argument("--dry", action="store_true", help="print the figures and record nothing")
    options = parser.parse_args()
    options.logs.mkdir(parents=True, exist_ok=True)
    pythons = {"trl": options.trl_python, "vllm": options.vllm_python}
    if unknown := set(options.names) - set(everything):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; choose from {', '.join(everything)}")
    for name in options.names or everything:
        if name == "agreement":
            found = agree(options.trl_python, options.logs)
        elif name == "update_share":
            found = update_share(options.logs)
        else:
            found = measure(COMPARISONS[name], rounds=options.rounds, pythons=pythons, logs=options.logs)
        print(json.dumps({name: found}), flush=True)
        if not options.dry:
            record(name, found)


if __name__ == "__main__":
    main()
