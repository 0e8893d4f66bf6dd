"""A spec described as a form, and the form's values read back. Made from the JSON schemas, so it never lags behind them."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cache
from typing import Any

from training_core.methods.registry import find_method
from training_core.spec.rubrics import clean, digest_of
from training_core.spec.schemas import Schema, experiment_schema, method_schema, resolve, variants, without_null

LONG_TEXT = 1000
"""Texts that may be longer than this are written in a box of several lines."""


class FieldKind(StrEnum):
    TEXT = "text"
    INTEGER = "integer"
    NUMBER = "number"
    SWITCH = "switch"
    CHOICE = "choice"
    CHOICES = "choices"
    """Any number of the choices, in their order."""
    NUMBERS = "numbers"
    """A fixed count of numbers, written with commas."""
    TEXTS = "texts"
    """Any number of texts, written with commas; see ``join_texts``."""
    UNION = "union"
    """One of several blocks; ``FormField.selector`` names the input that picks it."""
    BLOCK = "block"


@dataclass(frozen=True, kw_only=True)
class Choice:
    value: str
    label: str


@dataclass(frozen=True, kw_only=True)
class Variant:
    """A member of a union: ``Variant(value="arithmetic", label="Arithmetic", help="Whole-number ...", fields=(...))``."""

    value: str
    label: str
    help: str
    fields: tuple["FormField", ...]


@dataclass(frozen=True, kw_only=True)
class FormField:
    """One input: ``FormField(path="task.max_digits", label="Most digits", kind=FieldKind.INTEGER, minimum=1, ...)``."""

    path: str
    label: str
    kind: FieldKind
    help: str = ""
    unit: str = ""
    group: str = ""
    default: Any = None
    optional: bool = False
    """An empty input means None."""
    minimum: float | None = None
    maximum: float | None = None
    above: float | None = None
    """The value must be larger than this."""
    below: float | None = None
    max_length: int | None = None
    choices: tuple[Choice, ...] = ()
    variants: tuple[Variant, ...] = ()
    tag: str = ""
    """The key inside a union that names the variant; empty for a block that is only there or not."""
    live: bool = False
    """Whether it may be changed while a run is at work."""
    fields: tuple["FormField", ...] = ()
    rubric: str = ""
    """The kind of rubric that it takes: answer, question, pair or vote; empty for any other field."""

    @property
    def is_long(self) -> bool:
        """Whether its text needs several lines."""
        return self.kind is FieldKind.TEXT and (self.max_length or 0) > LONG_TEXT

    @property
    def selector(self) -> str:
        """Name of the input that picks a union's variant."""
        return f"{self.path}.{self.tag}" if self.tag else self.path

    @property
    def range_text(self) -> str:
        """The accepted range in words: "1 to 64", "above 0, at most 1"; empty where anything goes."""
        if self.minimum is not None and self.maximum is not None:
            return f"{_figure(self.minimum)} to {_figure(self.maximum)}"
        parts = (
            (self.minimum, "at least"),
            (self.above, "above"),
            (self.maximum, "at most"),
            (self.below, "below"),
        )
        return ", ".join(f"{words} {_figure(limit)}" for limit, words in parts if limit is not None)


@dataclass(frozen=True, kw_only=True)
class FormGroup:
    """A heading and its fields; ``advanced`` groups are hidden in the simple view."""

    title: str
    fields: tuple[FormField, ...]
    advanced: bool = False
    help: str = ""


@dataclass(frozen=True, kw_only=True)
class _Section:
    """Where a top-level block of the experiment stands: before or after the method's own groups."""

    key: str
    title: str
    after: bool = False
    advanced: bool = False


