"""The code of runs: kept at the claim, read on pages, laid side by side, and seen by those who may see the run."""

import io
from pathlib import Path
from zipfile import ZipFile

import pytest
from django.test import Client

import training_core
from kumite.code import code_files
from tests.factories import make_run
from tests.tutorial import quorum_known, write_method
from webapp.accounts.models import User
from webapp.experiments.models import Experiment, Run
from webapp.external.services import begin_external_run
from webapp.sources import selectors
from webapp.sources.differences import differing, file_differences, unified
from webapp.sources.models import CodeVersion, SourceFile
from webapp.sources.services import keep, keep_code, keep_sent
from webapp.workspaces.models import Workspace

pytestmark = pytest.mark.django_db
MAE = "training_core/methods/mae.py"
OLD = "import math\n\n\ndef reward(x):\n    return x\n"
NEW = "import math\n\n\ndef reward(x):\n    return 2 * x\n\n\ndef cost(x):\n    return -x\n"


@pytest.fixture
def client(client: Client, ada: User, workspace: Workspace) -> Client:
    client.force_login(ada)
    return client


def carried_out_with(experiment: Experiment, files: dict[str, str]) -> Run:
    return make_run(experiment, "succeeded", code={"version": keep(files), "file": MAE})


@pytest.fixture
def two(experiment: Experiment) -> tuple[Run, Run]:
    shared = {"training_core/spec.py": "same = 1\n"}
    before = carried_out_with(experiment, {**shared, MAE: OLD, "training_core/gone.py": "a = 1\nb = 2\n"})
    after = carried_out_with(experiment, {**shared, MAE: NEW, "training_core/new.py": "<script>alert(1)</script>\n"})
    return before, after


def test_the_whole_library_is_kept_once_and_a_changed_file_beside_it() -> None:
    code = keep_code("mae")
    version = CodeVersion.objects.get(pk=code["version"])
    root = Path(training_core.__file__).parent
    assert code["file"] == MAE
    assert selectors.texts(version.files, [MAE]) == {MAE: (root / "methods/mae.py").read_text()}
    assert len(version.files) == sum(path.suffix in {".py", ".yaml"} for path in root.rglob("*"))
    num_texts = SourceFile.objects.count()
    assert keep_code("mae") == code
    assert CodeVersion.objects.count() == 1
    changed = keep(selectors.texts(version.files) | {MAE: "changed\n"})
    assert changed != code["version"]
    assert SourceFile.objects.count() == num_texts + 1


def test_a_method_of_ones_own_is_kept_with_its_folder(tmp_path: Path) -> None:
    folder = tmp_path / "ours"
    folder.mkdir()
    write_method(folder)
    (folder / "shared_by_ours.py").write_text("x = 1\n")
    with quorum_known(folder):
        code = keep_code("quorum")
    files = CodeVersion.objects.get(pk=code["version"]).files
    assert code["file"] == "ours/quorum.py"
    assert {"ours/quorum.py", "ours/quorum.yaml", "ours/shared_by_ours.py", MAE} <= files.keys()
    assert keep_code("not_installed").keys() == {"core", "version"}


def test_lines_are_counted_and_numbered_on_both_sides() -> None:
    changed = file_differences({MAE: OLD, "z.py": "a\nb\n"}, {MAE: NEW, "y.py": "c"}, first=[MAE])
    assert [(each.path, each.change, each.num_added, each.num_removed) for each in changed] == [
        (MAE, "changed", 5, 1),
        ("y.py", "added", 1, 0),
        ("z.py", "removed", 0, 2),
    ]
    lines = [(line.kind, line.before, line.after, line.text) for line in changed[0].lines]
    assert lines[:5] == [
        ("gap", None, None, ""),
        ("same", 2, 2, ""),
        ("same", 3, 3, ""),
        ("same", 4, 4, "def reward(x):"),
        ("removed", 5, None, "    return x"),
    ]
    assert lines[5] == ("added", None, 5, "    return 2 * x")
    assert differing({"a": "1", "b": "2"}, {"a": "1", "b": "3", "c": "4"}) == ["b", "c"]


def test_the_patch_is_one_that_patch_reads() -> None:
    assert unified("m.py", "a\nb\n", "a\nc") == (
        "--- a/m.py\n+++ b/m.py\n@@ -1,2 +1,2 @@\n a\n-b\n+c\n\\ No newline at end of file\n"
    )
    assert unified("m.py", None, "a\n").startswith("--- /dev/null\n+++ b/m.py\n")


def test_long_files_are_named_and_not_laid_side_by_side() -> None:
    (each,) = file_differences({"long.py": "x\n" * 7000}, {"long.py": "y\n" * 7000})
    assert (each.lines, each.num_added) == ((), 0)
    assert "more than 6,000 lines" in each.why_hidden
    one, two, three = file_differences({f"{name}.py": f"{name}\n" * 2000 for name in "abc"}, {})
    assert (len(one.lines), len(two.lines), three.lines, three.num_removed) == (2000, 2000, (), 2000)
    assert "Too many lines differ" in three.why_hidden


