"""What a run was carried out by, for whoever wants to repeat it."""

import hashlib
import os
import platform
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parent


def provenance() -> dict[str, str]:
    """Versions and machine by name: ``{"kumite": "0.4.0", "code": "3f2a…", "torch": "2.13.0", "cpu": "…, 2 cores", ...}``."""
    facts = {
        "kumite": _version("kumite"),
        "code": code_digest(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": _version("transformers"),
        "system": f"{platform.system()} {platform.machine()}",
        "cpu": f"{_cpu_name()}, {os.cpu_count()} cores",
    }
    if torch.cuda.is_available():
        facts["gpu"] = ", ".join(torch.cuda.get_device_name(place) for place in range(torch.cuda.device_count()))
    return facts


@cache
def code_digest() -> str:
    """sha256, hexadecimal, over the Python and YAML files of this package, by name and content."""
    total = hashlib.sha256()
    for path in sorted(ROOT.rglob("*")):
        if path.suffix in {".py", ".yaml"}:
            total.update(f"{path.relative_to(ROOT).as_posix()}\0".encode())
            total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # used from a folder, not installed
        return "unknown"


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or "unknown"
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
