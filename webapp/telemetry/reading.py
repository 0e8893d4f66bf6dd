"""A sample as its page shows it, in the layout that the method asked for."""

from typing import Any

from webapp.telemetry.lens import Lens
from webapp.telemetry.moves import read_moves
from webapp.telemetry.pairs import outside, read_pairs
from webapp.telemetry.rows import is_proposer
from webapp.telemetry.sample_index import SampleKind, group_key, is_without_signal, kind_of
from webapp.telemetry.siblings import siblings_of
from webapp.telemetry.trees import read_tree
from webapp.telemetry.turns import entries, read_turns

_SHOWN_ELSEWHERE = frozenset({"reference", "reject_reason", "practice"})
"""Facts of earlier versions that have a place of their own now."""


def read_sample(data: dict[str, Any], lens: Lens) -> dict[str, Any]:
    """What the templates of the sample's layout read."""
    turns = read_turns(data, lens)
    facts = data.get("facts") or {}
    read: dict[str, Any] = {
        "discarded": data.get("discarded") or facts.get("reject_reason"),
        "is_without_signal": is_without_signal(data["turns"]),
        "is_practice": kind_of(data) == SampleKind.PRACTICE,
        "facts": {name: value for name, value in facts.items() if name not in _SHOWN_ELSEWHERE},
        "parent": data.get("parent") or facts.get("reference"),
        "parent_key": group_key(str(data.get("parent") or facts.get("reference") or "")),
        "made": bool(turns) and is_proposer(turns[0].role),
        "key": group_key(str(data["title"])),
        "has_trained": any(turn.get("trained") for turn in data["turns"]),
        "estimator": lens.estimator,
    }
    match data.get("layout"):
        case "game":
            titles = {turn.role: lens.role_title(turn.role) for turn in turns}
            return read | {"layout": "game", "moves": read_moves(data, turns, titles)}
        case "pairs":
            pairs = read_pairs(data, turns)
            beside = entries(outside(pairs, turns))
            return read | {"layout": "pairs", "pairs": pairs, "entries": beside, "siblings": siblings_of(turns, lens)}
        case "tree":
            return read | {"layout": "tree", "tree": read_tree(data, turns)}
        case _:
            return read | {"layout": "thread", "entries": entries(turns), "siblings": siblings_of(turns, lens)}
