"""Self-play methods, one module and one card each; folders named in ``KUMITE_METHODS`` are looked through as well."""

import os
from pathlib import Path


def folders_outside(setting: str) -> list[str]:
    """The folders of a ``:``-separated setting; a ``ValueError`` names one that is not there."""
    folders = [Path(part).expanduser().resolve() for part in setting.split(os.pathsep) if part]
    for folder in folders:
        if not folder.is_dir():
            raise ValueError(f"KUMITE_METHODS names {folder}, which is no folder; make it, or correct the variable")
    return [str(folder) for folder in folders]


# A longer path makes the modules there part of this package: found, imported and carded like those beside this file.
__path__ += folders_outside(os.environ.get("KUMITE_METHODS", ""))
