"""Finds method files: every module of this package that defines a ``SelfPlay`` subclass is a method."""

import importlib
import pkgutil
from functools import cache

from training_core import methods
from training_core.methods.base import MethodSpec, SelfPlay

__all__ = ["MethodSpec", "all_methods", "find_method"]


@cache
def _by_slug() -> dict[str, type[SelfPlay]]:
    found: dict[str, type[SelfPlay]] = {}
    for module_info in pkgutil.iter_modules(methods.__path__):
        if module_info.name in {"base", "card", "registry"}:
            continue
        module = importlib.import_module(f"{methods.__name__}.{module_info.name}")
        for value in vars(module).values():
            if isinstance(value, type) and issubclass(value, SelfPlay) and value.__module__ == module.__name__:
                found[value.slug] = value
    return found


def all_methods() -> list[type[SelfPlay]]:
    """Every method, in the order of the gallery."""
    return sorted(_by_slug().values(), key=lambda method: (method.group, method.title))


def find_method(slug: str) -> type[SelfPlay]:
    """The method called ``slug``; a ``ValueError`` names the known ones."""
    try:
        return _by_slug()[slug]
    except KeyError:
        known = ", ".join(sorted(_by_slug()))
        raise ValueError(f"no method is called {slug!r}; known methods: {known}") from None