def test_compare_says_how_many_files_differ_and_leads_to_the_lines(client: Client, two: tuple[Run, Run]) -> None:
    before, after = two
    page = client.get(f"/compare/?run={before.pk}&run={after.pk}&base={before.pk}").content.decode()
    assert "3 files differ" in page
    assert f"/compare/code/?before={after.pk}&amp;after={before.pk}" in page or f"after={after.pk}" in page
    page = client.get(f"/compare/code/?before={before.pk}&after={after.pk}").content.decode()
    assert page.index(MAE) < page.index("training_core/gone.py") < page.index("training_core/new.py")
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "<script>alert" not in page
    assert "training_core/spec.py" not in page
    same = client.get(f"/compare/code/?before={before.pk}&after={before.pk}").content.decode()
    assert "The very same code" in same


def test_code_that_was_not_kept_is_said_to_be_so(client: Client, experiment: Experiment, two: tuple[Run, Run]) -> None:
    old = make_run(experiment, "succeeded", code={"method": "3f1c2a9b0d", "core": "a91b2a9b0d"})
    page = client.get(f"/compare/code/?before={old.pk}&after={two[0].pk}").content.decode()
    assert f"#{old.number} was not kept" in page
    assert "was not kept" in client.get(f"/compare/?run={old.pk}&run={two[0].pk}").content.decode()
    assert "Its code was not kept" in client.get(f"/runs/{old.pk}/code/").content.decode()
    waiting = make_run(experiment, "queued")
    assert "Not started yet" in client.get(f"/runs/{waiting.pk}/code/").content.decode()
    assert client.get("/compare/code/?before=x").status_code == 404


def test_the_page_shows_the_method_and_any_other_file(client: Client, two: tuple[Run, Run]) -> None:
    after = two[1]
    assert "return 2 * x" in client.get(f"/runs/{after.pk}/code/").content.decode()
    other = client.get(f"/runs/{after.pk}/code/?file=training_core/new.py").content.decode()
    assert "&lt;script&gt;" in other
    assert client.get(f"/runs/{after.pk}/code/?file=../../etc/passwd").status_code == 404
    archive = ZipFile(io.BytesIO(client.get(f"/runs/{after.pk}/code.zip").content))
    assert archive.read(MAE).decode() == NEW


def test_outsiders_see_no_code(client: Client, two: tuple[Run, Run], cyn: User) -> None:
    before, after = two
    client.force_login(cyn)
    for address in (
        f"/runs/{before.pk}/code/",
        f"/runs/{before.pk}/code.zip",
        f"/compare/code/?before={before.pk}&after={after.pk}",
        f"/api/v1/runs/{before.pk}/code/",
        f"/api/v1/runs/{before.pk}/code.zip",
    ):
        assert client.get(address).status_code == 404, address


def test_the_api_gives_patches(client: Client, two: tuple[Run, Run]) -> None:
    before, after = two
    found = client.get(f"/api/v1/runs/{before.pk}/code/?against={after.pk}").json()
    assert found["version"] == before.code["version"]
    patches = {each["path"]: each["patch"] for each in found["differences"]}
    assert patches.keys() == {MAE, "training_core/gone.py", "training_core/new.py"}
    assert "-    return x\n+    return 2 * x\n" in patches[MAE]
    assert "differences" in client.get(f"/api/v1/runs/{before.pk}/code/").json()


def test_a_program_outside_sends_its_code_along(
    client: Client, ada: User, workspace: Workspace, tmp_path: Path
) -> None:
    (tmp_path / "train.py").write_text(OLD)
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "hook.py").write_text("secret\n")
    (tmp_path / "notes.txt").write_text("left out\n")
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools" / "data.py").write_text("x = 1\n")
    files = code_files(tmp_path)
    assert files == {"train.py": OLD, "tools/data.py": "x = 1\n"}
    assert code_files(tmp_path / "train.py") == {"train.py": OLD}
    run = begin_external_run(actor=ada, workspace=workspace, project="Bench", code=files, key="k")
    assert "x = 1" in client.get(f"/runs/{run.pk}/code/?file=tools/data.py").content.decode()
    (tmp_path / "big.py").write_text("x" * 900_000)
    with pytest.raises(ValueError, match="Name a smaller folder"):
        code_files(tmp_path)
    with pytest.raises(ValueError, match="no Python and no YAML"):
        code_files(tmp_path / ".git" / "hooks")


@pytest.mark.parametrize("path", ["../up.py", "/etc/x.py", "a//b.py", "a\\b.py", "a\nb.py", "x" * 301])
def test_odd_paths_are_refused(path: str) -> None:
    with pytest.raises(ValueError, match="is no path of a file"):
        keep_sent({path: "x"})
    with pytest.raises(ValueError, match="Name a smaller folder"):
        keep_sent({"a.py": "x" * 800_001})
