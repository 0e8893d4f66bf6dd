"""Tell a Kumite server what a program measures, in the shape of ``wandb.log``.

    import kumite

    kumite.init(project="spar", name="baseline", config={"lr": 1e-5})
    for step in range(1000):
        kumite.log({"loss/total": loss, "reward/mean": reward}, step=step)
    kumite.finish()

``log`` only puts the values into a queue: it never waits for disk or network, and never raises because of them. A thread
writes them to a file and sends them from there; while the server is away they stay in the file and are sent later, at
the latest by ``kumite sync``. Address and token come from ``kumite login`` or ``KUMITE_URL`` and ``KUMITE_TOKEN``.
"""

import atexit
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kumite.code import code_files
from kumite.recorder import Recorder, Target

__all__ = ["finish", "init", "log"]

_current: Recorder | None = None


def init(
    *,
    project: str,
    name: str = "",
    config: Mapping[str, Any] | None = None,
    code: str | Path | None = None,
    workspace: str = "",
    url: str = "",
    token: str = "",
    folder: str | Path | None = None,
) -> Recorder:
    """Begin a run; one that is still open is finished first.

    ``code`` names a folder, or one file, whose Python and YAML files are kept with the run, to be compared with those of other
    runs. A ``ValueError`` says where there are more than the server keeps.
    """
    global _current  # noqa: PLW0603
    finish()
    begin = {"project": project, "name": name, "workspace": workspace, "config": dict(config or {})}
    if code is not None:
        begin["code"] = code_files(Path(code))
    _current = Recorder(Target.find(url=url, token=token), begin, folder=folder)
    return _current


def log(values: Mapping[str, Any], step: int | None = None) -> None:
    """Queue numbers by name; without ``step`` it is one more than the last."""
    if _current is None:
        raise RuntimeError("Call kumite.init(project=...) first.")
    _current.log(values, step)


def finish(*, failed: bool = False, timeout_s: float = 30.0) -> None:
    """Send what is left and end the run; what cannot be sent in time stays for ``kumite sync``."""
    global _current  # noqa: PLW0603
    if _current is not None:
        _current.finish(failed=failed, timeout_s=timeout_s)
        _current = None


atexit.register(finish)
