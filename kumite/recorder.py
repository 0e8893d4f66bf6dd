"""One run that is told as it goes: a queue, a file that survives, and a thread that sends from the file."""

import fcntl
import json
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any, Self
from uuid import uuid4

import httpx

logger = logging.getLogger("kumite")

FLUSH_S = 0.5
BATCH_BYTES = 400_000
FIRST_WAIT_S, LAST_WAIT_S = 1.0, 60.0
BEAT_S = 60.0
"""A program that has nothing to tell sends a sign of life this often."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """A server and who speaks to it: ``Target(url="http://127.0.0.1:8000", token="kmt_...")``."""

    url: str
    token: str

    @classmethod
    def find(cls, *, url: str = "", token: str = "") -> Self:
        """What was given, else the environment, else what ``kumite login`` stored."""
        base = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
        path = base / "kumite" / "config.json"
        stored = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        url = url or os.environ.get("KUMITE_URL") or stored.get("url") or "http://127.0.0.1:8000"
        token = token or os.environ.get("KUMITE_TOKEN") or stored.get("token") or ""
        if not token:
            raise RuntimeError("No token: run kumite login, or set KUMITE_URL and KUMITE_TOKEN.")
        return cls(url=url.rstrip("/"), token=token)


def spool_folder() -> Path:
    """Where runs wait that have not been sent."""
    base = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(os.environ.get("KUMITE_SPOOL") or Path(base) / "kumite" / "spool")


class Refused(Exception):
    """The server understood and said no; sending the same again will not help."""


class Sender:
    """Sends one spool file: its first line begins the run, each further one is a row, ``{"end": ...}`` ends it.

    Whatever was sent before may be sent again; the server knows rows by their number, and the run by the file's name.
    """

    def __init__(self, target: Target, path: Path) -> None:
        self.path = path
        self.is_done = False
        self._http = httpx.Client(
            base_url=f"{target.url}/api/v1/", headers={"Authorization": f"Bearer {target.token}"}, timeout=15
        )
        self._run = ""
        self._offset = self._seq = 0

    def send(self) -> bool:
        """Send the next rows; whether there may be more. Raises ``httpx.TransportError`` or ``Refused``."""
        with self.path.open("rb") as file:
            if not self._run:
                begin = json.loads(file.readline())
                headers = {"Idempotency-Key": self.path.stem}
                self._run = self._post("external-runs/", begin, headers)["id"]
                self._offset = file.tell()
            file.seek(self._offset)
            lines = [line for line in file.readlines(BATCH_BYTES) if line.endswith(b"\n")]
        rows = [json.loads(line) for line in lines]
        end = rows.pop() if rows and "end" in rows[-1] else None
        if rows:
            self._post(f"external-runs/{self._run}/values/", {"seq": self._seq + 1, "rows": rows})
        if end:
            self._post(f"external-runs/{self._run}/finish/", {"failed": end["end"] == "failed"})
            self.is_done = True
        self._seq += len(rows)
        self._offset += sum(map(len, lines))
        return bool(lines) and not self.is_done

    def beat(self) -> None:
        """A sign of life; raises ``httpx.TransportError`` or ``Refused``."""
        if self._run:
            self._post(f"external-runs/{self._run}/values/", {"seq": self._seq + 1, "rows": []})

    def send_patiently(self) -> bool:
        """The same, trying again for a minute where the server is busy."""
        for wait_s in (1, 2, 4, 8, 15, 30):
            try:
                return self.send()
            except httpx.TransportError:
                time.sleep(wait_s)
        return self.send()

    def close(self) -> None:
        self._http.close()

    def _post(self, path: str, body: Any, headers: Mapping[str, str] | None = None) -> dict[str, Any]:
        answer = self._http.post(path, json=body, headers=dict(headers or {}))
        if answer.status_code == 429 or answer.status_code >= 500:
            raise httpx.TransportError(f"the server answered {answer.status_code}")
        if not answer.is_success:
            raise Refused(f"{path} was refused with {answer.status_code}: {answer.text[:300]}")
        found: dict[str, Any] = answer.json()
        return found


class Recorder:
    """A run of this program. ``log`` costs microseconds; everything else happens in a thread."""

    def __init__(self, target: Target, begin: Mapping[str, Any], *, folder: str | Path | None = None) -> None:
        spool = Path(folder) if folder else spool_folder()
        spool.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.path = spool / f"{uuid4().hex}.jsonl"
        self._file: IO[str] = self.path.open("w", encoding="utf-8")
        fcntl.flock(self._file, fcntl.LOCK_EX)  # whoever sends leftovers sees that this one is at work
        self._write(begin)
        self._queue: deque[tuple[int, float, dict[str, Any]]] = deque()
        self._step = -1
        self._outcome = ""
        self._sender = Sender(target, self.path)
        self._news, self._ended = threading.Event(), threading.Event()
        self._deadline = float("inf")
        self._thread = threading.Thread(target=self._work, name="kumite", daemon=True)
        self._thread.start()

    def log(self, values: Mapping[str, Any], step: int | None = None) -> None:
        self._step = self._step + 1 if step is None else int(step)
        self._queue.append((self._step, time.time(), dict(values)))
        if not self._news.is_set():
            self._news.set()

    def finish(self, *, failed: bool = False, timeout_s: float = 30.0) -> None:
        if self._ended.is_set():
            return
        self._outcome, self._deadline = "failed" if failed else "succeeded", time.monotonic() + timeout_s
        self._ended.set()
        self._news.set()
        self._thread.join(timeout_s + 20)
        self._file.close()
        if self._sender.is_done:
            self.path.unlink(missing_ok=True)
        else:
            logger.warning("kumite: not everything was sent; it waits in %s for: kumite sync", self.path)
        self._sender.close()

    def _work(self) -> None:
        wait_s, due, refused, heard = FIRST_WAIT_S, 0.0, False, time.monotonic()
        while True:
            if not self._ended.is_set():
                self._news.wait(FLUSH_S)
            self._news.clear()  # before the queue is emptied: what comes meanwhile sets it again
            is_last = self._ended.is_set()
            self._spool(is_last=is_last)
            while not refused and time.monotonic() >= due:
                try:
                    if not self._sender.send():
                        if time.monotonic() - heard >= BEAT_S:
                            self._sender.beat()
                            heard = time.monotonic()
                        break
                    wait_s, heard = FIRST_WAIT_S, time.monotonic()
                except httpx.TransportError as error:
                    logger.info("kumite: the server cannot be reached (%s); values wait in %s", error, self.path)
                    due, wait_s = time.monotonic() + wait_s, min(2 * wait_s, LAST_WAIT_S)
                except Refused as error:
                    logger.error("kumite: %s", error)
                    refused = True
            if is_last and (self._sender.is_done or refused or time.monotonic() >= self._deadline):
                return
            if is_last:
                time.sleep(min(FLUSH_S, max(0.0, due - time.monotonic())))
            else:
                self._ended.wait(FLUSH_S)  # the first value goes at once, those right behind it together

    def _spool(self, *, is_last: bool) -> None:
        while self._queue:
            step, t, values = self._queue.popleft()
            self._write({"step": max(step, 0), "t": t, "values": dict(_numbers(values))})
        if is_last and self._outcome:
            self._write({"end": self._outcome})
            self._outcome = ""
        self._file.flush()

    def _write(self, line: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(line, default=str) + "\n")


def _numbers(values: Mapping[str, Any]) -> Iterator[tuple[str, float | None]]:
    """What is a number, or becomes one, as a tensor of one element does; other things are left out."""
    for name, value in values.items():
        try:
            number = float(value)
        except (TypeError, ValueError, RuntimeError):
            continue
        yield str(name), number if number - number == 0 else None  # JSON has no NaN and no infinity


def send_rows(
    target: Target, rows: Iterable[Mapping[str, Any]], *, project: str, name: str, workspace: str = ""
) -> None:
    """Send a whole run at once and end it; what a file of another tool holds."""
    with TemporaryDirectory(prefix="kumite-") as folder:
        path = Path(folder) / f"{uuid4().hex}.jsonl"
        begin = {"project": project, "name": name, "workspace": workspace, "config": {}}
        path.write_text(
            "".join(json.dumps(line) + "\n" for line in (begin, *rows, {"end": "succeeded"})), encoding="utf-8"
        )
        sender = Sender(target, path)
        while sender.send_patiently():
            pass
        sender.close()


def sync(target: Target, folder: Path | None = None) -> list[tuple[Path, str]]:
    """Send what earlier programs left behind; gives each file and what became of it."""
    found = []
    for path in sorted((folder or spool_folder()).glob("*.jsonl")):
        with path.open("r+", encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                found.append((path, "is still being written"))
                continue
            sender = Sender(target, path)
            try:
                while sender.send():
                    pass
            except (httpx.TransportError, Refused, ValueError) as error:
                found.append((path, f"stays: {error}"))
                continue
            finally:
                sender.close()
        path.unlink()
        found.append((path, "sent"))
    return found
