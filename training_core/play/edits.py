"""How far two texts are apart, in edits."""

from collections.abc import Sequence

_LONGEST_BY_LETTER = 200
"""Characters up to which texts are compared letter by letter; longer ones go word by word."""
_MOST_WORDS = 2_000


def edit_distance(first: Sequence[str], second: Sequence[str]) -> int:
    """Fewest insertions, deletions and replacements that turn one sequence into the other (Levenshtein)."""
    first, second = _without_common_ends(first, second)
    above = list(range(len(second) + 1))
    for row, left in enumerate(first, start=1):
        here = [row]
        for column, right in enumerate(second, start=1):
            here.append(min(above[column] + 1, here[column - 1] + 1, above[column - 1] + (left != right)))
        above = here
    return above[-1]


def edit_share(first: str, second: str) -> float:
    """The edit distance as a share of the longer text: 0 for equal texts, 1 where nothing is left."""
    if max(len(first), len(second)) <= _LONGEST_BY_LETTER:
        return _share(first, second)
    return _share(first.split()[:_MOST_WORDS], second.split()[:_MOST_WORDS])


def _share(first: Sequence[str], second: Sequence[str]) -> float:
    longer = max(len(first), len(second))
    return edit_distance(first, second) / longer if longer else 0.0


def _without_common_ends(first: Sequence[str], second: Sequence[str]) -> tuple[Sequence[str], Sequence[str]]:
    shorter = min(len(first), len(second))
    begin = next((place for place in range(shorter) if first[place] != second[place]), shorter)
    first, second = first[begin:], second[begin:]
    shorter = min(len(first), len(second))
    end = next((place for place in range(shorter) if first[-1 - place] != second[-1 - place]), shorter)
    return first[: len(first) - end], second[: len(second) - end]
