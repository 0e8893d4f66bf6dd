"""Things that may never stand in the repository, each with its reason; tracked text files are searched line by line."""

import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_SKIPPED = ("scripts/check_forbidden.py", "static/vendor/", "tests/browser/vendor/", "LICENSE", "bench/results/")
_INLINE_EVENT = r"""<[^>]*\son[a-z]+\s*=\s*["']"""


@dataclass(frozen=True, kw_only=True)
class Rule:
    """``Rule(pattern=r"\\|\\s*safe", suffixes=(".html",), why="model text is hostile")``"""

    pattern: str
    why: str
    suffixes: tuple[str, ...] = ()
    """Only these kinds of files; every tracked text file when empty."""
    allowed: tuple[str, ...] = ()
    """Paths in which it may stand."""


RULES = (
    Rule(pattern=r"/work/|/home/\w|/root/\w|/Users/\w", why="a path of somebody's machine"),
    Rule(
        pattern=r"pypi\.org|pythonhosted\.org|download\.pytorch\.org|registry\.npmjs|--index-url|--extra-index-url|/opt/(pypi|wheels)",
        why="a package registry's host or a local index; installers take it from their own settings",
        allowed=("static/",),
    ),
    Rule(pattern=r"\|\s*safe\b|autoescape\s+off", suffixes=(".html",), why="model text is hostile; escape it"),
    Rule(
        pattern=r"mark_safe\(",
        suffixes=(".py",),
        why="model text is hostile; use format_html",
        allowed=("webapp/pages/", "tests/"),
    ),
    Rule(
        pattern=r"trust_remote_code\s*=\s*True|torch\.load\(|pickle\.loads?\(|weights_only\s*=\s*False|joblib\.load\(",
        suffixes=(".py",),
        why="it would execute what stands in a file of weights",
        allowed=("tests/",),
    ),
    Rule(pattern=r"\binnerHTML\b|outerHTML\s*=|insertAdjacentHTML|\beval\(|new Function\(", suffixes=(".js",), why="text becomes code"),
    Rule(pattern=r"<script(?![^>]*\b(src=|type=\"application/json\"))", suffixes=(".html",), why="inline script; the policy forbids it"),
    Rule(pattern=r"<style\b|\sstyle\s*=", suffixes=(".html",), why="inline style; the policy forbids it"),
    Rule(pattern=_INLINE_EVENT, suffixes=(".html",), why="inline event handler; the policy forbids it"),
    Rule(pattern=r"(src|href)=[\"']https?://[^\"']+\.(js|css|woff2?)", suffixes=(".html",), why="front-end files are vendored"),
    Rule(pattern=r"\bTODO\b|\bFIXME\b|\bXXX\b", why="finish it, or write it down outside the code"),
)  # fmt: skip


def main() -> int:
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True).stdout
    names = [name for name in listing.split("\0") if name and not name.startswith(_SKIPPED)]
    found = [line for name in names for line in _violations(name)]
    sys.stdout.writelines(f"{line}\n" for line in found)
    sys.stdout.write(f"{len(names)} files searched for forbidden things: {len(found)} found.\n")
    return 1 if found else 0


def _violations(name: str) -> list[str]:
    path = ROOT / name
    rules = [
        rule
        for rule in RULES
        if (not rule.suffixes or path.suffix in rule.suffixes) and not name.startswith(rule.allowed or ("\0",))
    ]
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (UnicodeDecodeError, FileNotFoundError, IsADirectoryError):
        return []
    return [
        f"{name}:{number}: {rule.why}: {line.strip()[:100]}"
        for number, line in enumerate(lines, 1)
        for rule in rules
        if re.search(rule.pattern, line)
    ]


if __name__ == "__main__":
    sys.exit(main())
