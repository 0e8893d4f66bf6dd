"""What this machine offers: CPU slots by setting, GPUs by asking the driver, never through torch."""

import os
import platform
import shutil
import subprocess
from dataclasses import dataclass
from typing import Any

from webapp.env import env_int, env_str
from webapp.fleet.models import SlotKind

_QUERY = ("--query-gpu=index,uuid,name,memory.total", "--format=csv,noheader,nounits")
_TIMEOUT_S = 20


@dataclass(frozen=True, kw_only=True)
class Offer:
    """One slot to be registered: ``Offer(kind=SlotKind.GPU, index=0, device_uuid="GPU-5c1...", memory_mib=81559)``."""

    kind: SlotKind
    index: int
    device_uuid: str = ""
    memory_mib: int = 0
    device_name: str = ""


def offers() -> list[Offer]:
    """Every slot of this machine: ``KUMITE_CPU_SLOTS`` CPU slots (default 1) and one slot for each visible GPU."""
    cpus = [Offer(kind=SlotKind.CPU, index=index) for index in range(env_int("KUMITE_CPU_SLOTS", 1))]
    return cpus + _gpus()


def facts(slots: list[Offer]) -> dict[str, Any]:
    """Cores, memory, GPUs and versions for the Fleet page."""
    pages, page_size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    return {
        "cores": os.cpu_count() or 1,
        "memory_mib": pages * page_size // 2**20,
        "gpus": [slot.device_name for slot in slots if slot.kind == SlotKind.GPU],
        "python": platform.python_version(),
        "system": platform.platform(terse=True),
    }


def _gpus() -> list[Offer]:
    """GPUs that ``nvidia-smi`` lists and ``CUDA_VISIBLE_DEVICES``, where it is set, lets this process use.

    One that ``KUMITE_JOBS_GPU`` names by uuid or index is kept for jobs and offered to no run.
    """
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    try:
        listing = subprocess.run(
            [program, *_QUERY], capture_output=True, text=True, timeout=_TIMEOUT_S, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return []  # a driver without a device
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    allowed = None if visible is None else {part.strip() for part in visible.split(",")}
    found = []
    for line in listing.splitlines():
        index, uuid, name, memory = (part.strip() for part in line.split(",", 3))
        if env_str("KUMITE_JOBS_GPU", "") in {index, uuid}:
            continue
        if allowed is None or index in allowed or uuid in allowed:
            found.append(
                Offer(
                    kind=SlotKind.GPU,
                    index=int(index),
                    device_uuid=uuid,
                    device_name=name,
                    memory_mib=int(memory) if memory.isdigit() else 0,
                )
            )
    return found
