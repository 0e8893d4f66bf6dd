"""Samples and evaluations of every shape a page can show: games, preference pairs, search trees, leagues."""

from collections.abc import Sequence
from typing import Any

START_T = 1_790_000_000.0


def sample_event(seq: int, data: dict[str, Any], *, step: int = 1) -> dict[str, Any]:
    return {"seq": seq, "kind": "sample", "step": step, "t": START_T + seq, "data": data}


def evaluation_event(seq: int, league: dict[str, Any] | None, *, step: int) -> dict[str, Any]:
    scores = {"exploitability": 0.44 / (1 + step / 20), "illegal_rate": 0.1 / (1 + step)}
    data = {"suite": "held_out", "num_items": 400, "scores": scores, "items": [], "league": league}
    return {"seq": seq, "kind": "evaluation", "step": step, "t": START_T + seq, "data": data}


def tic_tac_toe(moves: Sequence[tuple[int, int]] = ((1, 1), (0, 0), (0, 2), (2, 0), (1, 0), (1, 2), (2, 1))) -> Any:
    """A game in which every move marks a cell; the text is what the player thought before it."""
    grid = [["", "", ""] for _ in range(3)]
    turns = []
    for number, (row, column) in enumerate(moves):
        mark = "XO"[number % 2]
        grid[row][column] = mark
        scene = {
            "grid": [list(cells) for cells in grid],
            "marked": [row, column],
            "facts": {"to move": "OX"[number % 2]},
        }
        turns.append(
            {
                "role": f"player_{number % 2}",
                "text": f"<think>I am {mark}. The cell in row {row + 1}, column {column + 1} blocks a line.</think>"
                f"<move>{row * 3 + column}</move>",
                "parsed": f"{mark} to {'abc'[column]}{3 - row}",
                "parent": number - 1 if number else None,
                "rewards": {"result": 0.0},
                "reward": 0.0,
                "advantage": 0.12 if number % 2 else -0.12,
                "trained": True,
                "num_tokens": 24,
                "correct": True,
                "scene": scene,
            }
        )
    facts = {"game": "tic-tac-toe", "result": "drawn", "opponent": "step 40"}
    return {"episode": "7-1", "title": "Tic-tac-toe against step 40", "turns": turns, "layout": "game", "facts": facts}


def kuhn_poker() -> dict[str, Any]:
    """A hand without a board: cards, pot and holdings are facts."""

    def turn(player: int, card: str, made: str, *, pot: int, **more: Any) -> dict[str, Any]:
        facts = {f"player {player}'s card": card, "other's card": "?", "pot": str(pot)}
        return {
            "role": f"player_{player}",
            "text": f"<think>I hold the {card}.</think><move>{made}</move>",
            "parsed": made,
            "num_tokens": 12,
            "trained": True,
            "correct": True,
            "scene": {"facts": facts},
            **more,
        }

    turns = [
        turn(0, "K", "check", pot=2),
        turn(1, "Q", "bet", pot=3, parent=0),
        {**turn(0, "K", "raise", pot=3, parent=1), "correct": False, "note": "There is no raise in this game."},
        turn(0, "K", "call", pot=4, parent=1, reward=2.0),
        {"role": "dealer", "text": "Player 0 shows the K, player 1 the Q. Player 0 wins 2.", "parent": 3},
    ]
    facts = {"game": "kuhn_poker", "result": "player 0 wins 2"}
    return {"episode": "7-2", "title": "Kuhn poker", "turns": turns, "layout": "game", "facts": facts}


def preference_pair(chosen: str, rejected: str, **more: Any) -> dict[str, Any]:
    """A prompt, two answers to it, and the pair they make."""
    prompt = {"role": "oracle", "text": "Tom has 12 apples and buys 7 more. How many does he have?", "num_tokens": 17}
    answers = [
        {
            "role": "player",
            "text": text,
            "parsed": text.split()[-1] if text.split() else None,
            "parent": 0,
            "rewards": {"win_rate": win_rate},
            "reward": win_rate,
            "trained": True,
            "num_tokens": len(text.split()),
            "correct": win_rate > 0.5,
            "logratio": logratio,
        }
        for text, win_rate, logratio in ((chosen, 0.83, 0.41), (rejected, 0.17, -1.27))
    ]
    return {
        "episode": "7-3",
        "title": "Tom has 12 apples and buys 7 more.",
        "turns": [prompt, *answers],
        "layout": "pairs",
        "pairs": [{"chosen": 1, "rejected": 2}],
        "facts": {"iterate": 2.0, "truth": "19"},
        **more,
    }


def search_tree() -> dict[str, Any]:
    """A refinement search: the actor's answer, judged refinements below it, one of them chosen."""

    def node(role: str, text: str, parent: int | None, value: float) -> dict[str, Any]:
        is_good = value > 0.5
        return {"role": role, "text": text, "parent": parent, "value": value, "correct": is_good, "num_tokens": 40}

    turns = [
        node("actor", "Dogs bark. Cats purr. I like both of them very much indeed.", None, 0.0),
        node("refiner", "Dogs bark and cats purr; I like both.", 0, 0.0),
        node("refiner", "dogs bark. cats purr. i like both very much indeed, and so do you.", 0, 0.35),
        node("refiner", "Dogs bark.", 0, 0.1),
        node("refiner", "dogs bark. cats purr. i like both.", 2, 1.0),
        node("refiner", "dogs bark, cats purr, and i like both of them very much indeed.", 2, 0.5),
        node("refiner", "Dogs bark. Cats.", 3, 0.0),
    ]
    return {
        "episode": "7-4",
        "title": "Write about pets in lower case, in at most ten words.",
        "turns": turns,
        "layout": "tree",
        "pairs": [{"chosen": 4, "rejected": 0}],
        "facts": {"search": "breadth-first", "expanded": 3.0, "result": "solved at depth 2"},
    }


def league(names: Sequence[str], *, shift: float = 0.0) -> dict[str, Any]:
    """Players each a little stronger than the one before."""
    size = len(names)
    players = [
        {
            "name": name,
            "rating": 1000 + 80 * place + shift * place,
            "low": 960 + 80 * place + shift * place,
            "high": 1045 + 80 * place + shift * place,
            "games": 40 * (size - 1),
            "won": 20 * place,
            "drawn": 10,
            "lost": 40 * (size - 1) - 20 * place - 10 if size > 1 else 0,
        }
        for place, name in enumerate(names)
    ]
    matrix = [
        [None if a == b or abs(a - b) > 3 else round(0.5 + 0.15 * (a - b), 2) for b in range(size)] for a in range(size)
    ]
    return {"players": players, "matrix": matrix}
