"""A server whose run is killed outright."""

import subprocess
import sys
import time
from pathlib import Path

import psutil

from tests.vllm.leftovers import processes_of_servers
from training_core.engines.vllm_model import PrivateFolder, default_folder

REPOSITORY = Path(__file__).resolve().parents[2]
RUN = """
import torch
from tests.vllm.models import random_policy
from training_core.engines.build import vllm_engine
from training_core.spec.engine import VllmEngine

spec = VllmEngine(placement="server", cpu_cache_gib=0.1)
vllm_engine(spec, {"main": random_policy()}, trained=("main",), device=torch.device("cpu"), seed=0)
"""


def test_server_dies_with_a_killed_run_and_the_next_engine_clears_its_folder():
    run = subprocess.Popen([sys.executable, "-c", RUN], cwd=REPOSITORY)
    processes = await_processes(run, at_least=3)  # the server, its engine and Python's resource tracker
    run.kill()
    run.wait()
    assert psutil.wait_procs(processes, timeout=60)[1] == []
    PrivateFolder().close()
    assert list(default_folder().glob(f"kumite-vllm-{run.pid}-*")) == []


def await_processes(run, at_least, timeout_s=200):
    deadline = time.monotonic() + timeout_s
    while len(found := processes_of_servers(run.pid)) < at_least:
        assert run.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.2)
    return found
