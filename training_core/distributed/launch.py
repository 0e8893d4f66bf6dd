"""Starts the processes of a run under torchrun, on this host or on several, and makes one ending of theirs.

Torch-free until ``launch`` is called. The launcher is torchrun's agent: it starts one process per GPU (or as many CPU processes as the
spec asks for), ends the others when one fails, and is never restarted from inside: a run goes on from its checkpoint instead.

SIGTERM and Ctrl-C  become the command ``stop`` in the run's folder, which rank 0 reads and tells the others
SIGUSR1             goes on to every rank, which prints the stacks of its threads
SIGKILL             ends the ranks as well: each asked the kernel to die with its launcher
"""

import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from training_core.distributed.lifeline import LAUNCHER_PID, LOST, RankFailure, forget, tell, told
from training_core.distributed.network import interface_towards
from training_core.run_folder import Control, EventLog, read_events
from training_core.spec.events import ENDING_PHASES, EventKind, RunPhase, StateData
from training_core.spec.io import FieldError, SpecError
from training_core.spec.run import ResourceSpec

RENDEZVOUS_TIMEOUT_S = 120
"""How long the hosts of a run wait for one another."""
_SHUTDOWN_S = 10
"""How long ranks that lost a peer have to end by themselves."""
_CLOCK_ROUNDING_S = 0.001
"""Events carry their time in milliseconds."""
_LAST_WORDS_S = 3.0
"""How long the first host waits for what another host has to say about a failure."""


@dataclass(frozen=True, kw_only=True)
class Gang:
    """This host's place in a run: ``Gang(hosts=2, per_host=8, host_rank=1, rendezvous="10.0.0.4:29400")``."""

    hosts: int
    per_host: int
    host_rank: int
    rendezvous: str | None
    """``HOST:PORT`` on the host of rank 0; None where there is only one host."""

    @property
    def size(self) -> int:
        return self.hosts * self.per_host


def gang_of(resources: ResourceSpec, *, host_rank: int, rendezvous: str | None) -> Gang:
    """This host's place; raises ``SpecError`` where the spec and the arguments do not belong together."""
    hosts = resources.hosts
    if hosts > 1 and rendezvous is None:
        raise _unusable(
            f"the spec asks for {hosts}: start the run on each of them with --host-rank 0 to {hosts - 1} and the same "
            "--rendezvous HOST:PORT, an address of the host with rank 0 and a free port there"
        )
    if hosts == 1 and rendezvous is not None:
        raise _unusable("it is 1, so there is nobody to meet; leave out --rendezvous or ask for more hosts")
    if not 0 <= host_rank < hosts:
        raise _unusable(f"it is {hosts} and hosts count from 0, so --host-rank cannot be {host_rank}")
    if rendezvous is not None and not _is_endpoint(rendezvous):
        raise _unusable(f"--rendezvous is {rendezvous!r}, but HOST:PORT is needed, for example 10.0.0.4:29400")
    return Gang(
        hosts=resources.hosts, per_host=resources.processes_per_host, host_rank=host_rank, rendezvous=rendezvous
    )


def launch(gang: Gang, arguments: Sequence[str], *, folder: Path, threads: int) -> RankFailure | None:
    """Run ``python -m training_core ARGUMENTS`` in every process of this host until all have ended.

    Afterwards the last event of the run says how it ended. The result is what this launcher had to say itself, because the
    processes could not: that they lost one another, or what befell one of them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if gang.host_rank == 0:
        forget(folder)
    started_at = time.time()
    with tempfile.TemporaryDirectory(prefix="kumite-launch-") as scratch, _signals(folder):
        os.environ.update(_environment(gang, threads=threads))
        problem = _run_agent(gang, ["-m", "training_core", *arguments], folder=folder, scratch=Path(scratch))
    if gang.host_rank > 0:
        return problem
    found = None if problem is None else conclude(folder, gang, problem, since=started_at)
    Control(folder).clear()
    forget(folder)
    return found


def last_state(folder: Path) -> dict[str, Any] | None:
    """Data of the newest state event, or None where there is none."""
    states = [event["data"] for event in read_events(folder) if event["kind"] == EventKind.STATE]
    return states[-1] if states else None


# The agent


def _run_agent(gang: Gang, arguments: list[str], *, folder: Path, scratch: Path) -> RankFailure | None:
    """Start the ranks and wait for them; what went wrong, if anything did."""
    import torch.distributed as dist
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.elastic.rendezvous import RendezvousError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    config = LaunchConfig(
        min_nodes=gang.hosts,
        max_nodes=gang.hosts,
        nproc_per_node=gang.per_host,
        run_id=folder.resolve().name or "run",
        max_restarts=0,
        logs_specs=DefaultLogsSpecs(log_dir=str(scratch)),
        signals_to_handle="SIGHUP,SIGQUIT",  # the others have a meaning of their own here
        shutdown_timeout=_SHUTDOWN_S,
        **_meeting(gang),
    )
    try:
        elastic_launch(config, sys.executable)(*arguments)
    except ChildFailedError as error:
        for rank, failure in error.failures.items():
            if failure.exitcode < 0:
                tell(folder, _killed(rank, gang, -failure.exitcode))
        return RankFailure(rank=-1, kind=LOST, text="The processes of the run lost one another.")
    except (RendezvousError, dist.DistError) as error:
        text = f"The hosts of the run did not meet at {gang.rendezvous} within {RENDEZVOUS_TIMEOUT_S} s: {_first_line(error)}"
        return RankFailure(rank=-1, kind=LOST, text=text)
    return None


def _meeting(gang: Gang) -> dict[str, Any]:
    timeout = {"timeout": RENDEZVOUS_TIMEOUT_S}
    if gang.rendezvous is None:
        return {
            "rdzv_backend": "c10d",
            "rdzv_endpoint": "localhost:0",
            "rdzv_configs": timeout,
            "local_addr": "localhost",
        }
    # A static meeting keeps the hosts in the order they were given: host 0 has rank 0, which writes the events.
    return {
        "rdzv_backend": "static",
        "rdzv_endpoint": gang.rendezvous,
        "rdzv_configs": {**timeout, "rank": gang.host_rank},
    }


def _environment(gang: Gang, *, threads: int) -> dict[str, str]:
    """What ranks inherit beyond the launcher's environment. The network interface is the one that leads to the meeting point,
    the loopback for one host; a person's own choice comes first."""
    found = {LAUNCHER_PID: str(os.getpid())}
    interface = "lo" if gang.rendezvous is None else interface_towards(gang.rendezvous)
    wishes = {"OMP_NUM_THREADS": str(threads)}
    if interface is not None:
        wishes |= {"GLOO_SOCKET_IFNAME": interface, "NCCL_SOCKET_IFNAME": interface}
    return found | {name: value for name, value in wishes.items() if name not in os.environ}


