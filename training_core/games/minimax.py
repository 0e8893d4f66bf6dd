"""Perfect play in small games without chance or secrets."""

from training_core.games.base import OVER, Position


class Minimax:
    """Values of positions by looking to the end of the game, each looked at once."""

    def __init__(self) -> None:
        self._values: dict[Position, float] = {}

    def value(self, position: Position) -> float:
        """What player 0 wins when both play their best from here on."""
        if position not in self._values:
            self._values[position] = self._look(position)
        return self._values[position]

    def best(self, position: Position) -> tuple[str, ...]:
        """Every move that gives nothing away."""
        value = self.value(position)
        return tuple(action for action in position.actions() if self.value(position.play(action)) == value)

    def _look(self, position: Position) -> float:
        if position.to_move == OVER:
            return position.returns[0]
        values = [self.value(position.play(action)) for action in position.actions()]
        return max(values) if position.to_move == 0 else min(values)
