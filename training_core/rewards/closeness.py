"""How close an answer comes to the right one, for tasks where being nearly right is worth something."""

MAX_TEXT = 10_000


def share_in_place(answer: str, expected: str) -> float:
    """Share of characters that stand in their right place: ``share_in_place("1244", "1234")`` is 0.75.

    Numbers are compared from the right, so that units meet units, other texts from the left; what one has more than the
    other counts as wrong.
    """
    answer, expected = answer.strip()[:MAX_TEXT], expected.strip()[:MAX_TEXT]
    longest = max(len(answer), len(expected))
    if longest == 0:
        return 1.0
    if expected.isdigit():
        answer, expected = answer[::-1], expected[::-1]
    return sum(one == other for one, other in zip(answer, expected, strict=False)) / longest