_GENERAL = ("name", "seed", "steps")
_SECTIONS = (
    _Section(key="model", title="Model"),
    _Section(key="weights", title="Weights of the roles", advanced=True),
    _Section(key="start", title="Start", advanced=True),
    _Section(key="task", title="Task"),
    _Section(key="resources", title="Resources", after=True),
    _Section(key="evaluation", title="Evaluation", after=True),
    _Section(key="checkpoint", title="Checkpoints", after=True, advanced=True),
    _Section(key="engine", title="Engine", after=True, advanced=True),
    _Section(key="learner", title="Learner", after=True, advanced=True),
)
_LATE_METHOD_GROUPS = ("Sampling", "Learning")
_ADVANCED_METHOD_GROUPS = frozenset({"Pools", "Sampling", "Learning"})


@cache
def form_of(method_slug: str) -> list[FormGroup]:
    """The whole form of an experiment with this method, heading by heading."""
    root = experiment_schema()
    properties = root["properties"]
    general = FormGroup(
        title="General", fields=tuple(_field(key, properties[key], root, prefix="") for key in _GENERAL)
    )
    listed = {section.key for section in _SECTIONS} | {"method", *_GENERAL}
    others = [
        _Section(key=key, title=label_of(key, ""), after=True, advanced=True) for key in properties if key not in listed
    ]
    before = [section for section in _SECTIONS if not section.after]
    after = [section for section in (*_SECTIONS, *others) if section.after]
    return [
        general,
        *(_section_group(section, properties[section.key], root, method_slug) for section in before),
        *_method_groups(method_slug),
        *(_section_group(section, properties[section.key], root, method_slug) for section in after),
    ]


def _section_group(section: _Section, schema: Schema, root: Schema, method_slug: str) -> FormGroup:
    block = _field(section.key, schema, root, prefix="")
    if section.key == "task":
        block = _tasks_of(method_slug, block)
    fields = block.fields if block.kind is FieldKind.BLOCK else (block,)
    return FormGroup(title=section.title, fields=fields, advanced=section.advanced, help=block.help)


def _tasks_of(method_slug: str, task: FormField) -> FormField:
    """The choice of a task, cut down to what the method plays on; its first task is the default."""
    kinds, members = find_method(method_slug).tasks, {variant.value: variant for variant in task.variants}
    default = {"kind": kinds[0]} | {each.path.removeprefix("task."): each.default for each in members[kinds[0]].fields}
    return replace(task, variants=tuple(members[kind] for kind in kinds), default=default)


def _method_groups(slug: str) -> list[FormGroup]:
    root = method_schema(slug)
    grouped: dict[str, list[FormField]] = {}
    for key, schema in root["properties"].items():
        if key != "name":
            described = _field(key, schema, root, prefix="method.")
            grouped.setdefault(described.group or "Method", []).append(described)
    early = [title for title in grouped if title not in _LATE_METHOD_GROUPS]
    late = [title for title in _LATE_METHOD_GROUPS if title in grouped]
    return [_method_group(title, grouped[title]) for title in (*early, *late)]


def _method_group(title: str, fields: Sequence[FormField]) -> FormGroup:
    advanced = title in _ADVANCED_METHOD_GROUPS
    if len(fields) == 1 and fields[0].kind is FieldKind.BLOCK:
        return FormGroup(title=title, fields=fields[0].fields, advanced=advanced, help=fields[0].help)
    return FormGroup(title=title, fields=tuple(fields), advanced=advanced)


_NOTHING: Any = object()


def _field(key: str, schema: Schema, root: Schema, *, prefix: str, default: Any = _NOTHING) -> FormField:
    bare, optional = without_null(resolve(schema, root), root)
    if default is _NOTHING:
        default = bare.get("default")
    base = FormField(
        path=f"{prefix}{key}",
        label=label_of(key, bare.get("title", "")),
        kind=FieldKind.TEXT,
        help=_plain(schema.get("description") or bare.get("description", "")),
        unit=bare.get("x-unit", ""),
        group=bare.get("x-group", ""),
        live=bare.get("x-live", False),
        rubric=bare.get("x-rubric", ""),
        default=default,
        optional=optional,
    )
    members = variants(bare, root)
    if members:
        return replace(
            base,
            kind=FieldKind.UNION,
            tag=bare["discriminator"]["propertyName"],
            variants=tuple(_variant(base, tag, member, root) for tag, member in members.items()),
        )
    if bare.get("type") == "object" and optional:
        title = bare.get("title", "")
        name = title if title and " " not in title else label_of(key, "")
        return replace(base, kind=FieldKind.UNION, variants=(_variant(base, _tag_of(name), bare, root),))
    if bare.get("type") == "object":
        return replace(base, kind=FieldKind.BLOCK, fields=_fields(base.path, bare, root, default))
    return _scalar(base, bare)


