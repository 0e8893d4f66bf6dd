"""Where models made on this machine are cached."""

import os
from pathlib import Path


def default_models_dir() -> Path:
    """``KUMITE_MODELS_DIR``, or ``~/.cache/kumite/models``."""
    return Path(os.environ.get("KUMITE_MODELS_DIR") or Path.home() / ".cache" / "kumite" / "models")
