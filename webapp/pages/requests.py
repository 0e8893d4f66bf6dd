"""What views ask of a request."""

from django.http import HttpRequest
from django.utils.http import url_has_allowed_host_and_scheme

from webapp.accounts.models import User


def signed_in(request: HttpRequest) -> User:
    """The person behind a request to a view that demands one."""
    assert isinstance(request.user, User)
    return request.user


def local_target(request: HttpRequest) -> str:
    """The page of this site that ``?next=`` names; empty for anything else."""
    target = request.GET.get("next", "")
    is_local = url_has_allowed_host_and_scheme(target, allowed_hosts={request.get_host()})
    return target if is_local else ""
