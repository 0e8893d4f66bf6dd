"""The state of the Runs page, held by its address alone, so that every view of it is a link."""

from dataclasses import dataclass, replace
from typing import Any, Self
from urllib.parse import urlencode
from uuid import UUID

from django.http import QueryDict

from webapp.compare.columns import DEFAULT, Column, read_columns
from webapp.compare.filters import RunFilter, read_uuid

PAGE_SIZES = (25, 50, 100)


@dataclass(frozen=True, kw_only=True)
class RunsAddress:
    """``RunsAddress(filter=RunFilter(method="mae"), columns=(...), sort="-created", grouped=True)``."""

    filter: RunFilter
    columns: tuple[Column, ...]
    sort: str = "-created"
    grouped: bool = False
    base: UUID | None = None
    as_tree: bool = False
    size: int = PAGE_SIZES[0]
    page: int = 1

    @classmethod
    def read(cls, data: QueryDict) -> Self:
        columns = read_columns([*data.getlist("col"), *_added(data)], data.getlist("pin"))
        sort = data.get("sort", "")
        sortable = {"name", *(each.key for each in columns if each.is_sortable)}
        size, page = data.get("size", ""), data.get("page", "")
        return cls(
            filter=RunFilter.read(data),
            columns=columns,
            sort=sort if sort.removeprefix("-") in sortable else "-created",
            grouped=data.get("group", "") == "1",
            base=read_uuid(data.get("base", "")),
            as_tree=data.get("view", "") == "tree",
            size=int(size) if size in map(str, PAGE_SIZES) else PAGE_SIZES[0],
            page=int(page) if page.isascii() and page.isdigit() and len(page) < 7 else 1,
        )

    def query(self, **changes: Any) -> str:
        """The query string of this state with something changed; what is as usual is left out."""
        to = replace(self, **{"page": 1, **changes})
        keys = [each.key for each in to.columns]
        pairs: list[tuple[str, str]] = list(to.filter.parameters.items())
        pairs += [("col", key) for key in keys] if tuple(keys) != DEFAULT else []
        pairs += [("pin", each.key) for each in to.columns if each.pin]
        pairs += [("sort", to.sort)] if to.sort != "-created" else []
        pairs += [("group", "1")] if to.grouped else []
        pairs += [("base", str(to.base))] if to.base else []
        pairs += [("view", "tree")] if to.as_tree else []
        pairs += [("size", str(to.size))] if to.size != PAGE_SIZES[0] else []
        pairs += [("page", str(to.page))] if to.page > 1 else []
        return urlencode(pairs)

    def query_sorted_by(self, key: str) -> str:
        """Sorted by a column: largest first, or the other way round where it is already."""
        return self.query(sort=key if self.sort == f"-{key}" else f"-{key}")

    def direction(self, key: str) -> str:
        """As ``aria-sort`` says it; empty for a column the list is not sorted by."""
        return {key: "ascending", f"-{key}": "descending"}.get(self.sort, "")


def _added(data: QueryDict) -> list[str]:
    """The metric that the form adds, with the usual columns if it names no others."""
    metric, how = data.get("metric", "").strip(), data.get("how", "last")
    if not metric or "add" not in data:
        return []
    return [f"{metric}:{how}"] if data.getlist("col") else [*DEFAULT, f"{metric}:{how}"]
