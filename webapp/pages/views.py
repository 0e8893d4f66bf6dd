"""What every page can call up: the command palette's answers."""

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from webapp.pages.destinations import MAX_QUERY, find
from webapp.pages.requests import signed_in


@require_GET
@login_required
@never_cache
def palette(request: HttpRequest) -> JsonResponse:
    """Where the words of ``q`` lead, for this person."""
    return JsonResponse({"hits": find(signed_in(request), request.GET.get("q", "")[:MAX_QUERY])})
