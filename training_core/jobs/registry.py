"""Every kind of job and the function that carries it out."""

from collections.abc import Callable, Mapping
from typing import Any

from training_core.jobs import export, match, rejudge, say
from training_core.jobs.desk import Desk

RUNNERS: Mapping[str, Callable[[Any, Desk], dict[str, Any]]] = {
    "say": say.run,
    "match": match.run,
    "rejudge": rejudge.run,
    "export": export.run,
}
