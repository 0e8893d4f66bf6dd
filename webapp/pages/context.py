"""What the shell of every page needs to know."""

from typing import Any

from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from webapp.pages.destinations import places_for
from webapp.workspaces.selectors import current_workspace, workspaces_for


def shell(request: HttpRequest) -> dict[str, Any]:
    """The colour scheme of this browser and the person's workspaces; queried only where a page shows them."""
    scheme = request.COOKIES.get("theme", "")
    return {
        "theme": scheme if scheme in {"light", "dark"} else "",
        "here": SimpleLazyObject(lambda: current_workspace(request)),
        "places": SimpleLazyObject(lambda: places_for(request.user)),
        "my_workspaces": SimpleLazyObject(lambda: list(workspaces_for(request.user))),
    }
