"""What a sample is found by: its question, its verdicts and rewards, its words. Pure functions of the event's data."""

import re
from dataclasses import dataclass
from enum import StrEnum
from hashlib import md5
from itertools import chain
from typing import Any

from webapp.telemetry.rows import RoleTally, finite, is_answering, is_judge, is_proposer, tally

MAX_TITLE, MAX_REASON = 300, 300
MAX_WORD, MAX_WORDS = 60, 40_000
_MAX_PLACE = 16_383
"""The last place that a Postgres text vector can tell apart."""
_SPACES = re.compile(r"[ \t\n\r\f\v]+")
_WORD = re.compile(r"\w+")
_ASCII_WORDS = {code: chr(code).lower() if _WORD.match(chr(code)) else " " for code in range(128)}
"""Makes words of ASCII text ready for ``split``, many times faster than a pattern finds them."""
_PLACES = tuple(f":{min(place, _MAX_PLACE)} " for place in range(1, MAX_WORDS + 1))


class SampleKind(StrEnum):
    """What was played in a sample, whatever the method. Pages call them by ``finding.KINDS``."""

    QUESTION = "question"
    """A question that was there before, and what was answered."""
    PROPOSAL = "proposal"
    """A question that somebody made, and what was answered."""
    GAME = "game"
    SEARCH = "search"
    """A question and the tree of its answers."""
    PRACTICE = "practice"
    """A role rehearsed by itself."""


_KIND_OF_LAYOUT = {"game": SampleKind.GAME, "tree": SampleKind.SEARCH}


@dataclass(frozen=True, kw_only=True)
class Findings:
    """A sample's row but for run, seq and step, in the columns of ``models.Sample``."""

    episode: str
    title: str
    layout: str
    kind: str
    rank: int
    group_key: str
    parent_key: str
    made: bool
    kept: bool | None
    discard_reason: str
    zero_signal: bool
    disagrees: int
    num_turns: int
    num_pairs: int
    num_right: int
    num_wrong: int
    solved: float | None
    reward_min: float | None
    reward_mean: float | None
    reward_max: float | None
    result: str
    roles: list[RoleTally]
    search: str
    """As Postgres reads a text vector: ``what:1 is:2 3:3,5``."""


def findings(data: dict[str, Any]) -> Findings:
    """What the index says about a sample event."""
    turns: list[dict[str, Any]] = data["turns"]
    facts: dict[str, Any] = data.get("facts") or {}
    title, parent = str(data["title"]), data.get("parent") or facts.get("reference")
    roles = tally(turns)
    answering = [row for row in roles if is_answering(row["role"])]
    num_right, num_wrong = sum(row["right"] for row in answering), sum(row["wrong"] for row in answering)
    rewards = [float(turn["reward"]) for turn in turns if finite(turn.get("reward")) is not None]
    kept = facts.get("kept")
    kind = kind_of(data)
    return Findings(
        episode=str(data["episode"]),
        title=title[:MAX_TITLE],
        layout=str(data.get("layout") or "thread"),
        kind=kind,
        rank=0 if kind == SampleKind.PRACTICE else 1 + any(is_answering(row["role"]) for row in roles),
        group_key=group_key(title),
        parent_key=group_key(str(parent)) if parent else "",
        made=is_made(turns),
        kept=kept if isinstance(kept, bool) else None,
        discard_reason=_discard_reason(data, facts)[:MAX_REASON],
        zero_signal=is_without_signal(turns),
        disagrees=sum(row["wrong"] for row in roles if is_judge(row["role"])),
        num_turns=len(turns),
        num_pairs=len(data.get("pairs") or ()),
        num_right=num_right,
        num_wrong=num_wrong,
        solved=_solved(num_right, num_wrong, facts.get("solved")),
        reward_min=min(rewards, default=None),
        reward_mean=sum(rewards) / len(rewards) if rewards else None,
        reward_max=max(rewards, default=None),
        result="" if facts.get("result") is None else str(facts["result"])[:MAX_REASON],
        roles=roles,
        search=_search(title, turns),
    )


def kind_of(data: dict[str, Any]) -> SampleKind:
    """Told by what the sample is made of, so that no method has to be known."""
    if data.get("practice") or (data.get("facts") or {}).get("practice") is True:
        return SampleKind.PRACTICE
    shape = _KIND_OF_LAYOUT.get(str(data.get("layout")))
    return shape or (SampleKind.PROPOSAL if is_made(data["turns"]) else SampleKind.QUESTION)


def is_made(turns: list[dict[str, Any]]) -> bool:
    """Whether the question was made in this sample."""
    return bool(turns) and is_proposer(str(turns[0]["role"]))


def group_key(question: str) -> str:
    """Equal for equal questions, whatever the spaces between their words; case tells questions apart."""
    return md5(_SPACES.sub(" ", question).strip(" ").encode(), usedforsecurity=False).hexdigest()[:16]


def words(text: str) -> list[str]:
    """The words that a text is found by: runs of letters, digits and underscores, in lower case."""
    found: list[str] = text.translate(_ASCII_WORDS).split() if text.isascii() else _WORD.findall(text.lower())
    return found if max(map(len, found), default=0) <= MAX_WORD else [word[:MAX_WORD] for word in found]


def is_without_signal(turns: list[dict[str, Any]]) -> bool:
    """Whether completions were to be learnt from, but the update could not prefer any of them to another.

    Their advantages tell; where there are none yet, a role whose several completions all earned the same.
    """
    trained = [turn for turn in turns if turn.get("trained")]
    advantages = [turn["advantage"] for turn in trained if turn.get("advantage") is not None]
    if advantages:
        return not any(advantages)
    rewards: dict[str, list[float]] = {}
    for turn in trained:
        if turn.get("reward") is not None:
            rewards.setdefault(str(turn["role"]), []).append(turn["reward"])
    return bool(rewards) and all(len(earned) > 1 and len(set(earned)) == 1 for earned in rewards.values())


def _discard_reason(data: dict[str, Any], facts: dict[str, Any]) -> str:
    whole = data.get("discarded") or facts.get("reject_reason")
    parts = (turn["discarded"] for turn in data["turns"] if turn.get("discarded"))
    return str(whole or next(parts, ""))


def _solved(num_right: int, num_wrong: int, measured: Any) -> float | None:
    if num_right + num_wrong:
        return num_right / (num_right + num_wrong)
    return finite(float(measured)) if isinstance(measured, int | float) else None


def _search(title: str, turns: list[dict[str, Any]]) -> str:
    """The words of title and texts, each with its place among them."""
    found = words("\n".join([title, *(str(turn["text"]) for turn in turns)]))[:MAX_WORDS]
    return "".join(chain.from_iterable(zip(found, _PLACES, strict=False)))
