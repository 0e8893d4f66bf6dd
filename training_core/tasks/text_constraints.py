"""Constraints on short texts in plain language, of the kinds that IFEval checks by rules (Zhou et al. 2023, arXiv 2311.07911).

Words are compared without regard to case. Kinds that stand in each other's way share a slot of which an instruction uses one.
"""

import random
import re
from collections.abc import Callable, Sequence
from itertools import pairwise

from training_core.tasks.clauses import Clause, Kind


def _listed(words: str) -> list[str]:
    return words.split()


TOPICS = _listed(
    "bridges bread clocks deserts dolphins forests gardens glaciers harbours honey islands kites ladders libraries "
    "lighthouses markets mountains music oceans owls painting planets railways rivers ships snow stars storms tea "
    "theatres trees umbrellas violins volcanoes whales windmills"
)
WORDS = _listed(
    "bright calm early empty gentle green heavy hidden late little lonely narrow near never often old once other "
    "perhaps quiet rare red silver simple slow soft still strong sudden tall warm while wide wild wooden young"
)
_FILLERS = _listed("and then it goes on in its own way for people who look at it again with fresh eyes")
_WORD = re.compile(r"[^\W\d_]+(?:['\u2019-][^\W\d_]+)*")
_SENTENCE_END = re.compile(r"[.!?]+[\"')\]\u201d\u2019]*(?=\s|$)")
_BULLET = re.compile(r"^[ \t]*[-*][ \t]+\S", re.MULTILINE)
_PARAGRAPH_BREAK = re.compile(r"\n[ \t]*\n")


def _words(text: str) -> list[str]:
    return [word.casefold() for word in _WORD.findall(text)]


def _num_words(text: str, *_: str) -> str:
    return str(len(_words(text)))


def _num_sentences(text: str, *_: str) -> str:
    return str(sum(bool(_WORD.search(piece)) for piece in _SENTENCE_END.split(text)))


def _num_paragraphs(text: str, *_: str) -> str:
    return str(sum(bool(piece.strip()) for piece in _PARAGRAPH_BREAK.split(text)))


def _num_bullets(text: str, *_: str) -> str:
    return str(len(_BULLET.findall(text)))


def _count_word(text: str, word: str) -> str:
    return str(_words(text).count(word))


def _count_repeated(text: str, word: str, number: str) -> str:
    return _count_word(text, word)


def _first_word(text: str, *_: str) -> str:
    return next(iter(_words(text)), "")


def _last_word(text: str, *_: str) -> str:
    return next(reversed(_words(text)), "")


def _letter_case(text: str, *_: str) -> str:
    if text != text.lower():
        return "upper" if text == text.upper() else "mixed"
    return "lower"


def _at_least(found: str, number: str) -> bool:
    return int(found) >= int(number)


def _some(found: str, *_: str) -> bool:
    return found != "0"


def _none(found: str, *_: str) -> bool:
    return found == "0"


ABOUT = Kind(name="about", sentence="Write a short text about {word}.", found=_num_words, meets=_some)
WORDS_MIN = Kind(name="words_min", sentence="Use at least {number} words.", found=_num_words, meets=_at_least)
WORDS_MAX = Kind(
    name="words_max",
    sentence="Use at most {number} words.",
    found=_num_words,
    meets=lambda found, number: int(found) <= int(number),
)
SENTENCES = Kind(name="sentences", sentence="Write exactly {number} sentences.", found=_num_sentences)
PARAGRAPHS = Kind(
    name="paragraphs",
    sentence="Write exactly {number} paragraphs with an empty line between them.",
    found=_num_paragraphs,
)
BULLETS = Kind(
    name="bullets",
    sentence="Write exactly {number} bullet points, each on a line of its own that begins with a hyphen and a space.",
    found=_num_bullets,
)
INCLUDE = Kind(name="include", sentence='Use the word "{word}".', found=_count_word, meets=_some)
REPEAT = Kind(
    name="repeat",
    sentence='Use the word "{word}" at least this many times: {number}.',
    found=_count_repeated,
    meets=lambda found, word, number: int(found) >= int(number),
)
AVOID = Kind(name="avoid", sentence='Do not use the word "{word}".', found=_count_word, meets=_none)
FIRST = Kind(name="first", sentence='Begin with the word "{word}".', found=_first_word)
LAST = Kind(name="last", sentence='End with the word "{word}".', found=_last_word)
LOWER = Kind(
    name="lower",
    sentence="Write everything in lower case, without any capital letters.",
    found=_letter_case,
    meets=lambda found: found == "lower",
)
CAPITALS = Kind(
    name="capitals",
    sentence="Write everything in capital letters.",
    found=_letter_case,
    meets=lambda found: found == "upper",
)
NO_COMMAS = Kind(
    name="no_commas", sentence="Do not use any commas.", found=lambda text: str(text.count(",")), meets=_none
)
NO_DIGITS = Kind(
    name="no_digits",
    sentence="Do not use any digits.",
    found=lambda text: str(sum(map(str.isdigit, text))),
    meets=_none,
)
_SLOTS: tuple[tuple[Kind, ...], ...] = (
    (WORDS_MIN, WORDS_MAX),
    (SENTENCES, PARAGRAPHS, BULLETS),
    (INCLUDE, REPEAT),
    (AVOID,),
    (FIRST,),
    (LAST,),
    (LOWER, CAPITALS),
    (NO_COMMAS,),
    (NO_DIGITS,),
)
_RANGES = {
    "words_min": (20, 60),
    "words_max": (20, 60),
    "sentences": (2, 5),
    "paragraphs": (2, 4),
    "bullets": (2, 5),
    "repeat": (2, 3),
}
_SPOILERS: dict[str, Callable[..., str]] = {
    "about": lambda text, word: "...",
    "words_min": lambda text, number: " ".join(text.split()[:3]),
    "words_max": lambda text, number: " ".join([text] * 5),
    "sentences": lambda text, number: text + " There is more.",
    "paragraphs": lambda text, number: text + "\n\nThere is more.",
    "bullets": lambda text, number: text + "\n- more",
    "include": lambda text, word: re.sub(rf"\b{word}\b", "", text, flags=re.IGNORECASE),
    "repeat": lambda text, word, number: re.sub(rf"\b{word}\b", "", text, count=1, flags=re.IGNORECASE),
    "avoid": lambda text, word: f"{text} {word}",
    "first": lambda text, word: "now " + text,
    "last": lambda text, word: text + " indeed",
    "lower": lambda text: text + " Indeed",
    "capitals": lambda text: text.lower(),
    "no_commas": lambda text: text + ", yes",
    "no_digits": lambda text: text + " 7",
}
"""For each kind, a small change that usually fails it."""


