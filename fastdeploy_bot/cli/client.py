"""An HTTP client of the bot's API: bearer token out, typed JSON in, problems as the errors that they are here too.

Built on urllib, which starts in a third of the time that requests needs.
"""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from email.message import Message
from http import HTTPStatus
from typing import IO, Any, Final, TypeVar
from urllib.parse import quote, urlencode, urlsplit
from uuid import uuid4

import msgspec

from fastdeploy_bot import __version__, values
from fastdeploy_bot.errors import (
    Conflict,
    FastdeployError,
    Forbidden,
    Gone,
    Invalid,
    Malformed,
    NotFound,
    Unauthenticated,
    Unavailable,
)

T = TypeVar("T")

SECONDS: Final = 30
"""How long an answer may take."""
LONGEST_DETAIL: Final = 2_000
_PROBLEMS: Final[dict[int, type[FastdeployError]]] = {
    each.status: each for each in (Malformed, Forbidden, NotFound, Conflict, Gone, Invalid)
}


class Reply(msgspec.Struct, frozen=True):
    """What the bot answered with success."""

    headers: Mapping[str, str]
    body: bytes


class AnswerLost(Unavailable):
    """The bot was asked, and its answer did not arrive."""


class _Problem(msgspec.Struct, frozen=True):
    """An error's body, as far as it is told. Source: RFC 9457."""

    detail: str = ""


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Leaves redirects to whoever called: a token goes to no other address than it was meant for."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> None:
        """No new request."""


class Client:
    """Calls one bot, by its address and a token of it."""

    def __init__(self, url: str, token: str | None) -> None:
        self.url = url
        self._token = token
        handlers: list[urllib.request.BaseHandler] = [_NoRedirects()]
        if values.is_loopback(urlsplit(url).hostname or ""):
            handlers.append(urllib.request.ProxyHandler({}))
        self._opener = urllib.request.build_opener(*handlers)

    @property
    def headers(self) -> dict[str, str]:
        """What every request carries."""
        bearer = {} if self._token is None else {"Authorization": f"Bearer {self._token}"}
        return {"User-Agent": f"fastdeploy/{__version__}", **bearer}

    def get(self, shape: type[T], *path: str | int, **query: str | int) -> T:
        """What a GET of that path answers."""
        return self._read(shape, self.fetch(*path, **query))

    def fetch(self, *path: str | int, **query: str | int) -> Reply:
        """The same, as bytes."""
        return self._send("GET", path, query=query)

    def post(self, shape: type[T], *path: str | int, body: Mapping[str, Any] | None = None) -> T:
        """What a POST answers; it is sent once more where its answer was lost, and carried out once all the same."""
        data = json.dumps(body or {}).encode()
        key = {"Idempotency-Key": str(uuid4())}
        try:
            reply = self._send("POST", path, data=data, headers=key)
        except AnswerLost:
            reply = self._send("POST", path, data=data, headers=key)
        return self._read(shape, reply)

    def delete(self, *path: str | int) -> None:
        """A DELETE of that path."""
        self._send("DELETE", path)

    def _send(
        self,
        method: str,
        path: tuple[str | int, ...],
        *,
        query: Mapping[str, str | int] = {},
        data: bytes | None = None,
        headers: Mapping[str, str] = {},
    ) -> Reply:
        where = "/".join(quote(str(part), safe="") for part in ("api", "v1", *path))
        request = urllib.request.Request(  # noqa: S310 - an address that the caller chose, http or https
            f"{self.url}/{where}" + (f"?{urlencode(query)}" if query else ""),
            data=data,
            headers={**self.headers, "Accept": "application/json", "Content-Type": "application/json", **headers},
            method=method,
        )
        try:
            with self._opener.open(request, timeout=SECONDS) as answer:
                return Reply(answer.headers, answer.read())
        except urllib.error.HTTPError as error:
            with error:
                raise self._refusal(error) from error
        except urllib.error.URLError as error:
            raise Unavailable(f"no bot answers on {self.url}: {_why(error.reason)}") from error
        except (OSError, http.client.HTTPException) as error:
            raise AnswerLost(f"the answer from {self.url} was lost: {_why(error)}") from error

    def _refusal(self, error: urllib.error.HTTPError) -> FastdeployError:
        """What a status of 300 and more means here."""
        if error.code < HTTPStatus.BAD_REQUEST:
            elsewhere = error.headers.get("Location", "another address")[:LONGEST_DETAIL]
            return Unavailable(f"{self.url} sends on to {elsewhere}: say --url with the bot's own address")
        detail = _detail(error)
        if detail is None:
            return Unavailable(f"{self.url} answers {error.code}: there is no bot, or its proxy cannot reach it")
        if error.code == HTTPStatus.UNAUTHORIZED:
            return Unauthenticated(f"{self.url} refuses FASTDEPLOY_USER_TOKEN: {detail}")
        other = FastdeployError if error.code < HTTPStatus.INTERNAL_SERVER_ERROR else Unavailable
        return _PROBLEMS.get(error.code, other)(detail)

    def _read(self, shape: type[T], reply: Reply) -> T:
        try:
            return msgspec.json.decode(reply.body, type=shape)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Unavailable(f"{self.url} answers what no bot of this version would: {error}") from error


def _detail(error: urllib.error.HTTPError) -> str | None:
    """What a problem says; None where the answer is no problem document, so that no bot has given it."""
    if error.headers.get_content_type() != "application/problem+json":
        return None
    try:
        return msgspec.json.decode(error.read(), type=_Problem).detail[:LONGEST_DETAIL]
    except (msgspec.DecodeError, UnicodeDecodeError, OSError, http.client.HTTPException):
        return None


def _why(error: object) -> str:
    return (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__
