"""Which files of a program are kept with its run."""

import json
import os
from pathlib import Path

KEPT = {".py", ".yaml", ".yml"}
LEFT_OUT = {"node_modules", "site-packages", "venv", "__pycache__", "build", "dist"}
MAX_FILES, MAX_BYTES = 500, 800_000
"""As many as the server keeps; see ``webapp.sources.services``."""


def code_files(root: Path) -> dict[str, str]:
    """The Python and YAML files of a folder by their path in it, or one file; hidden and installed ones are left out."""
    found: dict[str, str] = {}
    size = 0
    for path in [root] if root.is_file() else _beneath(root):
        text = path.read_text(encoding="utf-8", errors="replace")
        found[path.name if path == root else path.relative_to(root).as_posix()] = text
        size += len(json.dumps(text))  # as it travels
        if len(found) > MAX_FILES or size > MAX_BYTES:
            raise ValueError(
                f"{root} holds more than {MAX_FILES} files of code, or more than {MAX_BYTES:,} bytes of them. Name a smaller folder, "
                "or one file."
            )
    if not found:
        raise ValueError(f"{root} holds no Python and no YAML file. Name the folder in which the program lies.")
    return found


def _beneath(root: Path) -> list[Path]:
    found: list[Path] = []
    for folder, names, files in os.walk(root):
        names[:] = sorted(name for name in names if not name.startswith(".") and name not in LEFT_OUT)
        found += [
            Path(folder) / name for name in sorted(files) if Path(name).suffix in KEPT and not name.startswith(".")
        ]
    return found
