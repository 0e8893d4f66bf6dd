"""What a run's process does with memory that is given back."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PAGES = 40 << 8
"""Pages of the 40 MiB that are taken and given back."""
TAKE_AND_GIVE_BACK = """
import ctypes, resource, numpy
from training_core.memory import keep_freed_memory
ctypes.CDLL(None).prctl(41, 1, 0, 0, 0)  # PR_SET_THP_DISABLE: pages of the ordinary size, whatever the machine is set to
{first}
numpy.ones(40 << 20, numpy.uint8)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
numpy.ones(40 << 20, numpy.uint8)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


LARGE_PAGES = """
import training_core.runner
from training_core.memory import set_up_memory
set_up_memory()
import torch
tensor = torch.ones(16 << 20)
with open("/proc/self/smaps") as maps:
    print(any(" hg" in line for line in maps if line.startswith("VmFlags")))
"""


def pages_cleared(first):
    """Pages the kernel had to clear for the second of two equal arrays, in a process of its own."""
    found = subprocess.run(
        [sys.executable, "-c", TAKE_AND_GIVE_BACK.format(first=first)],
        env={**os.environ, "NUMPY_MADVISE_HUGEPAGE": "0"},
        capture_output=True,
        text=True,
        check=True,
    )
    return int(found.stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="about glibc")
def test_memory_that_is_kept_needs_no_clearing():
    assert pages_cleared("") >= PAGES
    assert pages_cleared("keep_freed_memory()") < PAGES // 100


@pytest.mark.skipif(not Path("/sys/kernel/mm/transparent_hugepage").exists(), reason="the kernel has no large pages")
def test_a_run_asks_for_large_pages():
    """Nothing that the runner imports makes a tensor, after which it would be too late."""
    found = subprocess.run([sys.executable, "-c", LARGE_PAGES], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "True"
