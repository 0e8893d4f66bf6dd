from pathlib import Path


class EmbeddedServerError(RuntimeError):
    """An embedded server cannot start or stop; the text says what to do."""


def tail(path: Path, *, num_lines: int = 8) -> str:
    """The end of a log, for an error message."""
    if not path.exists():
        return "(no log)"
    return "\n".join(path.read_text(encoding="utf-8", errors="replace").splitlines()[-num_lines:])
