"""Request ids: each request gets one, which is sent back and stands on every line that is logged of it."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextvars import Context, copy_context
from typing import Any, Final
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from fastdeploy_bot import facts
from fastdeploy_bot.web import proxies

HEADER: Final = "X-Request-Id"
_FACTS: Final = "fastdeploy.facts"
_WELL_FORMED: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")


def marking(app: WSGIApplication, trusted: Sequence[str]) -> WSGIApplication:
    """The app, each request with an id: the one that a trusted proxy sent along, or a new one."""
    networks = proxies.networks_of(trusted)

    def serve(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        given = environ.get("HTTP_X_REQUEST_ID", "")
        believed = proxies.is_within(environ.get("REMOTE_ADDR", ""), networks) and _WELL_FORMED.fullmatch(given)
        number = given if believed else secrets.token_hex(8)

        def start(status: str, headers: list[tuple[str, str]], *error: Any) -> Callable[[bytes], object]:
            return start_response(status, [*headers, (HEADER, number)], *error)

        with facts.about(request=number) as told:
            environ[_FACTS] = told
            return _Answer(copy_context(), app(environ, start))

    return serve


class _Answer:
    """An answer that is sent, and closed, in the context it was made in: what is logged then is of that request."""

    def __init__(self, context: Context, answer: Iterable[bytes]) -> None:
        self._context = context
        self._answer = answer

    def __iter__(self) -> Iterator[bytes]:
        parts = self._context.run(iter, self._answer)
        while (part := self._context.run(next, parts, None)) is not None:
            yield part

    def close(self) -> None:
        """Let the app do what it has left for after the answer."""
        if (close := getattr(self._answer, "close", None)) is not None:
            self._context.run(close)


def facts_of(environ: Mapping[str, Any]) -> dict[str, object]:
    """What is known of a request by now, its id first; nothing of one that never came to the app."""
    told: dict[str, object] = environ.get(_FACTS, {})
    return told
