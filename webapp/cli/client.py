"""Speaks to the HTTP API and turns its errors into sentences."""

import re
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from uuid import UUID

import httpx

from webapp.cli.config import Config
from webapp.cli.errors import CliError, Exit

Json = dict[str, Any]
_CODES = {
    400: Exit.WRONG_INPUT,
    401: Exit.NOT_ALLOWED,
    403: Exit.NOT_ALLOWED,
    404: Exit.NOT_FOUND,
    409: Exit.WRONG_INPUT,
}
_PREFIX = re.compile(r"[0-9a-f-]{4,36}")
_PREFIX_SEARCH_LIMIT = 1000


class Api:
    """One connection to a Kumite server."""

    def __init__(self, config: Config) -> None:
        self.url = config.url
        if not re.fullmatch(r"[!-~]+", config.token):
            raise CliError("That is not a token: it has spaces or characters that no token has.", Exit.WRONG_INPUT)
        self._http = httpx.Client(
            base_url=_checked(config.url) + "/api/v1/",
            headers={"Authorization": f"Bearer {config.token}", "Accept": "application/json"},
            timeout=30,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._http.close()

    def get(self, path: str, **query: Any) -> Any:
        return self._ask("GET", path, params={name: value for name, value in query.items() if value not in (None, "")})

    def post(self, path: str, body: Json | None = None, *, idempotency_key: str = "") -> Any:
        headers = {"Idempotency-Key": idempotency_key} if idempotency_key else {}
        return self._ask("POST", path, json=body or {}, headers=headers)

    def patch(self, path: str, body: Json) -> Any:
        return self._ask("PATCH", path, json=body)

    def put(self, path: str, body: Json) -> Any:
        return self._ask("PUT", path, json=body)

    def delete(self, path: str, **query: Any) -> None:
        self._ask("DELETE", path, params=query)

    def download(self, path: str, to: str, **query: Any) -> Path:
        """Write what stands at ``path`` to a file, whole or not at all."""
        target = Path(to)
        aside = target.with_name(f".{target.name}.part")
        asked: Json = {"params": query} if query else {}
        with self._http.stream("GET", path, headers={"Accept": "*/*"}, **asked) as answer, aside.open("wb") as file:
            if not answer.is_success:
                raise CliError(
                    "There is no such file here, or it is not kept any more. Export it again.", Exit.NOT_FOUND
                )
            for chunk in answer.iter_bytes():
                file.write(chunk)
        return aside.replace(target)

    def pages(self, path: str, *, limit: int, **query: Any) -> Iterator[Json]:
        """Up to ``limit`` rows of a list, page by page."""
        page = self.get(path, limit=min(limit, 200), **query)
        while True:
            yield from page["results"][:limit]
            limit -= len(page["results"])
            if limit <= 0 or not page["next"]:
                return
            page = self._ask("GET", page["next"])

    def workspace(self, slug: str) -> str:
        """The slug, or that of the only workspace one belongs to."""
        slugs = [slug] if slug else [str(each["slug"]) for each in self.pages("workspaces/", limit=2)]
        if len(slugs) != 1:
            raise CliError(
                "Say in which workspace with --workspace: you belong to several, or to none.", Exit.WRONG_INPUT
            )
        return slugs[0]

    def run_id(self, text: str) -> str:
        """The id of a run named by its id, the beginning of its id, or ``last``."""
        try:
            return str(UUID(text))
        except ValueError:
            pass
        if text != "last" and not _PREFIX.fullmatch(text.lower()):
            raise CliError(
                f"{text!r} does not name a run. Give its id, the first 4 or more characters of it, or 'last'.",
                Exit.WRONG_INPUT,
            )
        limit = 1 if text == "last" else _PREFIX_SEARCH_LIMIT
        ids = [str(run["id"]) for run in self.pages("runs/", limit=limit)]
        found = ids if text == "last" else [run_id for run_id in ids if run_id.startswith(text.lower())]
        if len(found) == 1:
            return found[0]
        if found:
            raise CliError(f"{len(found)} runs begin with {text!r}. Give more characters.", Exit.WRONG_INPUT)
        raise CliError("There is no run yet." if text == "last" else f"No run begins with {text!r}.", Exit.NOT_FOUND)

    def _ask(self, method: str, path: str, **options: Any) -> Any:
        try:
            answer = self._http.request(method, path, **options)
        except httpx.TransportError as error:
            raise CliError(
                f"No Kumite server answers at {self.url} ({error}). Is it running? Start one with: kumite up",
                Exit.UNREACHABLE,
            ) from error
        if answer.is_success:
            return answer.json() if answer.content else None
        raise CliError(_explain(answer, self.url), _CODES.get(answer.status_code, Exit.FAILED))


def _checked(url: str) -> str:
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        parsed = httpx.URL("")
    if parsed.scheme not in {"http", "https"} or not parsed.host:
        raise CliError(f"{url!r} is not an address such as http://127.0.0.1:8000", Exit.WRONG_INPUT)
    return url


def _explain(answer: httpx.Response, url: str) -> str:
    try:
        error = answer.json()["error"]
        message, fields = str(error["message"]), list(error["fields"])
    except (ValueError, KeyError, TypeError):
        return f"{url} answered with status {answer.status_code} and nothing readable. Is this a Kumite server?"
    if answer.status_code == 401:
        message += " Sign in again with: kumite login"
    lines = [f"  {field['path']}: {field['message']}" for field in fields if field["path"]]
    general = [f"  {field['message']}" for field in fields if not field["path"] and field["message"] not in message]
    return "\n".join([message, *lines, *general])
