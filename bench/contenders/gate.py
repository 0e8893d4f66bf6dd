"""How a contender's process and the bench speak: "go" on standard input, one JSON line per step on standard output."""

import json
import os
import sys
import time
from typing import Any

from bench.machine import packages

ANSWERS = os.dup(1)
"""The process's real standard output; libraries that print are sent to standard error instead."""
os.dup2(2, 1)


class Gate:
    """Stands between steps: reports what the last one cost and waits until the next one may begin.

    Example of a line: ``{"cpu_s": 3.1, "wall_s": 3.2, "tokens": 16384, "completions": 256}``.
    """

    def __init__(self) -> None:
        self._begun: tuple[float, float] | None = None

    def wait(self, **facts: Any) -> None:
        """Report the step that ends here, if one does, and let the next begin. Leaves the process when told to stop."""
        if self._begun is None:
            answer(ready=True, packages=packages(), **facts)
        else:
            cpu_s, wall_s = self._begun
            answer(cpu_s=time.process_time() - cpu_s, wall_s=time.perf_counter() - wall_s, **facts)
        if sys.stdin.readline().strip() != "go":
            sys.stderr.flush()
            os._exit(0)  # trainers and engines that would tidy up first have nothing worth keeping
        self._begun = (time.process_time(), time.perf_counter())


def answer(**values: Any) -> None:
    os.write(ANSWERS, (json.dumps(values) + "\n").encode())