def _tag_of(class_name: str) -> str:
    """``LoraSpec`` becomes ``lora``."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", class_name.removesuffix("Spec")).lower()


def _variant(base: FormField, tag: str, schema: Schema, root: Schema) -> Variant:
    default = base.default if isinstance(base.default, dict) else {}
    chosen = default if default.get("kind", tag) == tag else {}
    return Variant(
        value=tag,
        label="A rubric" if base.rubric else label_of(tag, ""),
        help=_plain(root["$defs"].get(schema.get("title", ""), schema).get("description", "")),
        fields=_fields(base.path, schema, root, chosen),
    )


def _fields(path: str, schema: Schema, root: Schema, defaults: Any) -> tuple[FormField, ...]:
    known = defaults if isinstance(defaults, dict) else {}
    return tuple(
        _field(key, sub, root, prefix=f"{path}.", default=known.get(key, _NOTHING))
        for key, sub in schema.get("properties", {}).items()
        if "const" not in sub
    )


def _scalar(base: FormField, schema: Schema) -> FormField:
    if "enum" in schema:
        return replace(base, kind=FieldKind.CHOICE, choices=_choices(schema["enum"]))
    match schema.get("type"):
        case "boolean":
            return replace(base, kind=FieldKind.SWITCH)
        case "array" if "enum" in schema.get("items", {}):
            return replace(base, kind=FieldKind.CHOICES, choices=_choices(schema["items"]["enum"]))
        case "array":
            texts = schema.get("items", {}).get("type") == "string"
            return replace(base, kind=FieldKind.TEXTS if texts else FieldKind.NUMBERS)
        case "integer" | "number" as kind:
            return replace(
                base,
                kind=FieldKind(kind),
                minimum=schema.get("minimum"),
                maximum=schema.get("maximum"),
                above=schema.get("exclusiveMinimum"),
                below=schema.get("exclusiveMaximum"),
            )
        case _:
            return replace(base, max_length=schema.get("maxLength"))


def _choices(values: Sequence[str]) -> tuple[Choice, ...]:
    return tuple(Choice(value=value, label=_CHOICE_LABELS.get(value, value.replace("_", " "))) for value in values)


_CHOICE_LABELS = {
    "adamw": "AdamW",
    "muon": "Muon",
    "cpu": "CPU",
    "cuda": "CUDA",
    "+": "addition (+)",
    "-": "subtraction (−)",
}
_WORDS = {
    "lr": "learning rate",
    "kl": "KL",
    "auc": "AUC",
    "gpu": "GPU",
    "gpus": "GPUs",
    "cpu": "CPU",
    "vllm": "vLLM",
    "urls": "addresses",
    "dir": "folder",
    "lora": "LoRA",
    "jsonl": "JSONL file",
    "coef": "coefficient",
    "prob": "probability",
    "cap": "limit",
    "dtype": "number format",
    "grad": "gradient",
    "num": "number of",
    "w": "weight of",
    "plus": "++",
    "reinforce": "REINFORCE",
}
_LABELS = {
    "top_p": "Top-p",
    "top_k": "Top-k",
    "every": "Every",
    "reinforce_plus_plus": "REINFORCE++",
    "name": "Name",
    "max_num_seqs": "Completions at once",
    "max_batch": "Completions at once",
    "gpu_memory_utilization": "Share of GPU memory",
    "cpu_cache_gib": "Cache on a CPU",
    "tensor_parallel": "GPUs per copy",
    "start_timeout_s": "Longest start",
    "logits_chunk": "Tokens scored at once",
    "ahead": "Steps ahead",
}


def label_of(name: str, title: str) -> str:
    """A label from a field's name: ``w_quality`` becomes "Weight of quality". A title written in the spec wins."""
    if title and title.replace(" ", "").lower() != name.replace("_", "").lower() and " " in title:
        return title
    if name in _LABELS:
        return _LABELS[name]
    words = " ".join(_WORDS.get(word, word) for word in name.split("_"))
    return words[:1].upper() + words[1:]


