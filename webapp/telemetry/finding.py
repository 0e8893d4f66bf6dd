"""Which samples a person looks for: kinds, roles, steps, rewards, words; as conditions on the index."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Self
from urllib.parse import urlencode

from django.db.models import BooleanField, Exists, F, OuterRef, Q, QuerySet
from django.db.models.expressions import RawSQL

from webapp.review.models import Mark
from webapp.telemetry.lens import Lens
from webapp.telemetry.models import Sample
from webapp.telemetry.sample_index import SampleKind, words

MAX_TEXT, MAX_ROLE, _MAX_KIND = 200, 80, 10
_MIN_PREFIX = 3
"""Words of at least so many letters find the longer words that begin with them."""
_FEW = 300
_CHUNK = re.compile(r'"([^"]*)"?|(\S+)')

PLAYED = "played"
KINDS = {
    PLAYED: "All but practice",
    SampleKind.QUESTION: "Questions",
    SampleKind.PROPOSAL: "New questions",
    SampleKind.GAME: "Games",
    SampleKind.SEARCH: "Searches",
    SampleKind.PRACTICE: "Practice",
}
"""What samples are, by the method's play."""
SHOW = {
    "all": "All samples",
    "disagreement": "Judge against the truth",
    "wrong": "With a wrong answer",
    "right": "With a right answer",
    "zero": "Without a signal to learn from",
    "discarded": "Discarded, wholly or in part",
    "kept": "Question kept",
    "rejected": "Question rejected",
    "marked": "Marked by the team",
}
_NEEDS = {"disagreement": "judge", "kept": "proposer", "rejected": "proposer"}
"""Kinds of samples that only some methods have, with the role that makes them."""
_KINDS = {
    "disagreement": Q(disagrees__gt=0),
    "wrong": Q(num_wrong__gt=0),
    "right": Q(num_right__gt=0),
    "zero": Q(zero_signal=True),
    "discarded": ~Q(discard_reason=""),
    "kept": Q(kept=True),
    "rejected": Q(kept=False),
    "marked": Q(Exists(Mark.objects.filter(run=OuterRef("run_id"), episode=OuterRef("episode")))),
}
ORDERS = {
    "newest": ("-step", "-rank", "-seq"),
    "oldest": ("step", "-rank", "seq"),
    "best": (F("reward_mean").desc(nulls_last=True), "-seq"),
    "worst": (F("reward_mean").asc(nulls_last=True), "-seq"),
    "spread": ((F("reward_max") - F("reward_min")).desc(nulls_last=True), "-seq"),
}


OF_THE_TEAM = frozenset({"marked"})
"""Kinds that tell what members think, which is no business of whoever holds a share link."""


def shown_kinds(lens: Lens, *, for_team: bool = True) -> dict[str, str]:
    """The kinds of samples that a run of this method can have, with their titles."""
    roles = " ".join(role.name for role in lens.roles)
    known = {kind: title for kind, title in SHOW.items() if not roles or _NEEDS.get(kind, "") in roles}
    return {kind: title for kind, title in known.items() if for_team or kind not in OF_THE_TEAM}


@dataclass(frozen=True, kw_only=True)
class SampleFilter:
    """Which samples to list: ``SampleFilter(kind="game", show="wrong", role="solver", text="17")``."""

    kind: str = ""
    """One of ``KINDS``; empty for samples of every kind."""
    show: str = "all"
    """One of ``SHOW``."""
    role: str = ""
    step: int | None = None
    step_from: int | None = None
    step_to: int | None = None
    reward_from: float | None = None
    reward_to: float | None = None
    """Ends of the range that the mean reward lies in."""
    group: str = ""
    text: str = ""

    @classmethod
    def from_query(cls, given: Mapping[str, str]) -> Self:
        """The filter that an address names; what makes no sense reads as not given."""
        return cls(
            kind=given.get("kind", "")[:_MAX_KIND],
            show=given.get("show", "all"),
            role=given.get("role", "")[:MAX_ROLE],
            step=whole(given.get("step", "")),
            step_from=whole(given.get("step_from", "")),
            step_to=whole(given.get("step_to", "")),
            reward_from=_real(given.get("reward_from", "")),
            reward_to=_real(given.get("reward_to", "")),
            group=given.get("group", "")[:16],
            text=given.get("text", "")[:MAX_TEXT],
        )

    @property
    def query(self) -> str:
        """The filter as part of an address, empty where it lets everything pass."""
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        return urlencode({name: value for name, value in given.items() if value not in ("", None, "all")})

    def outside(self) -> Self:
        """The same for whoever holds a share link."""
        return replace(self, show="all") if self.show in OF_THE_TEAM else self

    @property
    def is_open(self) -> bool:
        return not self.query


