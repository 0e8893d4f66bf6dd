"""The data sets made by reviewing become data sets of the library; their files are copied, so that old paths keep working."""

import json
import shutil
from pathlib import Path

from django.conf import settings
from django.db import migrations, models
from django.utils.text import slugify

_WORDS = {"calibration": "people's answers", "sft": "demonstrations", "preference": "preference pairs"}
_SOURCE = {"calibration": "answers", "sft": "picked", "preference": "picked"}


def move(apps, schema_editor):
    made = apps.get_model("review", "Dataset")
    for workspace, kind, name in made.objects.order_by().values_list("workspace", "kind", "name").distinct():
        versions = list(made.objects.filter(workspace=workspace, kind=kind, name=name).order_by("version"))
        dataset = _dataset(apps, versions[0], kind=kind, name=name)
        for old in versions:
            _version(apps, dataset, old)


def _dataset(apps, first, *, kind, name):
    datasets = apps.get_model("library", "Dataset")
    taken = datasets.objects.filter(workspace_id=first.workspace_id, retired_at=None)
    name = name[:80]
    if kind == "calibration":  # found by its name: whatever else is called so gets another one
        for other in taken.filter(name=name):
            other.name = _free(taken, name, "uploaded")
            other.save(update_fields=["name"])
    elif taken.filter(name=name).exists():
        name = _free(taken, name, _WORDS[kind])
    dataset = datasets.objects.create(
        workspace_id=first.workspace_id,
        name=name,
        source=_SOURCE[kind],
        form="" if kind == "calibration" else kind,
        created_by_id=first.by_id,
    )
    datasets.objects.filter(pk=dataset.pk).update(created_at=first.at)
    return dataset


def _free(taken, name, words):
    tries = (f"{name[: 76 - len(words)]} ({words}{'' if n == 1 else f' {n}'})" for n in range(1, 1000))
    return next(each[:80] for each in tries if not taken.filter(name=each[:80]).exists())


def _version(apps, dataset, old):
    source = _old_path(old)
    columns = _columns(source) if source.is_file() else []
    versions = apps.get_model("library", "DatasetVersion")
    version = versions.objects.create(
        dataset=dataset,
        number=old.version,
        digest=old.digest,
        num_lines=old.num_rows,
        num_bytes=source.stat().st_size if source.is_file() else 0,
        columns=columns,
        created_by_id=old.by_id,
    )
    versions.objects.filter(pk=version.pk).update(created_at=old.at)
    if source.is_file():
        folder = Path(settings.DATA_DIR) / "teams" / str(dataset.workspace_id) / str(dataset.pk)
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, folder / f"v{old.version}.jsonl")


def _old_path(old):
    name = f"{old.kind}-{slugify(old.name.replace('/', '-'))[:60] or old.pk}-v{old.version}.jsonl"
    return Path(settings.ARTIFACTS_DIR) / "datasets" / str(old.workspace_id) / name


def _columns(path):
    found = {}
    with path.open(encoding="utf-8") as file:
        for line in file:
            if line.strip():
                found.update(dict.fromkeys(str(key)[:80] for key in json.loads(line)))
    return list(found)[:50]


class Migration(migrations.Migration):
    dependencies = [("library", "0002_rubrics"), ("review", "0003_rubric_version")]

    operations = [
        migrations.AddField(
            model_name="dataset",
            name="source",
            field=models.CharField(
                choices=[
                    ("uploaded", "Uploaded"),
                    ("picked", "Picked from samples"),
                    ("answers", "People's answers"),
                ],
                default="uploaded",
                max_length=10,
            ),
        ),
        migrations.AddField(
            model_name="dataset",
            name="form",
            field=models.CharField(
                blank=True,
                choices=[("sft", "Demonstrations"), ("preference", "Preference pairs")],
                max_length=10,
                default="",
            ),
            preserve_default=False,
        ),
        migrations.AddConstraint(
            model_name="dataset",
            constraint=models.CheckConstraint(
                condition=models.Q(("source__in", ["uploaded", "picked", "answers"])), name="dataset_source_known"
            ),
        ),
        # After every change of the table, which Postgres refuses once rows wait for their checks.
        migrations.RunPython(move, migrations.RunPython.noop),
    ]
