"""The frontier of questions: too easy, at the edge of what can be solved, too hard, or ill-posed."""

from collections import Counter
from collections.abc import Sequence


class Frontier:
    """Counts the questions of a step by how their answers came out.

    All right is too easy, none right too hard, some right is the edge, where there is something to learn; a question that is no
    question counts as ill-posed whatever was answered. One answer alone tells nothing and is not counted.
    """

    KINDS = ("too_easy", "edge", "too_hard", "ill_posed")

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def asked(self, right: Sequence[bool], *, ill_posed: bool = False) -> None:
        if ill_posed:
            self._counts["ill_posed"] += 1
        elif len(right) > 1:
            self._counts["too_easy" if all(right) else "edge" if any(right) else "too_hard"] += 1

    def metrics(self) -> dict[str, float]:
        """``frontier/<kind>``: shares of the step's questions, adding up to 1; nothing where none was counted."""
        total = self._counts.total()
        return {f"frontier/{kind}": self._counts[kind] / total for kind in self.KINDS} if total else {}
