"""Front-end libraries are pinned: what stands in the tree is what its package published."""

import base64
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

FOLDERS = [Path(settings.BASE_DIR) / "static" / "vendor", Path(settings.BASE_DIR) / "tests" / "browser" / "vendor"]
ENTRIES = [(folder, entry) for folder in FOLDERS for entry in json.loads((folder / "vendor.json").read_text("utf-8"))]


@pytest.mark.parametrize(
    ("folder", "entry"), ENTRIES, ids=lambda value: value["name"] if isinstance(value, dict) else ""
)
def test_vendored_files_are_unchanged(folder: Path, entry: dict[str, Any]) -> None:
    found = {
        name: "sha384-" + base64.b64encode(hashlib.sha384((folder / name).read_bytes()).digest()).decode()
        for name in entry["files"]
    }
    assert found == entry["files"]


@pytest.mark.parametrize("folder", FOLDERS, ids=["static", "tests"])
def test_every_vendored_file_is_listed_with_its_licence(folder: Path) -> None:
    listed = {name for _, entry in ENTRIES for name in entry["files"]}
    standing = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    licences = {name for name in standing if name.endswith("LICENSE")}
    assert standing - licences - {"vendor.json"} <= listed
    assert {Path(name).parent for name in licences} == {Path(name).parent for name in standing if "/" in name}


LANGUAGES = re.compile(r"http://www\.w3\.org/(2000/svg|1998/Math/MathML)\b")
"""Names of languages, which nobody asks a host for."""


def test_no_template_or_script_of_ours_names_another_host() -> None:
    static = Path(settings.BASE_DIR) / "static"
    ours = [p for p in static.rglob("*") if p.suffix in {".css", ".js"} and "vendor" not in p.parts]
    texts = {path.name: LANGUAGES.sub("", path.read_text("utf-8")) for path in ours}
    assert [name for name, text in texts.items() if "http://" in text or "https://" in text] == []
