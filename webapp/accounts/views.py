"""The account page, its tokens, and the one-time sign-in link."""

from typing import Any

from django.contrib import messages
from django.contrib.auth import login
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from webapp.accounts import selectors, services
from webapp.accounts.forms import DisplayNameForm, TokenForm
from webapp.pages.requests import local_target, signed_in

BACKEND = "allauth.account.auth_backends.AuthenticationBackend"


@require_GET
@login_required
def account(request: HttpRequest) -> HttpResponse:
    """Your name, your tokens, your password."""
    return _account_page(request)


def _account_page(request: HttpRequest, *, status: int = 200, **more: Any) -> HttpResponse:
    user = signed_in(request)
    context = {
        "name_form": DisplayNameForm(initial={"display_name": user.display_name}),
        "token_form": TokenForm(),
        "tokens": selectors.tokens_of(user),
        **more,
    }
    return render(request, "accounts/account.html", context, status=status)


@require_POST
@login_required
def rename(request: HttpRequest) -> HttpResponse:
    """Change the name others see."""
    form = DisplayNameForm(request.POST)
    if not form.is_valid():
        return _account_page(request, status=422, name_form=form)
    services.set_display_name(user=signed_in(request), name=form.cleaned_data["display_name"])
    messages.success(request, "Your name is saved.")
    return redirect("account")


@require_POST
@login_required
@never_cache
def create_token(request: HttpRequest) -> HttpResponse:
    """Create a token. Its secret stands on this answer and nowhere else."""
    form = TokenForm(request.POST)
    if not form.is_valid():
        return _account_page(request, status=422, token_form=form)
    try:
        token, secret = services.create_token(
            user=signed_in(request), name=form.cleaned_data["name"], days=form.cleaned_data["days"]
        )
    except ValueError as error:
        form.add_error("name", str(error))
        return _account_page(request, status=422, token_form=form)
    return _account_page(request, new_token=token, secret=secret)


@require_POST
@login_required
def revoke_token(request: HttpRequest, token_id: int) -> HttpResponse:
    """Make a token useless at once."""
    token = services.revoke_token(user=signed_in(request), token_id=token_id)
    messages.success(request, f"The token {token.name} no longer works.")
    return redirect("account")


@require_http_methods(["GET", "POST"])
@never_cache
def sign_in_link(request: HttpRequest, secret: str) -> HttpResponse:
    """Sign in once with a link from the machine's own terminal.

    The page asks for a press of a button, because programs that preview links would use it up otherwise.
    """
    if request.method == "GET":
        return render(request, "accounts/sign_in_link.html", {"is_used": False})
    user = services.use_sign_in_link(secret)
    if user is None:
        return render(request, "accounts/sign_in_link.html", {"is_used": True}, status=410)
    login(request, user, backend=BACKEND)
    return redirect(local_target(request) or "home")
