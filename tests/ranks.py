"""Runs of several processes for tests, without importing everything once per process: ``python -m tests.ranks JOBS.json``.

A job is ``{"spec": PATH, "dir": PATH, "size": 2, "resume": false}``. Its ranks are forked from this process, which has imported what
they need, and get the environment that torchrun would give them. Jobs run one after the other; the status is the number that failed.
"""

import json
import os
import sys
import traceback
from pathlib import Path

from tests.own_methods import known_as
from tests.ports import free_port
from tests.shadow import Shadow
from training_core.distributed import sharding, shards  # noqa: F401 (imported once for all ranks)
from training_core.distributed.rank import run_rank
from training_core.spec.io import load_file


def run_job(job) -> bool:
    """Whether all ranks ended in order."""
    port = free_port()
    ranks = [_fork(job, rank, port) for rank in range(job["size"])]
    statuses = [os.waitpid(pid, 0)[1] for pid in ranks]
    return not any(statuses)


def _fork(job, rank: int, port: int) -> int:
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        os.environ.update(
            RANK=str(rank),
            LOCAL_RANK=str(rank),
            WORLD_SIZE=str(job["size"]),
            MASTER_ADDR="127.0.0.1",
            MASTER_PORT=str(port),
            GLOO_SOCKET_IFNAME="lo",
        )
        spec, folder = load_file(Path(job["spec"])), Path(job["dir"])
        folder.mkdir(parents=True, exist_ok=True)
        status = run_rank(spec, folder, models_dir=None, resume=job["resume"], listener=None)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


if __name__ == "__main__":
    with known_as("shadow", Shadow):
        sys.exit(sum(not run_job(job) for job in json.loads(Path(sys.argv[1]).read_text())))
