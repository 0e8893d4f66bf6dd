"""Constraints on short strings of letters, such as ``len=6 start=b no=e upper=2``; letters count in either case.

What a constraint leaves open is free, so most instructions have very many right answers.
"""

import random
from collections.abc import Sequence

from training_core.tasks.clauses import Clause, Kind

LETTERS = "abcdefgh"
MIN_LENGTH = 3
"""A first, a last and one further letter always fit."""
_CAPITAL_SHARE = 0.25
"""Share of capitals where nothing is asked of them."""


def _starts(text: str, letter: str) -> str:
    return text[:1].lower()


def _ends(text: str, letter: str) -> str:
    return text[-1:].lower()


def _counts(text: str, letter: str) -> str:
    return str(text.lower().count(letter))


LENGTH = Kind(name="len", sentence="It has exactly {number} letters.", found=lambda text, _: str(len(text)))
START = Kind(name="start", sentence="It starts with the letter {letter}, in either case.", found=_starts)
END = Kind(name="end", sentence="It ends with the letter {letter}, in either case.", found=_ends)
HAS = Kind(
    name="has",
    sentence="It contains the letter {letter}, in either case.",
    found=_counts,
    meets=lambda found, letter: found != "0",
)
NO = Kind(
    name="no",
    sentence="It does not contain the letter {letter} in either case.",
    found=_counts,
    meets=lambda found, letter: found == "0",
)
UPPER = Kind(
    name="upper",
    sentence="Exactly {number} of its letters are capitals.",
    found=lambda text, _: str(sum(map(str.isupper, text))),
)


