"""Writes the section "How fast" of ``docs/engines.md`` from the stored results: ``python -m bench.speed_page``."""

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "engines.md"
BEGIN, END = "<!-- speed: written by python -m bench.speed_page -->", "<!-- end of speed -->"


def results(name: str) -> dict[str, Any]:
    """The stored figures of this name; nothing where they have not been measured."""
    path = ROOT / "bench" / "results" / f"{name}.json"
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return found


def section(engines: dict[str, Any], scaling: dict[str, Any]) -> str:
    machine = engines["machine"]
    parts = [
        "## How fast",
        f"Measured by `python -m bench.engines` on {machine['processor']}, one thread each, torch {machine['torch']}, transformers "
        f"{machine['transformers']}. Both sides take their steps in turn in processes of their own; what is compared is CPU time, so "
        "a ratio above 1 means that Kumite is cheaper. Random weights, 32 prompts with 8 completions each where nothing else is said.",
        "",
        _table(engines["comparisons"]),
        "",
        *_agreement(engines.get("agreement")),
        *_settings(engines["settings"]),
        *_share(engines.get("update_share")),
        *_scaling(scaling),
    ]
    return "\n".join(parts)


def _table(comparisons: dict[str, Any]) -> str:
    rows = ["| what | against | Kumite | theirs | ratio | from - to |", "| --- | --- | --- | --- | --- | --- |"]
    for row in comparisons.values():
        low, high = row["ratio_range"]
        unit = "per step" if row["unit"].endswith("step") else "per 1,000 tokens"
        package = row["against"].split()[0].replace("transformers.generate", "transformers").lower()
        version = next((found for name, found in row["packages"].items() if name.startswith(package)), "")
        rows.append(
            f"| {row['title']} | {row['against']} {version} | {row['ours']:.3g} s {unit} | {row['theirs']:.3g} s | "
            f"**{row['ratio']:.2f}** | {low:.2f} - {high:.2f} |"
        )
    return "\n".join(rows)


_TITLES = {"grpo": "GRPO", "dpo": "DPO", "ipo": "IPO", "hinge": "hinge loss", "sppo": "SPPO"}


def _agreement(found: dict[str, Any] | None) -> list[str]:
    if not found:
        return []
    gaps = ", ".join(f"{each['gradient_gap']:.0e} ({_TITLES[name]})" for name, each in found.items())
    return [
        f"On one batch TRL and Kumite compute the same: the gradients differ by at most {gaps} of the largest gradient.",
        "",
    ]


def _settings(settings: dict[str, str]) -> list[str]:
    return ["Settings:", "", *(f"- {name}: {text}." for name, text in settings.items()), ""]


def _share(found: dict[str, Any] | None) -> list[str]:
    if not found:
        return []
    return [
        f"**Roofline.** An update of a model of {found['parameters'] / 1e6:.0f} million parameters reaches "
        f"{found['update_share']:.0%} of the fastest matrix product of this machine ({found['peak_gflops']:.0f} GFLOP/s in float32), "
        f"log-probs without gradient {found['logprob_share']:.0%}. Work counts as 6 N + 12 L A C for a token (2 N + 4 L A C forward): N "
        "weights in matrices, L layers of attention width A, C tokens seen. At this size memory is no limit: a micro-batch of "
        "thousands of tokens uses each weight thousands of times. What separates it from the limit is attention, the parts that "
        "are no matrix product (norms, rotary positions, the gated activation), and products that run below the peak. "
        "`python -m training_core bench --model MODEL` prints the same for any model and machine.",
        "",
    ]


def _scaling(found: dict[str, Any]) -> list[str]:
    parts: list[str] = []
    if "fits" in found:
        worst = min(fit["r_squared"] for fit in found["fits"].values())
        parts += [
            "**Scaling.** The cost of a step grows linearly with its tokens (4 model sizes, 4 batch sizes; R squared of "
            f"each line at least {worst:.3f}):",
            "",
            "![CPU seconds per step against tokens](scaling.svg)",
            "",
        ]
    if "memory" in found:
        memory = found["memory"]
        parts += [
            f"**Memory.** Over {memory['steps']:,} steps of a very small run resident memory was {memory['first_quarter_mib']:.0f} MiB "
            f"in the first quarter and {memory['last_quarter_mib']:.0f} MiB in the last:",
            "",
            "![Resident memory over steps](memory.svg)",
            "",
        ]
    return parts


def main() -> None:
    page = PAGE.read_text(encoding="utf-8")
    text = f"{BEGIN}\n{section(results('engines'), results('scaling'))}{END}"
    if BEGIN in page:
        before, _, rest = page.partition(BEGIN)
        page = before + text + rest.partition(END)[2]
    else:
        page = f"{page.rstrip()}\n\n{text}\n"
    PAGE.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
