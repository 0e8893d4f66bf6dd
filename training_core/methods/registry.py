"""Finds method files: every module of this package that is named after a ``SelfPlay`` subclass is a method."""

import importlib
import pkgutil
from functools import cache

from training_core import methods
from training_core.methods.base import MethodSpec, SelfPlay

__all__ = ["MethodSpec", "all_methods", "find_method"]

_NO_METHODS = frozenset({"arithmetic", "base", "card", "doctor", "equations", "registry"})


@cache
def _slugs() -> tuple[str, ...]:
    found = (module_info.name for module_info in pkgutil.iter_modules(methods.__path__))
    return tuple(sorted(name for name in found if name not in _NO_METHODS))


def all_methods() -> list[type[SelfPlay]]:
    """Every method, in the order of the gallery."""
    return sorted(map(find_method, _slugs()), key=lambda method: (method.group, method.title))


@cache
def find_method(slug: str) -> type[SelfPlay]:
    """The method called ``slug``; a ``ValueError`` names the known ones."""
    if slug not in _slugs():
        raise ValueError(f"no method is called {slug!r}; known methods: {', '.join(_slugs())}")
    module = importlib.import_module(f"{methods.__name__}.{slug}")
    found: type[SelfPlay] = next(v for v in vars(module).values() if _is_method(v) and v.slug == slug)
    return found


def _is_method(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, SelfPlay) and "slug" in vars(value)
