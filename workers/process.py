"""The training process: started so that it cannot outlive its supervisor, and killed exactly."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from django.conf import settings

from webapp.fleet.folders import models_folder
from webapp.fleet.processes import MARK, PROC, ProcessId, identify, lease_mark
from webapp.fleet.services import Claim
from workers.output import OutputLog

_PR_SET_PDEATHSIG = 1
_PASSED_ON = frozenset({"PATH", "HOME", "LANG", "LANGUAGE", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "XDG_CACHE_HOME"})
_PASSED_ON |= {"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"}
_PASSED_ON |= {"KUMITE_METHODS", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE"}
_PASSED_ON_PREFIXES = ("LC_", "HF_", "CUDA_", "NVIDIA_", "NCCL_", "GLOO_", "TORCH_", "PYTORCH_")
"""Everything else stays behind: the settings of the web, the database and Redis are no business of a run."""


class Child:
    """One training process in a session of its own."""

    def __init__(
        self, argv: Sequence[str], *, env: Mapping[str, str], cwd: Path, output: OutputLog, listens: bool = False
    ) -> None:
        """Start it. Call from the main thread: the kernel watches the thread that forked, not the process.

        A child that ``listens`` reads what ``tell`` writes.
        """
        self._popen = subprocess.Popen(
            list(argv),
            stdin=subprocess.PIPE if listens else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=dict(env),
            cwd=cwd,
            start_new_session=True,
            preexec_fn=_die_with(os.getpid()),  # noqa: PLW1509
        )
        assert self._popen.stdout is not None
        output.drain(self._popen.stdout)
        identity = identify(self._popen.pid)  # there even if it has ended: nobody has waited for it yet
        assert identity is not None
        self.id: ProcessId = identity
        self._be_first_when_memory_ends()

    def poll(self) -> int | None:
        """The exit status, negative for a signal, or None while it runs."""
        return self._popen.poll()

    def wait(self, timeout_s: float) -> int | None:
        try:
            return self._popen.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None

    def tell(self, line: str) -> bool:
        """Write a line to its standard input; False if it no longer reads."""
        assert self._popen.stdin is not None
        try:
            self._popen.stdin.write(f"{line}\n".encode())
            self._popen.stdin.flush()
        except OSError:
            return False
        return True

    def terminate(self) -> None:
        if self.poll() is None:
            self._popen.terminate()

    def kill(self) -> None:
        """End the process and its group at once."""
        if self.poll() is None:
            try:
                os.killpg(self._popen.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass

    def dump_stacks(self) -> bool:
        """Ask for the stacks of all threads in the output; False if the process would die of the question."""
        if not _catches(self._popen.pid, signal.SIGUSR1):
            return False
        self._popen.send_signal(signal.SIGUSR1)
        time.sleep(0.5)
        return True

    def give_way(self) -> None:
        """Let everything else on the machine go first."""
        try:
            os.setpriority(os.PRIO_PROCESS, self._popen.pid, 5)
        except OSError:  # it has ended already
            pass

    def cpu_s(self) -> float:
        """CPU time used so far by the process, by what it started (torchrun's ranks, servers) and by what of that has ended."""
        ticks = sum(sum(int(field) for field in fields[11:15]) for fields in self._tree().values())
        return ticks / os.sysconf("SC_CLK_TCK")

    def bytes_written(self) -> int:
        """What the process and those it started wrote so far, to files and pipes."""
        return sum(_bytes_written(pid) for pid in self._tree())

    def _tree(self) -> dict[int, list[str]]:
        """Fields of /proc/<pid>/stat, from the state on, of the process and all that descend from it."""
        every = {int(entry.name): _stat(entry) for entry in PROC.iterdir() if entry.name.isdigit()}
        children: dict[int, list[int]] = defaultdict(list)
        for pid, fields in every.items():
            if fields:
                children[int(fields[1])].append(pid)
        found: dict[int, list[str]] = {}
        left = [self._popen.pid]
        while left:
            pid = left.pop()
            if own := every.get(pid):
                found[pid] = own
            left += children[pid]
        return found

    def _be_first_when_memory_ends(self) -> None:
        try:
            (PROC / str(self._popen.pid) / "oom_score_adj").write_text("500", encoding="ascii")
        except OSError:  # it has ended, or the container forbids it
            pass


def training_argv(folder: Path, claim: Claim) -> list[str]:
    argv = [sys.executable, "-m", "training_core", "run", str(folder / "spec.yaml"), "--dir", str(folder)]
    if claim.attempt > 1:
        argv.append("--resume")
    if claim.num_hosts > 1:
        argv += ["--host-rank", str(claim.host_rank), "--rendezvous", claim.rendezvous]
    return argv


def training_environment(claim: Claim) -> dict[str, str]:
    """What a run sees of the environment: the machine, its GPUs and its thread count, no secrets of the installation."""
    mark = lease_mark(claim.run_id, claim.token, claim.host_rank)
    return environment(mark=mark, gpus=claim.gpu_uuids, threads=claim.spec.get("resources", {}).get("threads", 1))


def environment(*, mark: str, gpus: Sequence[str], threads: int) -> dict[str, str]:
    """The same for any child, marked so that its descendants are found."""
    kept = {
        name: value for name, value in os.environ.items() if name in _PASSED_ON or name.startswith(_PASSED_ON_PREFIXES)
    }
    threads_text = str(threads)
    return {
        **kept,
        "CUDA_VISIBLE_DEVICES": ",".join(gpus),
        "KUMITE_MODELS_DIR": str(models_folder()),
        MARK: mark,
        "OMP_NUM_THREADS": threads_text,
        "MKL_NUM_THREADS": threads_text,
        "PYTHONPATH": str(settings.BASE_DIR),
        "PYTHONUNBUFFERED": "1",
        "PYTHONHASHSEED": "0",
        "TOKENIZERS_PARALLELISM": "false",
    }


def _die_with(parent_pid: int) -> Callable[[], None]:
    libc = ctypes.CDLL(None)  # loaded before the fork, where it would not be safe

    def in_child() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent_pid:  # the supervisor died before the request was in place
            os._exit(1)

    return in_child


def _stat(process: Path) -> list[str]:
    """Nothing for a process that has ended meanwhile."""
    try:
        return (process / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return []


def _bytes_written(pid: int) -> int:
    try:
        text = (PROC / str(pid) / "io").read_text(encoding="ascii")
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in text.splitlines() if line.startswith("wchar:")), 0)


def _catches(pid: int, signal_number: signal.Signals) -> bool:
    try:
        status = (PROC / str(pid) / "status").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    mask = next((line.split()[1] for line in status.splitlines() if line.startswith("SigCgt:")), "0")
    return bool(int(mask, 16) >> (signal_number - 1) & 1)
