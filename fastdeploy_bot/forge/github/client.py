"""The client: carries calls to GitHub's REST interface and brings back what it answers. Nothing else talks to it.

What is called, and how, stands in the modules of `api`, one function an endpoint.
Source: https://docs.github.com/en/rest
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import quote, urlencode, urljoin, urlsplit

import msgspec

from fastdeploy_bot import __version__
from fastdeploy_bot.errors import FastdeployError
from fastdeploy_bot.forge.github import policy
from fastdeploy_bot.forge.github.policy import Refusal
from fastdeploy_bot.settings import OAuthApp

if TYPE_CHECKING:  # loaded at the first call: a bot that has none to make, or not yet, need not wait for it
    from fastdeploy_bot.forge.github import transport

T = TypeVar("T")

TIMEOUT: Final = (5.0, 15.0)
"""Seconds to be connected in, and between two pieces of an answer; `deadline` bounds all of it."""
LARGEST_ANSWER: Final = 1 << 20
KEPT: Final = (*policy.DECIDING, "etag", "link")
"""The headers of an answer that somebody looks at, in lower case."""
OK: Final = frozenset({HTTPStatus.OK})

_MOVED: Final = frozenset({301, 302, 307, 308})
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]+")


class CallFailed(FastdeployError):
    """GitHub did not do what it was asked to."""

    status = HTTPStatus.BAD_GATEWAY

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal

    @property
    def permanent(self) -> bool:
        """Whether the same call would fail again."""
        return policy.is_permanent(self.refusal)


class Answer(msgspec.Struct, frozen=True):
    """What GitHub answered."""

    status: int
    data: Any  # Any: each endpoint has its own answer
    headers: Mapping[str, str]
    """Those of `KEPT` that came, in lower case."""


class Numbered(msgspec.Struct, frozen=True):
    """What GitHub made or keeps, as far as its id goes."""

    id: int


class Client:
    """Calls one GitHub, given by its `github_api_url`. For one thread at a time."""

    def __init__(self, api_url: str, api_version: str, *, accept: str = "application/vnd.github+json") -> None:
        self._base = api_url
        self.said: Mapping[str, str] = {}
        """The headers of the last answer that say how to go on."""
        self._session: transport.Session | None = None
        self._headers = {
            "Accept": accept,
            "Accept-Encoding": "identity",
            "User-Agent": f"fastdeploy_bot/{__version__}",
            "X-GitHub-Api-Version": api_version,
        }

    def close(self) -> None:
        """Let go of its connections."""
        if self._session is not None:
            self._session.close()

    def call(
        self,
        method: str,
        path: str,
        token: str | OAuthApp | None,
        *,
        expected: Collection[int] = OK,
        body: Mapping[str, object] | None = None,
        query: Mapping[str, str | int] | None = None,
        etag: str | None = None,
        largest: int = LARGEST_ANSWER,
    ) -> Answer:
        """What GitHub answers, where its status is one of those expected; raises CallFailed where it is not.

        `token` is what the call is signed in with, a token, a JWT, or an App by its client secret; None for the calls
        without that.
        With the `etag` of an earlier answer, GitHub says 304 where nothing has changed since; that has to be expected.
        Of an answer at most `largest` bytes are read.
        """
        from fastdeploy_bot.forge.github import transport

        self.said = {}
        try:
            answer = self._send(method, _address(self._base + path, query), token, body, etag)
            data = transport.read(answer, largest)
        except transport.TooLarge as error:
            final = answer.status_code in expected
            raise CallFailed(Refusal(None, f"GitHub cannot be reached: {error}", final=final)) from error
        except transport.Failed as error:
            raise CallFailed(Refusal(None, f"GitHub cannot be reached: {transport.cause(error)}")) from error
        headers = {name: answer.headers[name] for name in KEPT if name in answer.headers}
        self.said = {name: headers[name] for name in policy.DECIDING if name in headers}
        if answer.status_code not in expected:
            raise CallFailed(Refusal(answer.status_code, _complaint(answer.status_code, data), self.said))
        return Answer(answer.status_code, data, headers)

    def _send(
        self, method: str, url: str, token: str | OAuthApp | None, body: Mapping[str, object] | None, etag: str | None
    ) -> transport.Response:
        """Send a call, and once more to where a renamed repository is now."""
        answer = self._send_once(method, url, token, body, etag)
        if answer.status_code not in _MOVED:
            return answer
        there = self._followed(url, answer.headers.get("Location", ""))
        if there is None:
            return answer
        answer.close()
        return self._send_once(method, there, token, body, etag)

    def _send_once(
        self, method: str, url: str, token: str | OAuthApp | None, body: Mapping[str, object] | None, etag: str | None
    ) -> transport.Response:
        from fastdeploy_bot.forge.github import transport

        return self._opened().request(
            method,
            url,
            headers={} if etag is None else {"If-None-Match": etag},
            auth=transport.Signed(token),
            json=body,
            timeout=TIMEOUT,
            allow_redirects=False,
            stream=True,
        )

    def _opened(self) -> transport.Session:
        from fastdeploy_bot.forge.github import transport

        if self._session is None:
            self._session = transport.Session()
            # A proxy of the environment is for what leaves this host; plain http never does.
            self._session.trust_env = urlsplit(self._base).scheme == "https"
            self._session.headers.update(self._headers)
        return self._session

    def _followed(self, url: str, location: str) -> str | None:
        """Where a call goes on that was sent to `url`; None where that is not our host: a token is shown to no other.

        The address is put together anew behind our own host, so that nobody reads another one out of it.
        """
        ours = urlsplit(self._base)
        try:
            theirs = urlsplit(urljoin(url, location))
        except ValueError:
            return None
        if (ours.scheme, ours.netloc.lower()) != (theirs.scheme, theirs.netloc.lower()):
            return None
        path = quote(theirs.path, safe="/%:@!$&'()*+,;=~")
        query = quote(theirs.query, safe="/%:@!$&'()*+,;=~?")
        return f"{ours.scheme}://{ours.netloc}/{path.lstrip('/')}{'?' if query else ''}{query}"


def repository_path(repository: str) -> str:
    """The path of a repository, whatever its row holds. Raises CallFailed where it would lead elsewhere."""
    parts = repository.split("/", 1)
    if len(parts) != 2 or {"", ".", ".."} & set(parts):
        raise CallFailed(Refusal(404, f"no repository has the name {repository!r}"))
    return "/repos/" + "/".join(quote(part, safe="") for part in parts)


def not_understood(what: str) -> CallFailed:
    """The failure of a call whose answer is not as GitHub describes it."""
    return CallFailed(Refusal(None, f"GitHub's answer was not understood: {what} in it"))


def understood(data: object, shape: type[T], what: str) -> T:
    """An answer in that shape; raises CallFailed where it has no such thing, of which `what` tells people."""
    try:
        return msgspec.convert(data, shape)
    except msgspec.ValidationError as error:
        raise not_understood(f"no {what}") from error


def _address(url: str, query: Mapping[str, str | int] | None) -> str:
    return f"{url}?{urlencode(query)}" if query else url


def _complaint(status: int, data: Any) -> str:  # Any: JSON is yet to be judged
    """What GitHub says is wrong, in one line: its message, and that of the first error it names."""
    if status in _MOVED:
        return f"GitHub answered {status}: moved to where it is not followed"
    said = []
    if isinstance(data, dict):
        errors = data.get("errors")
        first = errors[0] if isinstance(errors, list) and errors else None
        said = [data.get("message"), first.get("message") if isinstance(first, dict) else first]
    words = ": ".join(_CONTROL.sub(" ", text)[:200] for text in said if isinstance(text, str) and text)
    return f"GitHub answered {status}{': ' if words else ''}{words}"
