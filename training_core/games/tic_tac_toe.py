"""Tic-tac-toe: three in a row on nine cells. With perfect play nobody loses."""

from dataclasses import dataclass, replace

from training_core.games.base import OVER, Game, IllegalMove, Position
from training_core.spec.events import Scene

SYMBOLS = ("X", "O")
_LINES = ((0, 1, 2), (3, 4, 5), (6, 7, 8), (0, 3, 6), (1, 4, 7), (2, 5, 8), (0, 4, 8), (2, 4, 6))


@dataclass(frozen=True)
class Board(Position):
    """Cells from the top left, empty or a symbol: ``Board(cells=("X", "", ...), last=0)``."""

    cells: tuple[str, ...] = ("",) * 9
    last: int | None = None
    """The cell of the newest move."""

    @property
    def to_move(self) -> int:
        return OVER if self.winner is not None or "" not in self.cells else sum(map(bool, self.cells)) % 2

    @property
    def winner(self) -> int | None:
        """The player who has three in a row."""
        for a, b, c in _LINES:
            if self.cells[a] and self.cells[a] == self.cells[b] == self.cells[c]:
                return SYMBOLS.index(self.cells[a])
        return None

    def completing(self, player: int) -> tuple[str, ...]:
        """Empty cells with which ``player`` would have three in a row."""
        symbol, found = SYMBOLS[player], []
        for line in _LINES:
            cells = [self.cells[place] for place in line]
            if cells.count(symbol) == 2 and "" in cells:
                found.append(str(line[cells.index("")] + 1))
        return tuple(sorted(set(found)))

    def actions(self) -> tuple[str, ...]:
        if self.to_move == OVER:
            return ()
        return tuple(str(place + 1) for place, cell in enumerate(self.cells) if not cell)

    def play(self, action: str) -> "Board":
        if action not in self.actions():
            raise IllegalMove(f"{action!r} is no empty cell")
        place = int(action) - 1
        cells = (*self.cells[:place], SYMBOLS[self.to_move], *self.cells[place + 1 :])
        return replace(self, cells=cells, last=place)

    @property
    def returns(self) -> tuple[float, float]:
        match self.winner:
            case 0:
                return (1.0, -1.0)
            case 1:
                return (-1.0, 1.0)
        return (0.0, 0.0)

    def observation(self, player: int) -> str:
        shown = [cell or str(place + 1) for place, cell in enumerate(self.cells)]
        rows = "\n".join(" ".join(shown[row : row + 3]) for row in (0, 3, 6))
        return f"You play {SYMBOLS[player]}. The board, with the numbers of empty cells:\n{rows}"

    def code(self, player: int) -> str:
        """``a234E6789``: own cells a to i, the other's A to I, empty ones 1 to 9. Both seats see one kind of board, and every cell
        says by itself where it is, which spares a small model to count."""
        own, other, empty = "abcdefghi", "ABCDEFGHI", "123456789"
        letters = {SYMBOLS[player]: own, SYMBOLS[1 - player]: other, "": empty}
        return "".join(letters[cell][place] for place, cell in enumerate(self.cells))

    def scene(self) -> Scene:
        grid = [list(self.cells[row : row + 3]) for row in (0, 3, 6)]
        return Scene(grid=grid, marked=None if self.last is None else divmod(self.last, 3))


class TicTacToe(Game):
    """X moves first. Winning pays 1."""

    name = "tic_tac_toe"
    title = "Tic-tac-toe"
    rules = (
        "This is tic-tac-toe on a board of nine cells, numbered 1 to 9 row by row from the top left. X moves first. "
        "A move is the number of an empty cell. Three of your own symbols in a row, column or diagonal win."
    )

    def start(self) -> Board:
        return Board()
