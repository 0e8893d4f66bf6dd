"""Methods that only tests know."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

from training_core.methods import registry
from training_core.methods.base import SelfPlay


@contextmanager
def known_as(slug: str, method: type[SelfPlay]) -> Iterator[None]:
    """Inside, specs may name the method ``slug``, as if its file stood among the others."""
    method.slug = slug
    module = ModuleType(f"{registry.methods.__name__}.{slug}")
    module.method = method
    slugs = registry._slugs
    registry._slugs = lambda: (*slugs(), slug)
    sys.modules[module.__name__] = module
    try:
        yield
    finally:
        registry._slugs = slugs
        del sys.modules[module.__name__]
        registry.find_method.cache_clear()