def matching(rows: QuerySet[Sample], wanted: SampleFilter) -> QuerySet[Sample]:
    """Those of the rows that fit."""
    exact: dict[str, Any] = {
        "rank__gt": 0 if wanted.kind == PLAYED else None,
        "kind": wanted.kind if wanted.kind in KINDS and wanted.kind != PLAYED else None,
        "step": wanted.step,
        "step__gte": wanted.step_from,
        "step__lte": wanted.step_to,
        "reward_mean__gte": wanted.reward_from,
        "reward_mean__lte": wanted.reward_to,
        "group_key": wanted.group or None,
        "roles__contains": [{"role": wanted.role}] if wanted.role else None,
    }
    rows = rows.filter(_KINDS.get(wanted.show, Q()), **{name: v for name, v in exact.items() if v is not None})
    if not wanted.text.strip():
        return rows
    query = text_query(wanted.text)
    if query is None:
        return rows.none()
    hits = rows.alias(hit=_hit(query)).filter(hit=True)
    # In no order the index of words answers at once; where a few hits are all, none has to be looked for along the order.
    few = list(hits.order_by().values_list("run_id", "seq")[: _FEW + 1])
    return hits if len(few) > _FEW else rows.filter(pk__in=few)


Place = tuple[int, int, int]
"""Where a list shows a sample: its step, rank and seq, the highest first."""


def below(rows: QuerySet[Sample], place: Place) -> QuerySet[Sample]:
    """Those that a list with the newest first shows after the place."""
    return rows.alias(is_below=_compared("<", place)).filter(is_below=True)


def above(rows: QuerySet[Sample], place: Place) -> QuerySet[Sample]:
    """Those that it shows before the place."""
    return rows.alias(is_above=_compared(">", place)).filter(is_above=True)


def _compared(sign: str, place: Place) -> RawSQL:
    here = "(telemetry_sample.step, telemetry_sample.rank, telemetry_sample.seq)"
    return RawSQL(f"{here} {sign} (%s, %s, %s)", place, output_field=BooleanField())  # noqa: S611 - a constant


def text_query(text: str) -> str | None:
    """The words a person typed as Postgres reads them; None where there is no word among them.

    All words must be there, in any order. What is quoted, or holds signs between its words as ``3.14`` does, must stand
    together. Words of three and more letters, and all with a star after them, find what begins with them.
    """
    parts = [_phrase(quoted, is_exact=True) or _phrase(word) for quoted, word in _CHUNK.findall(text)]
    found = [part for part in parts if part]
    return " & ".join(found) or None


def hit_pattern(text: str) -> re.Pattern[str] | None:
    """Finds in a text what ``text_query`` found it by."""
    patterns = []
    for quoted, chunk in _CHUNK.findall(text):
        found = words(quoted or chunk)
        if found:
            end = r"\w*" if not quoted and _is_prefix(chunk, found) else r"(?!\w)"
            patterns.append(r"(?<!\w)" + r"\W+".join(map(re.escape, found)) + end)
    return re.compile("|".join(patterns), re.IGNORECASE) if patterns else None


def _phrase(chunk: str, *, is_exact: bool = False) -> str:
    found = words(chunk)
    if found and not is_exact and _is_prefix(chunk, found):
        found = [*found[:-1], f"{found[-1]}:*"]
    return " <-> ".join(found)


def _is_prefix(chunk: str, found: list[str]) -> bool:
    return chunk.endswith("*") or (len(found) == 1 and found[0].isalpha() and len(found[0]) >= _MIN_PREFIX)


def _hit(query: str) -> RawSQL:
    return RawSQL("telemetry_sample.search @@ %s::tsquery", (query,), output_field=BooleanField())


def whole(text: str) -> int | None:
    """A whole number of an address, or None; anything else reads as not given."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


def _real(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if abs(value) < 1e12 else None