# Signals


class _StopRequests:
    """SIGTERM and Ctrl-C ask the run to stop; a second Ctrl-C breaks off at once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._asked = False

    def __call__(self, number: int, _frame: Any) -> None:
        if self._asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        self._asked = True
        _ask_to_stop(self._folder, "Stopped with Ctrl-C." if number == signal.SIGINT else "Stopped by the system.")


@contextmanager
def _signals(folder: Path) -> Iterator[None]:
    stop = _StopRequests(folder)
    handlers: dict[signal.Signals, Callable[[int, Any], None]] = {
        signal.SIGTERM: stop,
        signal.SIGINT: stop,
        signal.SIGUSR1: lambda number, _frame: _pass_on(number),
    }
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _ask_to_stop(folder: Path, reason: str) -> None:
    line = json.dumps({"id": 0, "command": "stop", "reason": reason})
    try:
        with (folder / "control.jsonl").open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")
    except OSError:  # a full disk must not keep a run from stopping
        _pass_on(signal.SIGTERM)


def _pass_on(number: int) -> None:
    for pid in _children():
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass


def _children() -> Iterator[int]:
    own = str(os.getpid())
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
            except OSError:
                continue
            if fields[1] == own:
                yield int(entry.name)


# The ending


def conclude(folder: Path, gang: Gang, problem: RankFailure, *, since: float) -> RankFailure | None:
    """Write the last event, unless rank 0 has."""
    if _has_ended(folder, since=since):
        return None
    failure = _root_of(folder, problem)
    if failure.kind != LOST:
        failure = replace(failure, text=f"In process {failure.rank} of {gang.size}, counted from 0: {failure.text}")
    data = StateData(phase=RunPhase.FAILED, text=failure.text, failure=failure.kind, traceback=failure.traceback)
    _append_state(folder, data)
    return failure


def _root_of(folder: Path, problem: RankFailure) -> RankFailure:
    """The failure that made the others: an error of its own, else a death, else the fact that they lost one another."""
    deadline = time.monotonic() + _LAST_WORDS_S
    while True:
        failures = list(told(folder))
        own = [failure for failure in failures if failure.kind != LOST]
        if failures or time.monotonic() > deadline:
            return [*own, *failures, problem][0]
        time.sleep(0.1)


def _killed(rank: int, gang: Gang, number: int) -> RankFailure:
    name = signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"
    why = ", most often because memory ran out" if number == signal.SIGKILL else ""
    text = f"The system killed process {rank} of {gang.size}, counted from 0 ({name}){why}; the others cannot go on without it."
    return RankFailure(rank=rank, kind=LOST, text=text)


def _has_ended(folder: Path, *, since: float) -> bool:
    """Whether the last event is an ending written after ``since`` (numbers tell nothing: a resumed run counts from further back)."""
    last = None
    for event in read_events(folder):
        last = event
    return (
        last is not None
        and last["kind"] == EventKind.STATE
        and last["data"]["phase"] in ENDING_PHASES
        and last["t"] >= since - _CLOCK_ROUNDING_S
    )


def _append_state(folder: Path, data: StateData) -> None:
    """After the last whole line: rank 0 may have died in the middle of one."""
    seq, step = 0, 0
    for event in read_events(folder):
        seq, step = event["seq"], event["step"]
    log = EventLog(folder)
    content = log.path.read_bytes()
    log.cut_back(seq=seq, offset=content.rfind(b"\n") + 1)
    log.write(EventKind.STATE, step, data)
    log.close()


def _unusable(message: str) -> SpecError:
    return SpecError([FieldError(path="resources.hosts", message=message)])


def _is_endpoint(text: str) -> bool:
    host, _, port = text.rpartition(":")
    return bool(host) and port.isdigit() and 0 < int(port) < 65_536


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:300] if lines else type(error).__name__
