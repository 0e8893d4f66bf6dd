"""The kept code of runs. Who may see a run may see its code."""

from collections.abc import Iterable, Mapping, Sequence
from io import BytesIO
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from webapp.experiments.models import Run
from webapp.sources.differences import FileDifference, differing, file_differences
from webapp.sources.models import CodeVersion, SourceFile

_EPOCH = (1980, 1, 1, 0, 0, 0)


def version_of(run: Run) -> CodeVersion | None:
    """The code of the run's newest attempt; None where it was not kept, or no attempt was made yet."""
    digest = run.code.get("version")
    return CodeVersion.objects.filter(pk=digest).first() if digest else None


def versions_of(runs: Sequence[Run]) -> dict[str, CodeVersion]:
    """By digest."""
    return CodeVersion.objects.in_bulk({digest for run in runs if (digest := run.code.get("version"))})


def texts(files: Mapping[str, str], paths: Iterable[str] | None = None) -> dict[str, str]:
    """The texts of a version's files, or of some of them, by path."""
    wanted = {path: files[path] for path in (files if paths is None else paths) if path in files}
    found = dict(SourceFile.objects.filter(pk__in=set(wanted.values())).values_list("digest", "text"))
    return {path: found[digest] for path, digest in wanted.items()}


def differing_texts(before: CodeVersion, after: CodeVersion) -> tuple[dict[str, str], dict[str, str]]:
    """Both sides of the files that are not the same."""
    paths = differing(before.files, after.files)
    return texts(before.files, paths), texts(after.files, paths)


def difference(before: CodeVersion, after: CodeVersion, *, first: Sequence[str] = ()) -> list[FileDifference]:
    """The files that are not the same, line by line."""
    left, right = differing_texts(before, after)
    return file_differences(left, right, first=first)


def zipped(version: CodeVersion) -> bytes:
    """All files as a ZIP file; the same version gives the same bytes."""
    packed = BytesIO()
    with ZipFile(packed, "w", ZIP_DEFLATED) as archive:
        for path, text in sorted(texts(version.files).items()):
            archive.writestr(ZipInfo(path, _EPOCH), text, ZIP_DEFLATED)
    return packed.getvalue()
