"""What the machine does while a run learns: processor, memory, disk, network, GPUs. Cheap enough for every step.

Where the system does not tell a figure it is left out: memory and network come from ``/proc``, GPUs from NVML.
"""

import ctypes
import os
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import ClassVar

_MIB = 2**20


class MachineMeter:
    """Reads figures between two steps: ``meter.read()`` gives ``{"machine/cpu_percent": 97.0, "machine/memory_mib": 812.0, ...}``."""

    def __init__(self, folder: Path, *, clock: Callable[[], float] = time.perf_counter) -> None:
        """``folder`` lies on the disk whose free space counts."""
        self._folder = folder
        self._clock = clock
        self._last: tuple[float, float, tuple[int, int] | None] | None = None

    def read(self) -> dict[str, float]:
        """Figures since the reading before, the first of which tells no rates. ``cpu_percent`` is of one core, children included:
        250 is two and a half cores."""
        now, cpu, network = self._clock(), _cpu_seconds(), _network_bytes()
        found = _memory() | _disk(self._folder) | self._gpus.read()
        if self._last is not None:
            then, cpu_then, network_then = self._last
            elapsed = max(now - then, 1e-9)
            found["machine/cpu_percent"] = 100 * max(0.0, cpu - cpu_then) / elapsed
            if network and network_then:
                for name, value, before in zip(("received", "sent"), network, network_then, strict=True):
                    found[f"machine/net_{name}_mib_per_s"] = max(0, value - before) / _MIB / elapsed
        self._last = (now, cpu, network)
        return found

    @cached_property
    def _gpus(self) -> "Gpus":
        return Gpus()


def _cpu_seconds() -> float:
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


def _memory() -> dict[str, float]:
    with suppress(OSError, ValueError, IndexError):
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return {"machine/memory_mib": pages * os.sysconf("SC_PAGE_SIZE") / _MIB}
    return {}


def _disk(folder: Path) -> dict[str, float]:
    with suppress(OSError):
        return {"machine/disk_free_gib": shutil.disk_usage(folder).free / 2**30}
    return {}


def _network_bytes() -> tuple[int, int] | None:
    """Bytes received and sent by all interfaces but the machine's own."""
    with suppress(OSError, ValueError, IndexError):
        return parse_network(Path("/proc/net/dev").read_text(encoding="ascii"))
    return None


def parse_network(table: str) -> tuple[int, int]:
    """Sums over the lines of ``/proc/net/dev``: bytes received are the first figure of a line, bytes sent the ninth."""
    received = sent = 0
    for line in table.splitlines()[2:]:
        name, _, figures = line.partition(":")
        if name.strip() != "lo":
            values = figures.split()
            received, sent = received + int(values[0]), sent + int(values[8])
    return received, sent


class _Utilization(ctypes.Structure):
    _fields_: ClassVar = [("gpu", ctypes.c_uint), ("memory", ctypes.c_uint)]


class _Memory(ctypes.Structure):
    _fields_: ClassVar = [(name, ctypes.c_ulonglong) for name in ("total", "free", "used")]


class Gpus:
    """The GPUs a process may see, by NVML where the driver brings it; none otherwise."""

    def __init__(self) -> None:
        self._nvml: ctypes.CDLL | None = None
        self._handles: list[ctypes.c_void_p] = []
        with suppress(OSError, AttributeError):
            nvml = ctypes.CDLL("libnvidia-ml.so.1")
            if nvml.nvmlInit_v2() == 0:
                self._nvml = nvml
                self._handles = self._visible(nvml)

    def read(self) -> dict[str, float]:
        """Mean share of time in which a kernel ran, in percent, and the memory in use, summed."""
        busy, used = [], []
        for handle in self._handles:
            assert self._nvml is not None
            utilization, memory = _Utilization(), _Memory()
            if self._nvml.nvmlDeviceGetUtilizationRates(handle, ctypes.byref(utilization)) == 0:
                busy.append(utilization.gpu)
            if self._nvml.nvmlDeviceGetMemoryInfo(handle, ctypes.byref(memory)) == 0:
                used.append(memory.used)
        found = {"machine/gpu_percent": sum(busy) / len(busy)} if busy else {}
        return found | ({"machine/gpu_memory_mib": sum(used) / _MIB} if used else {})

    @staticmethod
    def _visible(nvml: ctypes.CDLL) -> list[ctypes.c_void_p]:
        count = ctypes.c_uint()
        nvml.nvmlDeviceGetCount_v2(ctypes.byref(count))
        handles = []
        for name in visible_gpus(os.environ.get("CUDA_VISIBLE_DEVICES"), count.value):
            handle = ctypes.c_void_p()
            by_number = name.isdigit()
            found = (
                nvml.nvmlDeviceGetHandleByIndex_v2(int(name), ctypes.byref(handle))
                if by_number
                else nvml.nvmlDeviceGetHandleByUUID(name.encode(), ctypes.byref(handle))
            )
            if found == 0:
                handles.append(handle)
        return handles


def visible_gpus(listed: str | None, count: int) -> list[str]:
    """Numbers or names of the GPUs in ``CUDA_VISIBLE_DEVICES``; all ``count`` where it is not set, none where it is empty."""
    if listed is None:
        return [str(number) for number in range(count)]
    return [name.strip() for name in listed.split(",") if name.strip() and name.strip() != "-1"]
