"""A person's notices and the channels that carry them."""

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from webapp.accounts.models import User
from webapp.experiments.models import Run
from webapp.notices import rules, selectors, services
from webapp.notices.choices import ChannelKind, NoticeKind, Scope, Side
from webapp.pages.requests import signed_in

PAGE_SIZE = 50


@require_GET
@login_required
@never_cache
def notices(request: HttpRequest) -> HttpResponse:
    """What you were told, newest first, and where else you hear of it."""
    return _page(request)


def _page(
    request: HttpRequest,
    *,
    status: int = 200,
    error: str = "",
    rule_error: str = "",
    rule: dict[str, str] | None = None,
    **form: Any,
) -> HttpResponse:
    user = signed_in(request)
    about = _run_asked(user, request)
    context = {
        "rules": selectors.rules_of(user),
        "metrics": selectors.known_metrics(user),
        "sides": Side.choices,
        "about": about,
        "rule_error": rule_error,
        "rule": {
            "metric": request.GET.get("metric", "")[:80],
            "side": Side.BELOW,
            "threshold": "",
            "lasting": "3",
            "scope": Scope.MINE,
        }
        | (rule or {}),
        "page": Paginator(selectors.notices_of(user), PAGE_SIZE).get_page(request.GET.get("page")),
        "channels": selectors.channels_of(user),
        "kinds": [(kind, NoticeKind(kind).label) for kind in services.CARRIED],
        "channel_kinds": ChannelKind.choices,
        "scopes": Scope.choices,
        "error": error,
        "form": {"address": "", "kind": ChannelKind.EMAIL, "kinds": services.CARRIED, "scope": Scope.MINE} | form,
    }
    return render(request, "notices/notices.html", context, status=status)


def _run_asked(user: User, request: HttpRequest) -> Run | None:
    """The run that a rule is to be about, where the address or the form names one the person may see."""
    try:
        key = UUID(request.POST.get("run", "") or request.GET.get("run", ""))
    except ValueError:
        return None
    return Run.objects.visible_to(user).select_related("experiment").filter(pk=key).first()


@require_GET
@login_required
@never_cache
def news(request: HttpRequest) -> JsonResponse:
    """How many notices wait, and the newest after ``after``, for the bell of every page."""
    user, after = signed_in(request), request.GET.get("after", "")
    fresh = selectors.news_after(user, int(after)) if after.isascii() and after.isdigit() and len(after) < 19 else []
    told = [{"id": notice.pk, "title": notice.title, "text": notice.text, "url": notice.url} for notice in fresh]
    newest = selectors.notices_of(user).values_list("pk", flat=True).first() or 0
    return JsonResponse({"unread": selectors.unread_count(user), "newest": newest, "news": told})


@require_POST
@login_required
def read(request: HttpRequest) -> HttpResponse:
    """Everything up to ``up_to`` has been read."""
    text = request.POST.get("up_to", "")
    if text.isascii() and text.isdigit() and len(text) < 19:
        services.mark_read(user=signed_in(request), up_to=int(text))
    return redirect("notices")


@require_POST
@login_required
def add_rule(request: HttpRequest) -> HttpResponse:
    """Be told when a metric crosses a line."""
    user = signed_in(request)
    asked = {name: request.POST.get(name, "") for name in ("metric", "side", "threshold", "lasting", "scope")}
    run = _run_asked(user, request)
    try:
        if request.POST.get("run") and run is None:
            raise ValueError("There is no such run, or it belongs to a workspace you are not a member of.")
        rule = rules.add_rule(user=user, **asked, run=run)
    except ValueError as error:
        return _page(request, status=422, rule_error=str(error), rule=asked)
    messages.success(request, f"You will be told of {rule}.")
    return redirect(f"{reverse('notices')}#rules")


@require_POST
@login_required
def remove_rule(request: HttpRequest, rule_id: int) -> HttpResponse:
    """Be told of it no more."""
    rules.remove_rule(user=signed_in(request), rule_id=rule_id)
    messages.success(request, "The rule is removed.")
    return redirect(f"{reverse('notices')}#rules")


@require_POST
@login_required
def add_channel(request: HttpRequest) -> HttpResponse:
    """Be told elsewhere too."""
    asked: dict[str, Any] = {name: request.POST.get(name, "") for name in ("kind", "address", "scope")}
    asked["kinds"] = request.POST.getlist("kinds")
    try:
        channel = services.add_channel(user=signed_in(request), **asked)
    except ValueError as error:
        return _page(request, status=422, error=str(error), **asked)
    messages.success(request, f"A trial message is on its way to {channel.address}.")
    return redirect("notices")


@require_POST
@login_required
def remove_channel(request: HttpRequest, channel_id: int) -> HttpResponse:
    """Be told there no more."""
    services.remove_channel(user=signed_in(request), channel_id=channel_id)
    messages.success(request, "The channel is removed. Nothing more is sent there.")
    return redirect("notices")
