"""math-verify in a process of its own, because a hostile formula can keep it busy for ever.

math-verify's own time limits work by signals and only in the main thread of a process; here they are off, and a
checker that does not reply in time is killed and started anew.
"""

import atexit
import json
import math
import select
import subprocess
import sys
from contextlib import suppress

START_TIMEOUT_S = 60.0
MAX_TEXT = 2_000
_CHILD = """
import json, resource, signal, sys
from math_verify import parse, verify
resource.setrlimit(resource.RLIMIT_AS, (4 * 1024**3, 4 * 1024**3))
print("ready", flush=True)
for line in sys.stdin:
    limit_s, answer, expected = json.loads(line)
    signal.alarm(limit_s)  # without a handler this ends the process even where its parent was killed
    try:
        gold, target = (parse(text, parsing_timeout=None, raise_on_error=True) for text in (expected, answer))
        result = bool(target) and bool(verify(gold, target, timeout_seconds=None, raise_on_error=True)) if gold else None
        print(json.dumps(result), flush=True)
    except Exception as error:
        print(json.dumps(f"{type(error).__name__}: {error}"[:200]), flush=True)
    signal.alarm(0)
"""


class CheckError(RuntimeError):
    """The checker could not say whether two answers agree."""


class MathChecker:
    """Compares answers by mathematical value; the helper process starts with the first comparison."""

    def __init__(self, *, timeout_s: float = 5.0) -> None:
        self.timeout_s = timeout_s
        self._process: subprocess.Popen[str] | None = None
        atexit.register(self.close)

    def check(self, answer: str, expected: str) -> bool:
        """Whether both mean the same; raises ``CheckError`` on a crash, a hang or an expected answer without mathematics."""
        if len(answer) > MAX_TEXT or len(expected) > MAX_TEXT:
            raise CheckError("the answer is too long to be compared as mathematics")
        process = self._process or self._start()
        assert process.stdin is not None
        try:
            process.stdin.write(json.dumps([math.ceil(2 * self.timeout_s), answer, expected]) + "\n")
            process.stdin.flush()
        except OSError as error:
            self.close()
            raise CheckError("the checker ended unexpectedly") from error
        result = json.loads(self._read_line(process, self.timeout_s))
        if not isinstance(result, bool):
            raise CheckError(result or "no mathematics was found in the expected answer")
        return result

    def close(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                with suppress(OSError):
                    stream.close()

    def _start(self) -> "subprocess.Popen[str]":
        self._process = subprocess.Popen(
            [sys.executable, "-c", _CHILD],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            bufsize=1,
        )
        self._read_line(self._process, START_TIMEOUT_S)
        return self._process

    def _read_line(self, process: "subprocess.Popen[str]", timeout_s: float) -> str:
        assert process.stdout is not None
        readable, _, _ = select.select([process.stdout], [], [], timeout_s)
        line = process.stdout.readline() if readable else ""
        if not line:
            self.close()
            raise CheckError(
                f"the checker took longer than {timeout_s:g} s" if not readable else "the checker ended unexpectedly"
            )
        return line
