"""Which files differ between two versions of code, and in which lines."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher, unified_diff

CONTEXT = 3
MAX_LINES = 6_000
"""Longer files are named, but not laid side by side."""
MAX_SHOWN = 5_000
"""Lines that are shown in all; files beyond them are named."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """``Line(kind="added", before=None, after=12, text="    return 1")``; kinds are same, added, removed, gap."""

    kind: str
    before: int | None = None
    after: int | None = None
    text: str = ""


@dataclass(frozen=True, kw_only=True)
class FileDifference:
    """One file: ``FileDifference(path="training_core/methods/mae.py", change="changed", lines=(...))``."""

    path: str
    change: str
    """changed, added or removed."""
    lines: tuple[Line, ...]
    num_added: int = 0
    num_removed: int = 0
    why_hidden: str = ""
    """Why its lines are not shown; empty where they are."""


def differing(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """The paths whose content is not the same, or that only one side has, in their order; both sides map paths to digests."""
    return sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))


def file_differences(
    before: Mapping[str, str], after: Mapping[str, str], *, first: Sequence[str] = ()
) -> list[FileDifference]:
    """Line by line; both sides map the paths that differ to their texts. Those named by ``first`` lead."""
    found: list[FileDifference] = []
    num_lines = 0
    for path in sorted(before.keys() | after.keys(), key=lambda path: (path not in first, path)):
        each = _file_difference(path, before.get(path), after.get(path))
        num_lines += len(each.lines)
        if num_lines > MAX_SHOWN and found:
            each = replace(
                each, lines=(), why_hidden="Too many lines differ to show them all; kumite diff prints them."
            )
        found.append(each)
    return found


def unified(path: str, before: str | None, after: str | None) -> str:
    """The same as text that ``patch`` reads; a side that is not there is ``/dev/null``."""
    left = "/dev/null" if before is None else f"a/{path}"
    right = "/dev/null" if after is None else f"b/{path}"
    pieces = unified_diff(_lines(before, ends=True), _lines(after, ends=True), left, right, n=CONTEXT)
    return "".join(piece if piece.endswith("\n") else f"{piece}\n\\ No newline at end of file\n" for piece in pieces)


def _file_difference(path: str, before: str | None, after: str | None) -> FileDifference:
    change = "added" if before is None else "removed" if after is None else "changed"
    left, right = _lines(before), _lines(after)
    if max(len(left), len(right)) > MAX_LINES:
        why = f"It has more than {MAX_LINES:,} lines; download both versions."
        return FileDifference(path=path, change=change, lines=(), why_hidden=why)
    lines = tuple(_walk(left, right))
    num_added, num_removed = (sum(line.kind == kind for line in lines) for kind in ("added", "removed"))
    return FileDifference(path=path, change=change, lines=lines, num_added=num_added, num_removed=num_removed)


def _walk(left: Sequence[str], right: Sequence[str]) -> Iterator[Line]:
    groups = SequenceMatcher(None, left, right).get_grouped_opcodes(CONTEXT)
    for number, group in enumerate(groups):
        if number or group[0][1] or group[0][3]:
            yield Line(kind="gap")
        for tag, x_from, x_to, y_from, y_to in group:
            if tag == "equal":
                for x, y in zip(range(x_from, x_to), range(y_from, y_to), strict=True):
                    yield Line(kind="same", before=x + 1, after=y + 1, text=left[x])
                continue
            yield from (Line(kind="removed", before=x + 1, text=left[x]) for x in range(x_from, x_to))
            yield from (Line(kind="added", after=y + 1, text=right[y]) for y in range(y_from, y_to))


def _lines(text: str | None, *, ends: bool = False) -> list[str]:
    """Cut at newlines only: a form feed inside a line is no end of it."""
    found = (text or "").split("\n")
    lines = [f"{line}\n" for line in found[:-1]] if ends else found[:-1]
    return [*lines, found[-1]] if found[-1] else lines