class StringFamily:
    """Strings of up to ``max_length`` of the letters a to h."""

    kinds: Sequence[Kind] = (LENGTH, START, END, HAS, NO, UPPER)
    opening = "Write one string of letters without spaces."

    def __init__(self, *, max_length: int) -> None:
        self._max_length = max_length

    def well_formed(self, text: str) -> bool:
        return text.isascii() and text.isalpha()

    def draw(self, size: int, rng: random.Random) -> list[Clause]:
        chosen = sorted(rng.sample(range(len(self.kinds)), min(size, len(self.kinds))))
        length = rng.randint(MIN_LENGTH, self._max_length)
        allowed = list(LETTERS)
        forbidden = allowed.pop(rng.randrange(len(allowed)))
        values = {
            "len": str(length),
            "no": forbidden,
            "upper": str(rng.randint(0, min(length, 4))),
            **{name: rng.choice(allowed) for name in ("start", "end", "has")},
        }
        return [Clause(kind, (values[kind.name],)) for kind in (self.kinds[place] for place in chosen)]

    def consistent(self, clauses: Sequence[Clause]) -> bool:
        wanted = {clause.kind.name: clause.values[0] for clause in clauses}
        length = int(wanted.get("len", self._max_length))
        letters = {wanted[name] for name in ("start", "end", "has") if name in wanted}
        return (
            MIN_LENGTH <= length <= self._max_length
            and int(wanted.get("upper", 0)) <= length
            and wanted.get("no") not in letters
            and letters | {wanted.get("no", "a")} <= set(LETTERS)
        )

    def write(self, clauses: Sequence[Clause], rng: random.Random) -> str:
        wanted = {clause.kind.name: clause.values[0] for clause in clauses}
        fewest = max(MIN_LENGTH, int(wanted.get("upper", 0)))
        length = int(wanted.get("len", 0)) or rng.randint(fewest, self._max_length)
        letters = [rng.choice(self._allowed(wanted)) for _ in range(length)]
        letters[0] = wanted.get("start", letters[0])
        letters[-1] = wanted.get("end", letters[-1])
        if "has" in wanted and wanted["has"] not in letters:
            letters[rng.randrange(1, length - 1)] = wanted["has"]
        num_capitals = int(wanted["upper"]) if "upper" in wanted else sum(_capitals(rng) for _ in letters)
        for place in rng.sample(range(length), num_capitals):
            letters[place] = letters[place].upper()
        return "".join(letters)

    def repair(self, clauses: Sequence[Clause], text: str, rng: random.Random) -> str:
        """The text changed where it fails a clause, and only there; what no small change can mend is written anew."""
        wanted = {clause.kind.name: clause.values[0] for clause in clauses}
        letters = [letter for letter in text if letter.lower() in LETTERS] or [rng.choice(self._allowed(wanted))]
        self._fit_length(letters, wanted, rng)
        for place, letter in enumerate(letters):
            if letter.lower() == wanted.get("no"):
                letters[place] = _like(letter, rng.choice(self._allowed(wanted)))
        for place, name in ((0, "start"), (-1, "end")):
            if name in wanted and letters[place].lower() != wanted[name]:
                letters[place] = _like(letters[place], wanted[name])
        if "has" in wanted and wanted["has"] not in "".join(letters).lower():
            place = rng.randrange(1, len(letters) - 1)
            letters[place] = _like(letters[place], wanted["has"])
        if "upper" in wanted:
            _fit_capitals(letters, int(wanted["upper"]), rng)
        mended = "".join(letters)
        return mended if all(clause.holds(mended) for clause in clauses) else self.write(clauses, rng)

    def spoil(self, clauses: Sequence[Clause], text: str, rng: random.Random) -> str:
        while True:
            spoilt = self._slip(rng.choice(clauses), text, rng)
            if spoilt and not all(clause.holds(spoilt) for clause in clauses):
                return spoilt

    def _fit_length(self, letters: list[str], wanted: dict[str, str], rng: random.Random) -> None:
        least = max(MIN_LENGTH, int(wanted.get("upper", 0)))
        length = int(wanted.get("len", 0)) or max(least, min(self._max_length, len(letters)))
        while len(letters) > length:
            letters.pop(rng.randrange(1, len(letters) - 1))
        while len(letters) < length:
            letters.insert(rng.randrange(1, len(letters) + 1), rng.choice(self._allowed(wanted)))

    def _slip(self, clause: Clause, text: str, rng: random.Random) -> str:
        """The text as somebody writes it who is careless about one clause."""
        place = rng.randrange(len(text))
        letter, other = clause.values[0], rng.choice(LETTERS)
        match clause.kind.name:
            case "len":
                longer = rng.random() < 0.5
                return text[:place] + other + text[place:] if longer else text[:place] + text[place + 1 :]
            case "start":
                return _like(text[0], other) + text[1:]
            case "end":
                return text[:-1] + _like(text[-1], other)
            case "has":
                return "".join(_like(c, rng.choice(LETTERS)) if c.lower() == letter else c for c in text)
            case "no":
                return text[:place] + _like(text[place], letter) + text[place + 1 :]
        return text[:place] + text[place].swapcase() + text[place + 1 :]

    def _allowed(self, wanted: dict[str, str]) -> str:
        return LETTERS.replace(wanted["no"], "") if "no" in wanted else LETTERS


def checked(clauses: Sequence[Clause], text: str, found: Sequence[str] | None = None) -> str:
    """Each clause with what the text has, marked ``.`` where that is enough and ``!`` where it is not.

    Example: ``len=6:6.start=b:c!`` for ``len=6 start=b`` and ``cabdea``. ``found`` replaces what the rules find.
    """
    seen = [clause.found(text) for clause in clauses] if found is None else found
    marks = [
        "." if clause.kind.meets(each, *clause.values) else "!" for clause, each in zip(clauses, seen, strict=True)
    ]
    return "".join(f"{c.code}:{each}{mark}" for c, each, mark in zip(clauses, seen, marks, strict=True))


def _fit_capitals(letters: list[str], num_capitals: int, rng: random.Random) -> None:
    capitals = [place for place, letter in enumerate(letters) if letter.isupper()]
    small = [place for place in range(len(letters)) if place not in capitals]
    surplus = len(capitals) - num_capitals
    for place in rng.sample(capitals, surplus) if surplus > 0 else rng.sample(small, min(-surplus, len(small))):
        letters[place] = letters[place].swapcase()


def _capitals(rng: random.Random) -> bool:
    return rng.random() < _CAPITAL_SHARE


def _like(letter: str, other: str) -> str:
    """The other letter in the case of the first."""
    return other.upper() if letter.isupper() else other
