"""A team's data sets: uploaded or made of samples and people's answers, checked line by line, kept as versions."""

import hashlib
import json
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from uuid import UUID

from django.contrib.auth.models import AnonymousUser
from django.db import transaction
from django.db.models import Max, Prefetch, QuerySet
from django.http import Http404
from django.utils import timezone

from webapp.accounts.models import User
from webapp.library.models import Dataset, DatasetForm, DatasetSource, DatasetVersion
from webapp.workspaces.models import Workspace
from webapp.workspaces.selectors import require_edit
from webapp.workspaces.services import record

MAX_BYTES = 64 * 2**20
MAX_NAME = 80
MAX_COLUMNS = 50


def datasets_in(workspace: Workspace) -> QuerySet[Dataset]:
    """The data sets that are offered, by name; the caller has looked whether the person may see the workspace."""
    newest_first = Prefetch(
        "versions", queryset=DatasetVersion.objects.select_related("created_by").order_by("-number")
    )
    return Dataset.objects.filter(workspace=workspace, retired_at=None).prefetch_related(newest_first).order_by("name")


def versions_made(workspace: Workspace, source: DatasetSource) -> list[DatasetVersion]:
    """Every version of the data sets that come from there and are offered, newest first."""
    found = DatasetVersion.objects.filter(
        dataset__workspace=workspace, dataset__source=source, dataset__retired_at=None
    )
    return list(found.select_related("dataset", "created_by").order_by("-created_at", "-pk"))


def version_for(user: User | AnonymousUser, version_id: int) -> DatasetVersion:
    """A version whose file is there, or 404 for those who may not see it."""
    mine = DatasetVersion.objects.filter(dataset__workspace__in=Workspace.objects.visible_to(user))
    found = mine.filter(pk=version_id).select_related("dataset").first()
    if found is None or not found.path.is_file():
        raise Http404("There is no such data set, or its file is gone.")
    return found


def dataset_for(user: User, dataset_id: UUID) -> Dataset:
    """The data set, or 404 for those who may not see it."""
    mine = Workspace.objects.visible_to(user)
    found = Dataset.objects.filter(pk=dataset_id, workspace__in=mine).select_related("workspace").first()
    if found is None:
        raise Http404("There is no such data set, or it belongs to a workspace you are not a member of.")
    return found


def save_dataset(
    *,
    actor: User,
    workspace: Workspace,
    name: str,
    chunks: Iterable[bytes],
    note: str = "",
    source: DatasetSource = DatasetSource.UPLOADED,
    form: str = "",
) -> DatasetVersion:
    """Keep lines as a new data set, or as the next version of the one that has this name and comes from the same source.

    1. write them aside while reading them, refused with the number of the first line that is no JSON object, 2. in one
    transaction number them and move them to their place; lines that equal the newest version are that version.
    """
    require_edit(actor, workspace)
    name = " ".join(name.split())
    if not 0 < len(name) <= MAX_NAME:
        raise ValueError(f"A data set needs a name of 1 to {MAX_NAME} characters.")
    version = DatasetVersion(note=note.strip()[:300], created_by=actor)
    with tempfile.NamedTemporaryFile(prefix="kumite-upload-", suffix=".jsonl") as aside:
        _write(aside.name, chunks, version)
        with transaction.atomic(durable=True):
            Workspace.objects.select_for_update().get(pk=workspace.pk)
            dataset, is_new = Dataset.objects.get_or_create(
                workspace=workspace,
                name=name,
                retired_at=None,
                defaults={"created_by": actor, "source": source, "form": form},
            )
            if (dataset.source, dataset.form) != (source, form):
                raise ValueError(
                    f"{name} is there already and holds something else: {_holds(dataset)}. Choose another name."
                )
            newest = dataset.versions.order_by("-number").first()
            if newest is not None and newest.digest == version.digest:
                return newest
            version.dataset = dataset
            version.number = (dataset.versions.aggregate(number=Max("number"))["number"] or 0) + 1
            version.save()
            _place(Path(aside.name), version.path)
            detail = {"name": name, "version": version.number}
            action = "dataset.created" if is_new else "dataset.version_saved"
            record(actor=actor, action=action, obj=dataset, workspace=workspace, detail=detail)
    return version


def _holds(dataset: Dataset) -> str:
    words = str(DatasetForm(dataset.form).label if dataset.form else DatasetSource(dataset.source).label)
    return f"{words[0].lower()}{words[1:]}"


@transaction.atomic(durable=True)
def retire_dataset(*, actor: User, dataset_id: UUID) -> Dataset:
    """Offer a data set no more; its files stay for the runs that used them. Doing it twice is not an error."""
    dataset = dataset_for(actor, dataset_id)
    require_edit(actor, dataset.workspace)
    if dataset.retired_at is None:
        dataset.retired_at = timezone.now()
        dataset.save(update_fields=["retired_at"])
        detail = {"name": dataset.name}
        record(actor=actor, action="dataset.retired", obj=dataset, workspace=dataset.workspace, detail=detail)
    return dataset


def _write(path: str, chunks: Iterable[bytes], version: DatasetVersion) -> None:
    """Copy the upload to ``path`` and fill in what the version says of it."""
    digest, rest = hashlib.sha256(), b""
    columns: dict[str, None] = {}
    with Path(path).open("wb") as file:
        for chunk in chunks:
            version.num_bytes = (version.num_bytes or 0) + len(chunk)
            if version.num_bytes > MAX_BYTES:
                raise ValueError(
                    f"The file is larger than {MAX_BYTES >> 20} MiB. Ask an operator to lay it into the folder of data sets."
                )
            digest.update(chunk)
            file.write(chunk)
            *lines, rest = (rest + chunk).split(b"\n")
            _read(lines, version, columns)
        _read([rest], version, columns)
        file.flush()
        os.fsync(file.fileno())
    if not version.num_lines:
        raise ValueError('The file has no line. Each line is an object, such as {"question": "2+3", "answer": "5"}.')
    version.digest, version.columns = digest.hexdigest(), list(columns)[:MAX_COLUMNS]


def _read(lines: Iterable[bytes], version: DatasetVersion, columns: dict[str, None]) -> None:
    for line in lines:
        if not line.strip():
            continue
        version.num_lines = (version.num_lines or 0) + 1
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, dict):
            raise ValueError(f"Line {version.num_lines} is no JSON object. Each line is one, such as {_EXAMPLE}.")
        columns.update(dict.fromkeys(str(key)[:80] for key in row))


_EXAMPLE = '{"question": "2+3", "answer": "5"}'


def _place(aside: Path, path: Path) -> None:
    """Copy next to the place and rename, so that the file is whole or not there. A file that a failed save left is overwritten."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".tmp")
    with beside.open("wb") as file:
        file.write(aside.read_bytes())
        file.flush()
        os.fsync(file.fileno())
    beside.rename(path)
