"""In what the specs of runs differ: only the keys whose values are not the same everywhere, block by block."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from training_core.spec.forms import find_field, label_of

_IGNORED = frozenset({"name"})
_ABSENT = object()
_BLOCKS = (
    "",
    "model",
    "weights",
    "task",
    "method",
    "learner",
    "engine",
    "evaluation",
    "checkpoint",
    "recording",
    "resources",
)


@dataclass(frozen=True, kw_only=True)
class Setting:
    """A value as it is shown: ``Setting(words="0.0003", kind="number")``; kinds are number, switch, text, list, absent."""

    words: str
    kind: str
    is_common: bool = False
    """Whether most columns have it."""


@dataclass(frozen=True, kw_only=True)
class DifferingKey:
    path: str
    label: str
    settings: tuple[Setting, ...]


@dataclass(frozen=True, kw_only=True)
class DifferingBlock:
    """``DifferingBlock(title="Method", keys=(...))``; the settings of a key stand in the order of the columns."""

    title: str
    keys: tuple[DifferingKey, ...]


def flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every leaf of a spec with its path: ``("method.optimizer.lr", 0.0003)``; lists are leaves."""
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from flat(inner, f"{path}.{key}" if path else str(key))
    elif path not in _IGNORED:
        yield path, value


def differing_blocks(specs: Sequence[Mapping[str, Any]]) -> list[DifferingBlock]:
    """The differing keys of several specs, grouped by the block they belong to."""
    leaves = [dict(flat(spec)) for spec in specs]
    paths = list(dict.fromkeys(path for each in leaves for path in each))
    blocks: dict[str, list[DifferingKey]] = {}
    for path in paths:
        values = [each.get(path, _ABSENT) for each in leaves]
        if any(not _same(value, values[0]) for value in values):
            block = path.partition(".")[0] if "." in path else ""
            blocks.setdefault(block, []).append(_key(path, values, _method(specs)))
    order = {name: place for place, name in enumerate(_BLOCKS)}
    named = sorted(blocks, key=lambda name: order.get(name, len(order)))
    return [DifferingBlock(title=label_of(name, "") if name else "General", keys=tuple(blocks[name])) for name in named]


def changed_words(before: Mapping[str, Any], after: Mapping[str, Any], limit: int) -> str:
    """The first differences between two specs in one line: "Learning rate 0.0003 to 0.001, and 2 more"."""
    keys = [key for block in differing_blocks([before, after]) for key in block.keys]
    said = [f"{key.label} {key.settings[0].words} to {key.settings[1].words}" for key in keys[:limit]]
    more = len(keys) - len(said)
    return ", ".join(said) + (f", and {more} more" if more else "")


def _same(left: Any, right: Any) -> bool:
    """Equal as JSON means it: 1 and 1.0 are the same number, 1 and true are not the same."""
    return left == right and isinstance(left, bool) == isinstance(right, bool)


def _key(path: str, values: Sequence[Any], method: str) -> DifferingKey:
    settings = [_setting(value) for value in values]
    words = [each.words for each in settings]
    most = max(words, key=words.count)
    is_telling = words.count(most) > len(words) / 2
    shown = tuple(
        Setting(words=each.words, kind=each.kind, is_common=is_telling and each.words == most) for each in settings
    )
    return DifferingKey(path=path, label=_label(path, method), settings=shown)


def _method(specs: Sequence[Mapping[str, Any]]) -> str:
    method = specs[0].get("method") if specs else None
    return str(method.get("name", "")) if isinstance(method, Mapping) else ""


def _label(path: str, method: str) -> str:
    try:
        field = find_field(method, path)
    except ValueError:
        field = None
    return field.label if field else label_of(path.rpartition(".")[2], "")


def _setting(value: Any) -> Setting:
    if value is _ABSENT:
        return Setting(words="–", kind="absent")
    if value is None or value in ({}, []):
        return Setting(words="none", kind="absent")
    if isinstance(value, bool):
        return Setting(words="on" if value else "off", kind="switch")
    if isinstance(value, int | float):
        return Setting(words=f"{value:,}" if isinstance(value, int) else f"{value:.6g}", kind="number")
    if isinstance(value, list):
        return Setting(words=", ".join(_setting(each).words for each in value), kind="list")
    return Setting(words=str(value), kind="text")
