"""Requests that cannot be answered are refused before anything reads them."""

from collections.abc import Awaitable, Callable
from typing import cast

from asgiref.sync import iscoroutinefunction
from django.core.exceptions import BadRequest
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.decorators import sync_and_async_middleware

Answer = Callable[[HttpRequest], HttpResponseBase]
AsyncAnswer = Callable[[HttpRequest], Awaitable[HttpResponseBase]]


@sync_and_async_middleware
def refuse_nul(get_response: Answer | AsyncAnswer) -> Answer | AsyncAnswer:
    """No text of ours holds the character NUL and Postgres cannot store it, so an address with it is a mistake."""
    if iscoroutinefunction(get_response):

        async def answer_async(request: HttpRequest) -> HttpResponseBase:
            _check(request)
            return await cast(AsyncAnswer, get_response)(request)

        return answer_async

    def answer(request: HttpRequest) -> HttpResponseBase:
        _check(request)
        return cast(Answer, get_response)(request)

    return answer


def _check(request: HttpRequest) -> None:
    if "\0" in request.path or "%00" in request.META.get("QUERY_STRING", ""):
        raise BadRequest("An address cannot contain the character NUL.")
