"""Spec files: read, changed by ``--set``, checked."""

import argparse
from pathlib import Path
from typing import Any

import yaml

from webapp.cli import screen
from webapp.cli.errors import CliError, Exit


def read_text(path: str, *, what: str = "spec") -> str:
    """The file's text; ``-`` reads standard input."""
    try:
        return Path("/dev/stdin" if path == "-" else path).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise CliError(f"{path} is not a text file, so it cannot be a {what}.", Exit.WRONG_INPUT) from error
    except OSError as error:
        raise CliError(f"{path} cannot be read: {error.strerror}.", Exit.WRONG_INPUT) from error


def with_changes(text: str, changes: list[str]) -> dict[str, Any]:
    """The spec as a mapping, with ``a.b=c`` changes applied; values are read as YAML."""
    try:
        spec = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise CliError(f"The file is not valid YAML: {error}", Exit.WRONG_INPUT) from error
    if not isinstance(spec, dict):
        raise CliError("The file is not a spec: a spec is a mapping, for example method: {name: mae}", Exit.WRONG_INPUT)
    for change in changes:
        _set(spec, change)
    return spec


def _set(spec: dict[str, Any], change: str) -> None:
    path, equals, value = change.partition("=")
    keys = path.strip().split(".")
    if not equals or not all(keys):
        raise CliError(f"--set {change!r} is not of the form a.b=value, for example --set steps=100", Exit.WRONG_INPUT)
    at: Any = spec
    for depth, key in enumerate(keys[:-1], start=1):
        at = at.setdefault(key, {})
        if not isinstance(at, dict):
            parent = ".".join(keys[:depth])
            raise CliError(f"--set {change!r} goes too deep: {parent} is {at!r}, not a mapping.", Exit.WRONG_INPUT)
    try:
        at[keys[-1]] = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise CliError(f"--set {change!r}: {value!r} is not a YAML value.", Exit.WRONG_INPUT) from error


def sweep_of(
    text: str, changes: list[str], seeds: str | None
) -> tuple[dict[str, Any], list[int], dict[str, list[Any]]]:
    """The spec with what is set once, the seeds, and the values of what is swept."""
    from training_core.spec.io import SpecError
    from training_core.spec.sweep import read_seeds, read_values

    once, swept = [], {}
    try:
        for change in changes:
            path, equals, values = change.partition("=")
            read = read_values(values, path=path) if equals else ()
            if len(read) > 1:
                swept[path.strip()] = list(read)
            else:
                once.append(change)
        spec = with_changes(text, once)
        first = spec.get("seed", 0)
        found = list(read_seeds(seeds or "", first=first if isinstance(first, int) else 0))
    except SpecError as error:
        raise CliError(str(error), Exit.WRONG_INPUT) from error
    return spec, found, swept


def validate(arguments: argparse.Namespace) -> int:
    """Check a spec with the library of this machine; no server is asked."""
    from training_core.spec.io import SpecError, dump_yaml, load_yaml, parse_spec

    text = read_text(arguments.spec)
    try:
        spec = parse_spec(with_changes(text, arguments.set)) if arguments.set else load_yaml(text)
    except SpecError as error:
        raise CliError(
            f"{arguments.spec} cannot be used:\n" + "\n".join(f"  {e}" for e in error.errors), Exit.WRONG_INPUT
        ) from error
    if arguments.resolved:
        screen.say(dump_yaml(spec).rstrip())
    else:
        screen.say(f"{arguments.spec} is good: {spec.name}, {spec.method.name}, {spec.steps} steps.")
    return Exit.OK
