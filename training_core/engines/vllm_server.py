"""vLLM in servers apart from the run: processes of its own that the run starts, watches and ends, or servers that run already."""

import asyncio
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import httpx
import torch

import training_core
from training_core.distributed.parallel import deal
from training_core.engine_health import EngineHealth
from training_core.engines.descent import MARK, kill_marked
from training_core.engines.vllm import Ask, Drawn
from training_core.engines.vllm_health import Poll, read_metrics
from training_core.engines.vllm_model import NamedTensors, PrivateFolder, checkpoint_tensors, write_model, write_weights
from training_core.engines.vllm_setup import engine_arguments, sampling_dtype
from training_core.failures import EngineError, EngineLost
from training_core.policies.loaded import LoadedPolicy
from training_core.spec.engine import VllmEngine as VllmSpec

T = TypeVar("T")

_LOOK_EVERY_S = 0.25
_LOOKS_PER_QUESTION = 40
_FIRST_POLL_S, _LAST_POLL_S = 0.05, 0.8
_END_WITHIN_S = 10
_CONTROL_TIMEOUT_S = 600
_ALIVE_TIMEOUT_S = 30
_OF_TORCHRUN = ("TORCHELASTIC_", "RANK", "LOCAL_", "WORLD_SIZE", "GROUP_", "ROLE_", "MASTER_")
"""What torchrun tells its processes; vLLM would take it as meant for itself."""


