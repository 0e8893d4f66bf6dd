"""A sample as its page shows it, in the layout that the method asked for."""

from typing import Any

from webapp.telemetry.lens import Lens
from webapp.telemetry.moves import read_moves
from webapp.telemetry.pairs import outside, read_pairs
from webapp.telemetry.trees import read_tree
from webapp.telemetry.turns import read_turns, thread


def read_sample(data: dict[str, Any], lens: Lens) -> dict[str, Any]:
    """What the templates of the sample's layout read."""
    turns = read_turns(data, lens)
    match data.get("layout"):
        case "game":
            titles = {turn.role: lens.role_title(turn.role) for turn in turns}
            return {"layout": "game", "moves": read_moves(data, turns, titles)}
        case "pairs":
            pairs = read_pairs(data, turns)
            return {"layout": "pairs", "pairs": pairs, "turns": thread(outside(pairs, turns))}
        case "tree":
            return {"layout": "tree", "tree": read_tree(data, turns)}
        case _:
            return {"layout": "thread", "turns": thread(turns)}