class TextFamily:
    """Short texts about a topic."""

    kinds: Sequence[Kind] = (ABOUT, *(kind for slot in _SLOTS for kind in slot))
    opening = ""

    def well_formed(self, text: str) -> bool:
        return bool(_WORD.search(text))

    def draw(self, size: int, rng: random.Random) -> list[Clause]:
        slots = sorted(rng.sample(range(len(_SLOTS)), min(size, len(_SLOTS))))
        words = iter(rng.sample(WORDS, len(_SLOTS)))
        kinds = [rng.choice(_SLOTS[place]) for place in slots]
        return [Clause(ABOUT, (rng.choice(TOPICS),)), *(_filled(kind, next(words), rng) for kind in kinds)]

    def consistent(self, clauses: Sequence[Clause]) -> bool:
        kinds = {clause.kind.name for clause in clauses}
        crowded = any(sum(kind.name in kinds for kind in slot) > 1 for slot in _SLOTS)
        avoided = {clause.values[0] for clause in clauses if clause.kind is AVOID}
        asked = {clause.values[0] for clause in clauses if clause.kind in (ABOUT, INCLUDE, REPEAT, FIRST, LAST)}
        numbers = [(int(value), clause.kind) for clause in clauses for value in clause.values if value.isdigit()]
        in_range = all(_allowed(kind, number) for number, kind in numbers)
        return not crowded and in_range and not asked & avoided

    def write(self, clauses: Sequence[Clause], rng: random.Random) -> str:
        """A dull text by rule: its topic and the words asked for among fillers, in as many pieces as asked for."""
        wanted = {clause.kind.name: clause.values for clause in clauses}
        word, number = wanted["repeat"] if "repeat" in wanted else (wanted.get("include", ("",))[0], "1")
        body = [wanted["about"][0] if "about" in wanted else "something", *([word] * int(number) if word else [])]
        least = int(wanted["words_min"][0]) if "words_min" in wanted else 16
        avoided = wanted.get("avoid", ("",))[0]
        fillers = [each for each in _FILLERS if each != avoided]
        while len(body) < least:
            body.append(fillers[len(body) % len(fillers)])
        rng.shuffle(body)
        body = [*wanted.get("first", ()), *body, *wanted.get("last", ())]
        text = _in_pieces(body, wanted)
        return text.upper() if "capitals" in wanted else text

    def spoil(self, clauses: Sequence[Clause], text: str, rng: random.Random) -> str:
        while True:
            clause = rng.choice(clauses)
            spoilt = _SPOILERS[clause.kind.name](text, *clause.values)
            if not all(clause.holds(spoilt) for clause in clauses):
                return spoilt


def _filled(kind: Kind, word: str, rng: random.Random) -> Clause:
    number = str(rng.randint(*_RANGES.get(kind.name, (1, 1))))
    return Clause(kind, tuple(number if slot == "number" else word for slot in kind.slots))


def _allowed(kind: Kind, number: int) -> bool:
    least, most = _RANGES[kind.name]
    return least <= number <= most


def _in_pieces(words: Sequence[str], wanted: dict[str, tuple[str, ...]]) -> str:
    """The words as sentences, paragraphs or bullet points; each piece has at least three of them."""
    form = next((name for name in ("sentences", "paragraphs", "bullets") if name in wanted), "sentences")
    number = int(wanted[form][0]) if form in wanted else 1
    cuts = [len(words) * place // number for place in range(number + 1)]
    pieces = [" ".join(words[begin:end]) for begin, end in pairwise(cuts)]
    if "lower" not in wanted:
        pieces = [piece[:1].upper() + piece[1:] for piece in pieces]
    match form:
        case "bullets":
            return "\n".join(f"- {piece}" for piece in pieces)
        case "paragraphs":
            return "\n\n".join(f"{piece}." for piece in pieces)
    return " ".join(f"{piece}." for piece in pieces)
