"""What every client is asked to do, whatever it tells its numbers to. Standard library only: it runs in the peers' environments.

Orders come as JSON lines on standard input, each is answered by one line on standard output:

    {"do": "run", "project": "p", "name": "r", "steps": 1000, "metrics": 10, "limit_s": 20, "bulk": false}
    {"do": "begin", "project": "p", "name": "r"}    then any number of    {"do": "one", "step": 7}    then    {"do": "end"}

A run that is not through after ``limit_s`` seconds ends early and says how far it came. CPU seconds are those of the process with all its
threads and children, from the first call until everything is handed over.
"""

import json
import math
import os
import resource
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

ANSWERS = os.dup(1)
"""The process's real standard output; what libraries print goes to standard error."""
CHUNK = 1000

Values = Mapping[str, float]


class Client:
    """How numbers are told to one tracker."""

    def begin(self, project: str, name: str) -> str:
        """Gives what the tracker calls the run."""
        raise NotImplementedError

    def log(self, step: int, values: Values) -> None:
        """The call that stands in a training loop."""
        raise NotImplementedError

    def log_many(self, first: int, rows: Sequence[Values]) -> None:
        """The fastest documented way for many steps at once; the same call where there is no other."""
        for step, values in enumerate(rows, start=first):
            self.log(step, values)

    def end(self) -> None:
        """Return once everything is handed over."""
        raise NotImplementedError


def row(step: int, num_metrics: int, phase: float = 0.0) -> Values:
    return {name(place): math.sin(step / 97 + place + phase) + step / 1000 for place in range(num_metrics)}


def name(place: int) -> str:
    """Four charts to a group, as a method's metrics come."""
    return f"group_{place // 4}/metric_{place % 4}"


def cpu_s() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def run(client: Client, order: Mapping[str, Any]) -> dict[str, Any]:
    """A whole run, told as fast as the client takes it."""
    phase = sum(map(ord, order["name"])) % 100 / 10
    rows = [row(step, order["metrics"], phase) for step in range(order["steps"])]
    client.begin(order["project"], order["name"])
    began_cpu, began = cpu_s(), time.perf_counter()
    calls_s: list[float] = []
    step = 0
    while step < len(rows) and time.perf_counter() - began < order["limit_s"]:
        if order["bulk"]:
            client.log_many(step, rows[step : step + CHUNK])
            step += CHUNK
            continue
        call = time.perf_counter()
        client.log(step, rows[step])
        calls_s.append(time.perf_counter() - call)
        step += 1
    client.end()
    calls_s.sort()
    found = {"steps": min(step, len(rows)), "cpu_s": cpu_s() - began_cpu, "wall_s": time.perf_counter() - began}
    if calls_s:
        found |= {
            "call_p50_us": 1e6 * calls_s[len(calls_s) // 2],
            "call_p99_us": 1e6 * calls_s[len(calls_s) * 99 // 100],
        }
    return found


def carry_out(client: Client, order: Mapping[str, Any]) -> dict[str, Any]:
    match order["do"]:
        case "run":
            return run(client, order)
        case "begin":
            return {"id": client.begin(order["project"], order["name"])}
        case "one":
            values, t = row(order["step"], order["metrics"]), time.time()
            client.log(order["step"], values)
            return {"t": t}
        case "end":
            client.end()
    return {}


def serve(client: Client) -> None:
    os.dup2(2, 1)
    _answer({"ready": True})
    for line in sys.stdin:
        _answer(carry_out(client, json.loads(line)))
    os._exit(0)


def _answer(found: Mapping[str, Any]) -> None:
    os.write(ANSWERS, (json.dumps(found) + "\n").encode())