def _plain(help_text: str) -> str:
    """The first paragraph, without the marks of docstrings."""
    return " ".join(help_text.split("\n\n", maxsplit=1)[0].replace("``", "").split())


def _figure(value: float) -> str:
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:g}"


def walk(fields: Sequence[FormField]) -> Iterator[FormField]:
    """Every field below these, whatever variant is chosen."""
    for each in fields:
        yield each
        yield from walk(each.fields)
        for variant in each.variants:
            yield from walk(variant.fields)


def find_field(method_slug: str, path: str) -> FormField | None:
    """The field called ``path``; of fields that several variants share, the first."""
    groups = form_of(method_slug)
    return next((each for group in groups for each in walk(group.fields) if each.path == path), None)


def read_form(method_slug: str, data: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """The mapping an ``ExperimentSpec`` is made of, from what a browser sends; values stay text where pydantic reads text.

    Inputs that were not sent keep the spec's default, except switches and choices, which browsers leave out when empty.
    """
    find_method(method_slug)
    value: dict[str, Any] = {"method": {"name": method_slug}}
    for group in form_of(method_slug):
        _read_fields(group.fields, data, value)
    return value


def _read_fields(fields: Sequence[FormField], data: Mapping[str, Sequence[str]], into: dict[str, Any]) -> None:
    for each in fields:
        match each.kind:
            case FieldKind.BLOCK:
                _read_fields(each.fields, data, into)
            case FieldKind.UNION:
                _read_union(each, data, into)
            case FieldKind.SWITCH:
                put(into, each.path, bool(data.get(each.path)))
            case FieldKind.CHOICES:
                put(into, each.path, list(data.get(each.path, ())))
            case _ if each.path in data:
                text, exact = data[each.path][-1].strip(), data.get(exact_name(each.path), [""])[-1]
                put(into, each.path, float(exact) if is_rounding(text, exact) else _read_text(each, text))


def _read_text(each: FormField, text: str) -> Any:
    if not text and each.optional:
        return None
    if each.kind is FieldKind.NUMBERS:
        return [part.strip() for part in text.split(",")]
    if each.kind is FieldKind.TEXTS:
        return split_texts(text)
    return text


def exact_name(path: str) -> str:
    """Name of the hidden input that keeps a number which is shown rounded; it counts until somebody edits what is shown."""
    return f"exact.{path}"


def rounded(value: float) -> str:
    """A number for reading, in six significant digits."""
    return f"{value:.0f}" if value.is_integer() and abs(value) < 1e15 else f"{value:.6g}"


def is_rounding(text: str, exact: str) -> bool:
    """Whether ``text`` is how the number written out in ``exact`` is shown."""
    try:
        return rounded(float(exact)) == text
    except ValueError:
        return False


_ESCAPES = {"\\": "\\\\", ",": "\\,", "\n": "\\n", "\t": "\\t", " ": "\\s"}
_UNESCAPES = {escape: char for char, escape in _ESCAPES.items()}


def join_texts(texts: Sequence[str]) -> str:
    r"""Texts on one line, with commas between them: a line break is written \n, a comma in a text \, and an outer space \s."""
    return ", ".join(_escape(text) for text in texts)


def split_texts(line: str) -> list[str]:
    """The texts that ``join_texts`` put on a line; spaces around the commas do not count."""
    parts = re.findall(r"(?:\\.|[^,])+", line, flags=re.DOTALL)
    return [
        re.sub(r"\\.", lambda found: _UNESCAPES.get(found[0], found[0]), part.strip()) for part in parts if part.strip()
    ]


def _escape(text: str) -> str:
    inner = "".join(_ESCAPES.get(char, char) if char != " " else char for char in text)
    return re.sub(r"^ +| +$", lambda found: "\\s" * len(found[0]), inner)


def _read_union(each: FormField, data: Mapping[str, Sequence[str]], into: dict[str, Any]) -> None:
    picked = data.get(each.selector, [""])[-1]
    if not picked:
        if each.optional:
            put(into, each.path, None)
        return
    put(into, each.path, {each.tag: picked} if each.tag else {})
    variant = next((v for v in each.variants if v.value == picked), None)
    if variant:
        _read_fields(variant.fields, data, into)
    if each.rubric:
        _unname_edited(value_at(into, each.path))


def _unname_edited(rubric: dict[str, Any]) -> None:
    """A rubric whose text was edited in the form is no longer the library's version it was taken from."""
    digest = digest_of(clean(str(rubric.get("text", ""))))
    if rubric.get("digest") != digest:
        rubric |= {"name": "", "version": 0}
    rubric["digest"] = digest


def put(into: dict[str, Any], path: str, value: Any) -> None:
    """``into["a"]["b"] = value`` for "a.b"; what is no mapping on the way becomes one."""
    *parents, last = path.split(".")
    for parent in parents:
        if not isinstance(into.get(parent), dict):
            into[parent] = {}
        into = into[parent]
    into[last] = value


def value_at(mapping: Mapping[str, Any], path: str, default: Any = None) -> Any:
    """``mapping["a"]["b"]`` for "a.b"; the default where it is missing."""
    value: Any = mapping
    for part in path.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return default
        value = value[part]
    return value


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One field that two specs disagree on: ``Difference(path="steps", label="Steps", old=300, new=60)``."""

    path: str
    label: str
    old: Any = field(default=None)
    new: Any = field(default=None)


def differences(method_slug: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Difference]:
    """What changed between two dumped specs, leaf by leaf, in the order of the new one.

    Where another block was picked, of its fields only those are told that are not at the block's own defaults.
    """
    before, after = dict(_leaves(old)), dict(_leaves(new))
    paths = [*after, *(path for path in before if path not in after)]
    swapped = _swapped_blocks(method_slug, before, after)
    found = []
    for path in paths:
        if path.endswith(".digest"):  # of a rubric, whose text is told
            continue
        known = next((block for prefix, block in swapped.items() if path.startswith(prefix)), before)
        if known is not before and path not in after:
            continue
        if known.get(path, before.get(path)) != after.get(path):
            label = _label_at(method_slug, path)
            found.append(Difference(path=path, label=label, old=before.get(path), new=after.get(path)))
    return found


def _swapped_blocks(method_slug: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """For each union of which another variant was picked, the defaults of the new variant's fields."""
    found = {}
    for group in form_of(method_slug):
        for each in walk(group.fields):
            picked = after.get(each.selector)
            if each.kind is FieldKind.UNION and each.tag and before.get(each.selector, picked) != picked:
                variant = next((v for v in each.variants if v.value == picked), None)
                fields = variant.fields if variant else ()
                found[f"{each.path}."] = {inner.path: inner.default for inner in walk(fields)}
    return found


def _label_at(method_slug: str, path: str) -> str:
    above = find_field(method_slug, path.rpartition(".")[0])
    found = find_field(method_slug, path) or above
    if found and above and above.rubric:
        return f"{above.label}: {found.label.lower()}"
    return found.label if found else path


def _leaves(mapping: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in mapping.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
