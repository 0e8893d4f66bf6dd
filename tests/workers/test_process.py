"""The child: what it inherits, how it is bounded, and that it cannot outlive its supervisor."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest

from webapp.fleet.processes import MARK, ProcessId, identify
from webapp.fleet.services import Claim
from workers.fence import Fence
from workers.output import OutputLog
from workers.process import Child, training_argv, training_environment

LIMIT_S = 60.0


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def claim(**changes: object) -> Claim:
    values = {
        "run_id": uuid4(),
        "token": 3,
        "attempt": 1,
        "spec": {"resources": {"threads": 2}},
        "gpu_uuids": (),
        "last_seq": 0,
        "last_step": 0,
        "checkpoint_requests": 0,
        "seconds_used": 0.0,
    }
    return Claim(**{**values, **changes})


def run_child(tmp_path: Path, code: str, **bounds: int) -> tuple[Child, OutputLog]:
    output = OutputLog(tmp_path / "output.log", **bounds)
    env = {"PATH": os.environ["PATH"]}
    return Child([sys.executable, "-c", code], env=env, cwd=tmp_path, output=output), output


def test_secrets_of_the_installation_stay_out_of_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DATABASE_URL", "REDIS_URL", "KUMITE_SECRET_KEY", "AWS_SECRET_ACCESS_KEY", "OPENAI_API_KEY"):
        monkeypatch.setenv(name, "canary")
    monkeypatch.setenv("HF_HOME", "/models/hub")
    environment = training_environment(claim())
    assert "canary" not in environment.values()
    assert environment["HF_HOME"] == "/models/hub"
    assert environment["PATH"] == os.environ["PATH"]
    assert environment["OMP_NUM_THREADS"] == "2"


def test_a_run_finds_the_methods_that_its_worker_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUMITE_METHODS", "/srv/methods")
    assert training_environment(claim())["KUMITE_METHODS"] == "/srv/methods"


def test_a_cpu_run_sees_no_gpu_and_a_gpu_run_only_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2,3")
    assert training_environment(claim())["CUDA_VISIBLE_DEVICES"] == ""
    assert training_environment(claim(gpu_uuids=("GPU-a", "GPU-b")))["CUDA_VISIBLE_DEVICES"] == "GPU-a,GPU-b"


def test_every_process_of_a_run_carries_its_lease() -> None:
    ours = claim()
    assert training_environment(ours)[MARK] == f"{ours.run_id}/3/0"


def test_a_later_attempt_resumes() -> None:
    assert training_argv(Path("d"), claim(attempt=2))[-1] == "--resume"
    assert "--resume" not in training_argv(Path("d"), claim(attempt=1))


def test_every_host_of_a_run_is_told_its_rank_and_where_to_meet() -> None:
    argv = training_argv(Path("d"), claim(num_hosts=2, host_rank=1, rendezvous="alpha:29400"))
    assert argv[-4:] == ["--host-rank", "1", "--rendezvous", "alpha:29400"]


def test_output_goes_to_a_file_and_the_exit_status_is_kept(tmp_path: Path) -> None:
    child, output = run_child(
        tmp_path, "import sys; print('out', flush=True); print('err', file=sys.stderr); sys.exit(7)"
    )
    assert child.wait(LIMIT_S) == 7
    output.close()
    assert output.tail() == "out\nerr\n"


def test_a_flood_of_output_is_bounded_and_does_not_block_the_child(tmp_path: Path) -> None:
    child, output = run_child(tmp_path, "print('x' * 3_000_000)", max_bytes=1000, max_bytes_per_s=10_000)
    assert child.wait(LIMIT_S) == 0
    output.close()
    assert (tmp_path / "output.log").read_text().endswith("[2999001 bytes of output were left out]\n")
    assert (tmp_path / "output.log").stat().st_size < 1100


def test_killing_reaches_the_whole_group(tmp_path: Path) -> None:
    code = (
        "import subprocess, sys, time; p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']); "
    )
    child, output = run_child(tmp_path, code + "print(p.pid, flush=True); time.sleep(600)")
    wait_for(lambda: output.tail().strip())
    grandchild = identify(int(output.tail()))
    assert grandchild is not None
    child.kill()
    assert child.wait(LIMIT_S) == -signal.SIGKILL
    output.close()
    wait_for(lambda: not grandchild.is_alive)


def test_work_of_processes_in_sessions_of_their_own_counts(tmp_path: Path) -> None:
    busy = "import sys; sys.stdout.write('x' * 5_000_000); sys.stdout.flush()\nwhile True: pass"
    code = f"""
import subprocess, sys, time
subprocess.Popen([sys.executable, '-c', {busy!r}], start_new_session=True, stdout=subprocess.DEVNULL)
time.sleep(600)
"""
    child, _ = run_child(tmp_path, code)
    try:
        deadline = time.monotonic() + 100
        while child.cpu_s() < 1.0 or child.bytes_written() < 5_000_000:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        for pid in child._tree():
            os.kill(pid, signal.SIGKILL)
    child.wait(10)


def test_stacks_are_dumped_only_by_a_process_that_survives_the_question(tmp_path: Path) -> None:
    deaf, _ = run_child(tmp_path, "import time; print('up', flush=True); time.sleep(600)")
    code = "import faulthandler, signal, time; faulthandler.register(signal.SIGUSR1); print('up', flush=True); "
    (tmp_path / "b").mkdir()
    willing, output = run_child(tmp_path / "b", code + "time.sleep(600)")
    wait_for(lambda: "up" in output.tail())
    assert not deaf.dump_stacks()
    assert willing.dump_stacks()
    wait_for(lambda: "most recent call first" in output.tail())
    assert deaf.poll() is None
    deaf.kill(), willing.kill()
    deaf.wait(LIMIT_S), willing.wait(LIMIT_S)


def test_the_child_dies_when_its_supervisor_is_killed(tmp_path: Path) -> None:
    code = f"""
import os, sys, time
from pathlib import Path
import workers.app
from workers.output import OutputLog
from workers.process import Child
output = OutputLog(Path({str(tmp_path)!r}) / "output.log")
child = Child([sys.executable, "-c", "import time; time.sleep(600)"], env={{}}, cwd=Path("/"), output=output)
print(child.id.pid, child.id.start_ticks, flush=True)
time.sleep(600)
"""
    supervisor = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert supervisor.stdout is not None
    pid, ticks = map(int, supervisor.stdout.readline().split())
    child = ProcessId(pid=pid, start_ticks=ticks)
    assert child.is_alive
    supervisor.kill()
    supervisor.wait()
    wait_for(lambda: not child.is_alive)


def test_the_fence_cuts_once_when_nobody_renews() -> None:
    cuts: list[float] = []
    fence = Fence(limit_s=0.5, cut=lambda: cuts.append(time.monotonic()))
    began_at = last_at = time.monotonic()
    longest_gap_s = 0.0  # on a machine that holds us up, the fence is right to cut
    while (now := time.monotonic()) - began_at < 1.0:
        fence.renewed()
        longest_gap_s, last_at = max(longest_gap_s, now - last_at), now
        time.sleep(0.05)
    assert not cuts or longest_gap_s > 0.4
    wait_for(lambda: cuts)
    time.sleep(0.2)
    fence.close()
    assert len(cuts) == 1
    assert fence.is_cut
