"""Keeps the code a run is carried out with, so that two runs' code can be laid side by side long afterwards."""

import inspect
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

from training_core.methods import registry
from training_core.methods.registry import find_method
from webapp.sources.models import CodeVersion, SourceFile

_CORE = Path(registry.__file__).resolve().parent.parent
_KEPT = {".py", ".yaml"}
_SHOWN = 10
MAX_FILES, MAX_BYTES, MAX_PATH = 500, 800_000, 300
"""Of what a program outside sends along."""


def keep_code(method: str) -> dict[str, str]:
    """Keep the library and the method's file as they lie on this machine now, and say which they are.

    ``{"method": "3f1c2a9b0d", "core": "a91b...", "version": "9c0e... (64 letters)", "file": "training_core/methods/mae.py"}``;
    a method that is not installed here has no file.
    """
    core = _texts(_CORE)
    known = {"core": _digest_of(_digests(core))[:_SHOWN]}
    if (path := _file_of(method)) is None:
        return known | {"version": keep(core)}
    if path.is_relative_to(_CORE):
        name, files = f"{_CORE.name}/{path.relative_to(_CORE).as_posix()}", core
    else:  # a folder of methods outside the library, as KUMITE_METHODS names it; its other files may be used by this one
        name, files = f"{path.parent.name}/{path.name}", core | _texts(path.parent)
    return known | {"method": _digest(files[name])[:_SHOWN], "file": name, "version": keep(files)}


def keep(files: Mapping[str, str]) -> str:
    """Store what is not stored yet; the digest of the ``CodeVersion``."""
    texts = {name: text.replace("\0", "\N{REPLACEMENT CHARACTER}") for name, text in files.items()}
    digests = _digests(texts)
    version = _digest_of(digests)
    if not CodeVersion.objects.filter(pk=version).exists():
        by_digest = {digests[name]: text for name, text in texts.items()}
        there = set(SourceFile.objects.filter(pk__in=by_digest).values_list("pk", flat=True))
        new = [SourceFile(digest=digest, text=by_digest[digest]) for digest in sorted(by_digest.keys() - there)]
        SourceFile.objects.bulk_create(new, ignore_conflicts=True)
        CodeVersion.objects.bulk_create([CodeVersion(digest=version, files=digests)], ignore_conflicts=True)
    return version


def keep_sent(files: Mapping[str, str]) -> str:
    """The same for files a program outside sent; a ``ValueError`` where they are too many, too large, or oddly named."""
    size = sum(len(text.encode()) for text in files.values())
    if len(files) > MAX_FILES or size > MAX_BYTES:
        raise ValueError(
            f"{len(files)} files of {size:,} bytes came; up to {MAX_FILES} files of {MAX_BYTES:,} bytes together are kept. "
            "Name a smaller folder."
        )
    for path in files:
        parts = path.split("/")
        if len(path) > MAX_PATH or not path.isprintable() or "\\" in path or {"", ".", ".."} & set(parts):
            raise ValueError(
                f"{path[:80]!r} is no path of a file. Name files like train.py or tools/data.py, from the program's folder."
            )
    return keep(files)


def _file_of(method: str) -> Path | None:
    try:
        return Path(inspect.getfile(find_method(method))).resolve()
    except (ValueError, OSError):
        return None


def _texts(root: Path) -> dict[str, str]:
    """Every file of code beneath a folder, by its path from the folder above."""
    return {
        path.relative_to(root.parent).as_posix(): path.read_text(encoding="utf-8", errors="replace")
        for path in sorted(root.rglob("*"))
        if path.suffix in _KEPT and path.is_file()
    }


def _digests(texts: Mapping[str, str]) -> dict[str, str]:
    return {name: _digest(text) for name, text in sorted(texts.items())}


def _digest_of(digests: Mapping[str, str]) -> str:
    return _digest("".join(f"{name}\0{digest}\n" for name, digest in sorted(digests.items())))


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()