class ServerInstance:
    """One model in one or several servers, all with the same weights."""

    def __init__(
        self,
        spec: VllmSpec,
        policies: Mapping[str, LoadedPolicy],
        *,
        device: torch.device,
        health: EngineHealth,
        share: float = 1.0,
        seed: int = 0,
    ) -> None:
        self._spec = spec
        self._health = health
        self._folder = PrivateFolder()
        self._handover = PrivateFolder(Path(spec.weights_dir)) if spec.weights_dir else self._folder
        self._http = _Http()
        self._servers: list[_Server] = []
        self._num_loads = 0
        self._adapters: set[str] = set()
        try:
            if spec.urls:
                self._servers.extend(_Server(url, health) for url in spec.urls)
            else:
                self._start(policies, device=device, share=share, seed=seed)
        except BaseException:
            self.close()
            raise

    def generate(self, asks: Sequence[Ask]) -> list[list[Drawn]]:
        """Completions of every ask, in order, dealt to the servers by their length."""
        servers = self._deal([ask.params["n"] * ask.params["max_tokens"] for ask in asks])
        return self._observed([_ask(server, ask) for server, ask in zip(servers, asks, strict=True)])

    def score(self, asks: Sequence[Ask]) -> list[list[float]]:
        """Log-probs of the tokens of every ask's prompt but the first, dealt to the servers by their length."""
        servers = self._deal([len(ask.prompt_ids) for ask in asks])
        return self._observed([_read(server, ask) for server, ask in zip(servers, asks, strict=True)])

    def _deal(self, costs: Sequence[int]) -> list["_Server"]:
        """The server for each piece of work, so that all have about as much to do."""
        hands = deal(costs, len(self._servers))
        server_of = {place: server for server, hand in zip(self._servers, hands, strict=True) for place in hand}
        return [server_of[place] for place in range(len(costs))]

    def load(self, tensors: NamedTensors, version: int) -> None:
        """Replace the weights and forget what was cached with the old ones."""
        self._num_loads += 1
        folder = self._handover.path / f"weights-{self._num_loads}"
        try:
            write_weights(tensors, folder)
            self._everywhere("/start_weight_update")
            self._everywhere("/update_weights", {"update_info": {"folder": str(folder)}})
            self._everywhere("/finish_weight_update", {"weight_version": str(version)})
        finally:
            for path in folder.glob("*"):
                path.unlink()
            folder.rmdir()
        for answer in self._everywhere("/reset_prefix_cache"):
            if not answer["success"]:
                raise EngineLost("A vLLM server kept the cache of old weights; was somebody else using it?")

    def add_adapter(self, name: str, folder: Path) -> None:
        """Make an adapter known."""
        self._adapters.add(name)
        self._everywhere("/v1/load_lora_adapter", {"lora_name": name, "lora_path": str(folder)})

    def remove_adapter(self, name: str) -> None:
        """Forget it."""
        self._adapters.discard(name)
        self._everywhere("/v1/unload_lora_adapter", {"lora_name": name})

    def sleep(self, level: int) -> None:
        """Give back GPU memory."""
        self._everywhere(f"/sleep?level={level}")

    def wake(self, part: str) -> None:
        """Take it back."""
        self._everywhere(f"/wake_up?tags={part}")

    def close(self) -> None:
        """End what was started here and wait until it is gone; leave the servers of others as they were, but for their weights."""
        if self._spec.urls:
            for name in list(self._adapters):
                with suppress(EngineLost, EngineError):
                    self.remove_adapter(name)
        self._http.close()
        for server in self._servers:
            server.end()
        self._servers.clear()
        self._handover.close()
        self._folder.close()

    def _start(self, policies: Mapping[str, LoadedPolicy], *, device: torch.device, share: float, seed: int) -> None:
        policy, untie = next(iter(policies.values())), device.type == "cpu"
        arguments = engine_arguments(self._spec, policies, device=device, share=share, seed=seed)
        write_model(policy, self._folder.path, untie=untie)
        if "load_format" not in arguments:
            tensors = checkpoint_tensors(policy.model, dtype=sampling_dtype(self._spec, policy), untie=untie)
            write_weights(tensors, self._folder.path / "weights")
            for path in (self._folder.path / "weights").iterdir():
                path.rename(self._folder.path / "model" / path.name)
        for number in range(self._spec.num_servers):
            process = _Process(self._folder.path, number, arguments, _devices(self._spec, device, number))
            self._servers.append(_Server(f"unix:{process.socket}", self._health, process))

    def wait_until_ready(self) -> None:
        """Return once every server answers; raises ``EngineError`` or ``EngineLost`` where one does not."""
        deadline = time.monotonic() + self._spec.start_timeout_s
        for server in self._servers:
            while not self._http.run(_is_up(server)):
                if server.process is not None and server.process.has_ended:
                    raise EngineError(
                        f"The vLLM server could not start with this model and these settings; it said last: "
                        f"{server.process.last_words()}"
                    )
                if time.monotonic() > deadline:
                    raise EngineLost(
                        f"The vLLM server at {server.url} did not answer within {self._spec.start_timeout_s} s. "
                        "Raise engine.start_timeout_s if the model is large."
                    )
                time.sleep(_LOOK_EVERY_S)
        self._run([_observe(server, at_work=False) for server in self._servers])

    def _everywhere(self, path: str, body: Mapping[str, Any] | None = None) -> list[Any]:
        return self._run([_post(server, path, body, timeout_s=_CONTROL_TIMEOUT_S) for server in self._servers])

    def _observed(self, work: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
        """Do the work and look meanwhile at what the servers are doing."""
        return self._http.run(_while_observed(self._servers, work))

    def _run(self, work: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
        return self._http.run(_while_alive(self._servers, work))


class _Server:
    """Where a server listens, and its process if it is ours."""

    def __init__(self, url: str, health: EngineHealth, process: "_Process | None" = None) -> None:
        self.url = url
        self.process = process
        self.poll = Poll(health)
        self._client: httpx.AsyncClient | None = None

    def client(self) -> httpx.AsyncClient:
        """Made in the loop that uses it. No environment proxies: the servers are near."""
        if self._client is None:
            limits = httpx.Limits(max_connections=None, max_keepalive_connections=64)
            socket = self.url.removeprefix("unix:") if self.url.startswith("unix:") else None
            self._client = httpx.AsyncClient(
                transport=httpx.AsyncHTTPTransport(uds=socket, limits=limits),
                base_url="http://vllm" if socket else self.url,
                timeout=_CONTROL_TIMEOUT_S,
            )
        return self._client

    def lost(self) -> EngineLost:
        if self.process is None:
            return EngineLost(f"The vLLM server at {self.url} no longer answers.")
        return EngineLost(f"A vLLM server of this run died; it said last: {self.process.last_words()}")

    def end(self) -> None:
        if self.process is not None:
            self.process.end()


class _Process:
    """A server started here. It and all it starts carry a mark, die with the run, and are killed together."""

    def __init__(self, folder: Path, number: int, arguments: Mapping[str, Any], devices: str | None) -> None:
        """Call from the main thread: the kernel watches the thread that forked, not the process."""
        self.socket = folder / f"server-{number}.sock"
        self._log = folder / f"server-{number}.log"
        self._mark = f"{os.getpid()}/{secrets.token_hex(8)}"
        scratch = folder / f"server-{number}"
        scratch.mkdir()
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(_OF_TORCHRUN)},
            MARK: self._mark,
            "SPT_NOENV": "1",  # vLLM names its processes, which would otherwise overwrite the mark where others look for it
            "HF_HUB_OFFLINE": "1",
            "VLLM_RPC_BASE_PATH": str(scratch),
            "PYTHONPATH": os.pathsep.join(
                [str(Path(training_core.__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
            ),
        }
        if devices is not None:
            environment["CUDA_VISIBLE_DEVICES"] = devices
        argv = [sys.executable, "-m", "training_core.engines.vllm_serve", str(folder / "model"), "--uds"]
        argv += [str(self.socket), "--tokenizer", str(folder / "tokenizer"), *_flags(arguments)]
        with self._log.open("wb") as log:
            self._popen = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, env=environment, cwd=scratch
            )

    @property
    def has_ended(self) -> bool:
        return self._popen.poll() is not None

    def last_words(self) -> str:
        """The last thing it said that explains something."""
        text = self._log.read_text(encoding="utf-8", errors="replace") if self._log.exists() else ""
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        errors = [line for line in lines if "Error: " in line and "See root cause above" not in line]
        return (errors or lines or ["nothing"])[-1][-300:]

    def end(self) -> None:
        if not self.has_ended:
            self._popen.send_signal(signal.SIGTERM)
            try:
                self._popen.wait(_END_WITHIN_S)
            except subprocess.TimeoutExpired:
                pass
        kill_marked(self._mark)
        self._popen.wait()


class _Http:
    """An event loop in a thread of its own, so that many requests are under way while the caller waits."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="vllm-http", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def close(self) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()


async def _while_observed(servers: Sequence[_Server], work: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    observing = asyncio.ensure_future(_keep_observing(servers))
    try:
        found = await _while_alive(servers, work)
    finally:
        observing.cancel()
        await asyncio.gather(observing, return_exceptions=True)
    await asyncio.gather(*(_observe(server, at_work=False) for server in servers))
    return found


async def _keep_observing(servers: Sequence[_Server]) -> None:
    """Look at every server, often at first, because a short batch is soon over."""
    pause_s = _FIRST_POLL_S
    while True:
        await asyncio.sleep(pause_s)
        await asyncio.gather(*(_observe(server, at_work=True) for server in servers))
        pause_s = min(2 * pause_s, _LAST_POLL_S)


async def _observe(server: _Server, *, at_work: bool) -> None:
    """Enter what a server tells of itself; one that does not answer is for others to notice."""
    with suppress(httpx.HTTPError):
        answer = await server.client().get("/metrics", timeout=_ALIVE_TIMEOUT_S)
        server.poll.enter(read_metrics(answer.text), at_work=at_work)


async def _while_alive(servers: Sequence[_Server], work: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """Results of all the work, or ``EngineLost`` as soon as one of the servers is gone."""
    gathered = asyncio.ensure_future(asyncio.gather(*work))
    watching = asyncio.ensure_future(_first_death(servers))
    either: set[asyncio.Future[Any]] = {gathered, watching}
    await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    if not gathered.done():
        gathered.cancel()
        await asyncio.gather(gathered, return_exceptions=True)
        raise watching.result().lost()
    watching.cancel()
    try:
        return gathered.result()
    except httpx.TransportError as error:
        gone = await _gone(servers)
        raise gone.lost() from error


async def _first_death(servers: Sequence[_Server]) -> _Server:
    while True:
        for _ in range(_LOOKS_PER_QUESTION):
            for server in servers:
                if server.process is not None and server.process.has_ended:
                    return server
            await asyncio.sleep(_LOOK_EVERY_S)
        for server in servers:
            if not await _is_up(server):
                return server


async def _gone(servers: Sequence[_Server]) -> _Server:
    """The server behind a broken connection."""
    for server in servers:
        if (server.process is not None and server.process.has_ended) or not await _is_up(server):
            return server
    return servers[0]


async def _is_up(server: _Server) -> bool:
    try:
        answer = await server.client().get("/health", timeout=_ALIVE_TIMEOUT_S)
    except httpx.TransportError:
        return False
    return answer.status_code == httpx.codes.OK


async def _ask(server: _Server, ask: Ask) -> list[Drawn]:
    answer = await _generate(server, ask)
    return [_drawn(choice) for choice in sorted(answer["choices"], key=lambda choice: int(choice["index"]))]


async def _read(server: _Server, ask: Ask) -> list[float]:
    answer = await _generate(server, ask)
    found = zip(ask.prompt_ids[1:], answer["prompt_logprobs"][1:], strict=True)
    return [float(logprobs[str(token)]["logprob"]) for token, logprobs in found]


async def _generate(server: _Server, ask: Ask) -> Any:
    body = {"model": ask.adapter, "token_ids": list(ask.prompt_ids), "sampling_params": ask.params}
    return await _post(server, "/inference/v1/generate", body, timeout_s=None)


async def _post(server: _Server, path: str, body: Mapping[str, Any] | None, *, timeout_s: float | None) -> Any:
    answer = await server.client().post(path, json=body, timeout=timeout_s)
    if answer.is_error:
        kind = EngineError if answer.is_client_error else EngineLost
        raise kind(f"The vLLM server at {server.url} refused {path.partition('?')[0]}: {answer.text[:300]}")
    return answer.json() if answer.headers.get("content-type", "").startswith("application/json") else answer.text


def _drawn(choice: Mapping[str, Any]) -> Drawn:
    return Drawn(
        token_ids=tuple(choice["token_ids"]),
        logprobs=tuple(each["logprob"] for each in choice["logprobs"]["content"]),
        stopped=choice["finish_reason"] == "stop",
    )


def _flags(arguments: Mapping[str, Any]) -> list[str]:
    """``{"max_num_seqs": 64, "enforce_eager": True}`` as ``["--max-num-seqs=64", "--enforce-eager"]``."""
    flags = []
    for name, value in arguments.items():
        dashed = name.replace("_", "-")
        flags.append(f"--{dashed}={value}" if not isinstance(value, bool) else f"--{'' if value else 'no-'}{dashed}")
    return flags


def _devices(spec: VllmSpec, device: torch.device, number: int) -> str | None:
    """GPUs of a server: those behind the learner's where there are any, or else the learner's own; of several learners each
    keeps to its own."""
    if device.type != "cuda":
        return None
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    visible = named.split(",") if named else [str(index) for index in range(torch.cuda.device_count())]
    own = device.index or 0
    first_choice = own if torch.distributed.is_initialized() and torch.distributed.get_world_size() > 1 else own + 1
    order = visible[first_choice:] + visible[:first_choice]
    first = number * spec.tensor_parallel % max(1, len(order))
    return ",".join((order * 2)[first : first + spec.tensor_parallel])
