"""Finds curricula: every module of this package that defines ``CURRICULUM`` is one, under the module's name."""

import importlib
import pkgutil
from functools import cache

from training_core import curricula
from training_core.curricula.base import Curriculum

_NO_CURRICULA = frozenset({"base", "registry", "taught"})


def curriculum_names() -> list[str]:
    """Names of all curricula, in the order of the alphabet."""
    found = (module_info.name for module_info in pkgutil.iter_modules(curricula.__path__))
    return sorted(name for name in found if name not in _NO_CURRICULA)


@cache
def find_curriculum(name: str) -> Curriculum:
    """The curriculum called ``name``; a ``ValueError`` names the known ones."""
    if name not in curriculum_names():
        raise ValueError(f"no curriculum is called {name!r}; known curricula: {', '.join(curriculum_names())}")
    curriculum: Curriculum = importlib.import_module(f"{curricula.__name__}.{name}").CURRICULUM
    assert curriculum.name == name, f"the curriculum in {name}.py calls itself {curriculum.name}"
    return curriculum
