"""The editor's form: blocks as groups of inputs, and buttons that add, move and remove them without saving."""

from collections.abc import Sequence
from typing import Any

from django.http import QueryDict

from webapp.reports.blocks import KINDS, MAX_BLOCKS, AnyBlock

MAX_FIELD = 25_000


def posted_blocks(data: QueryDict) -> list[dict[str, Any]]:
    """The blocks as they stand in the form, not checked yet."""
    count = data.get("count", "0")
    number = min(int(count), MAX_BLOCKS) if count.isascii() and count.isdigit() and len(count) < 5 else 0
    return [_posted(data, place) for place in range(number)]


def _posted(data: QueryDict, place: int) -> dict[str, Any]:
    kind = data.get(f"b{place}-kind", "")
    block: dict[str, Any] = {"kind": kind}
    if kind == "text":
        return block | {"text": data.get(f"b{place}-text", "").replace("\r\n", "\n")[:MAX_FIELD]}
    block["runs"] = data.getlist(f"b{place}-runs")
    if kind == "chart":
        block["metric"] = data.get(f"b{place}-metric", "").strip()
    elif kind == "sample":
        block["seq"] = data.get(f"b{place}-seq", "").strip() or 0
    return block


def after(action: str, blocks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The blocks after one of the editor's buttons: ``add:chart``, ``up:2``, ``down:2``, ``remove:2``; others change nothing."""
    verb, _, what = action.partition(":")
    if verb == "add" and what in KINDS and len(blocks) < MAX_BLOCKS:
        runs: list[Any] = next((block["runs"] for block in reversed(blocks) if block.get("runs")), [])
        return [*blocks, {"kind": what} if what == "text" else {"kind": what, "runs": runs}]
    if not (what.isascii() and what.isdigit() and int(what[:4]) < len(blocks)):
        return blocks
    place, moved = int(what), list(blocks)
    if verb == "remove":
        del moved[place]
    elif verb == "up" and place > 0:
        moved[place - 1 : place + 1] = [blocks[place], blocks[place - 1]]
    elif verb == "down" and place < len(blocks) - 1:
        moved[place : place + 2] = [blocks[place + 1], blocks[place]]
    return moved


def shown_blocks(blocks: Sequence[AnyBlock | dict[str, Any]]) -> list[dict[str, Any]]:
    """Blocks as the editor's template reads them."""
    plain = [block if isinstance(block, dict) else block.model_dump(mode="json") for block in blocks]
    return [
        {**block, "title": KINDS.get(block["kind"], block["kind"]), "place": place} for place, block in enumerate(plain)
    ]
