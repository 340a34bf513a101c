"""The client: carries calls to GitHub's REST interface and brings back what it answers. Nothing else talks to it.

What is called, and how, stands in the modules of `api`, one function an endpoint.
Source: https://docs.github.com/en/rest
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Collection, Mapping
from http import HTTPStatus
from typing import Any, Final, TypeVar
from urllib.parse import quote, urlencode, urljoin, urlsplit

import msgspec
import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError, ReadTimeoutError

from fastdeploy_bot import __version__
from fastdeploy_bot.errors import FastdeployError
from fastdeploy_bot.forge.github import deadline, policy
from fastdeploy_bot.forge.github.policy import Refusal
from fastdeploy_bot.settings import OAuthApp

T = TypeVar("T")

TIMEOUT: Final = (5.0, 15.0)
"""Seconds to be connected in, and between two pieces of an answer; `deadline` bounds all of it."""
LARGEST_ANSWER: Final = 1 << 20
KEPT: Final = (*policy.DECIDING, "etag", "link")
"""The headers of an answer that somebody looks at, in lower case."""
OK: Final = frozenset({HTTPStatus.OK})

_MOVED: Final = frozenset({301, 302, 307, 308})
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]+")


class _TooLarge(requests.ConnectionError):
    """There is more of an answer than anybody wants to hold."""


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
        self._session = _Session()
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, _Hurried())
        # A proxy of the environment is for what leaves this host; plain http never does.
        self._session.trust_env = urlsplit(api_url).scheme == "https"
        self._session.headers.update(
            {
                "Accept": accept,
                "Accept-Encoding": "identity",
                "User-Agent": f"fastdeploy_bot/{__version__}",
                "X-GitHub-Api-Version": api_version,
            }
        )

    def close(self) -> None:
        """Let go of its connections."""
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
        self.said = {}
        try:
            answer = self._send(method, _address(self._base + path, query), token, body, etag)
            data = _read(answer, largest)
        except _TooLarge as error:
            final = answer.status_code in expected
            raise CallFailed(Refusal(None, f"GitHub cannot be reached: {error}", final=final)) from error
        except requests.RequestException as error:
            raise CallFailed(Refusal(None, f"GitHub cannot be reached: {_cause(error)}")) from error
        headers = {name: answer.headers[name] for name in KEPT if name in answer.headers}
        self.said = {name: headers[name] for name in policy.DECIDING if name in headers}
        if answer.status_code not in expected:
            raise CallFailed(Refusal(answer.status_code, _complaint(answer.status_code, data), self.said))
        return Answer(answer.status_code, data, headers)

    def _send(
        self, method: str, url: str, token: str | OAuthApp | None, body: Mapping[str, object] | None, etag: str | None
    ) -> requests.Response:
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
    ) -> requests.Response:
        return self._session.request(
            method,
            url,
            headers={} if etag is None else {"If-None-Match": etag},
            auth=_Signed(token),
            json=body,
            timeout=TIMEOUT,
            allow_redirects=False,
            stream=True,
        )

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


class _Session(requests.Session):
    """Follows nothing by itself, and so does not read answers to the end to see where they lead."""

    def get_redirect_target(self, _answer: requests.Response) -> None:
        """Nowhere."""


class _Plain(HTTPConnection):
    response_class = deadline.Answer


class _Secure(HTTPSConnection):
    response_class = deadline.Answer


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _Plain


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _Secure


class _Hurried(HTTPAdapter):
    """Has every answer keep its deadline; `requests` itself bounds only how long nothing comes."""

    def init_poolmanager(self, *args: Any, **options: Any) -> None:  # Any: passed on as they are
        """Make the pools of such connections."""
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:  # Any: as it is there
        """Make them for what goes through a proxy, too."""
        manager = super().proxy_manager_for(proxy, **options)
        manager.pool_classes_by_scheme = _POOLS
        return manager


_POOLS: Final = {"http": _PlainPool, "https": _SecurePool}


class _Signed(AuthBase):
    """Says who calls. Being there, it also keeps `requests` from looking for a password in ~/.netrc."""

    def __init__(self, token: str | OAuthApp | None) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if isinstance(self._token, OAuthApp):
            pair = f"{self._token.client_id}:{self._token.client_secret}"
            request.headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        elif self._token is not None:
            request.headers["Authorization"] = f"Bearer {self._token}"
        return request


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


def _read(answer: requests.Response, largest: int) -> Any:  # Any: JSON is yet to be judged
    """The answer's JSON, or None. Raises RequestException where it is too large, too slow, packed or cut off."""
    data = b""
    with answer:
        # Unpacking could make any amount of it, and we asked for nothing of the kind.
        if answer.headers.get("Content-Encoding", "identity").strip().lower() not in ("", "identity"):
            raise requests.ConnectionError("its answer is packed, which was not asked for")
        try:
            for piece in answer.raw.stream(1 << 16, decode_content=False):
                data += piece
                if len(data) > largest:
                    raise _TooLarge(f"its answer is larger than {largest} bytes")
        except ReadTimeoutError as error:
            raise requests.Timeout from error
        except HTTPError as error:
            raise requests.ConnectionError from error
    try:
        return _parsed(data.decode(errors="replace"))
    except (ValueError, RecursionError):
        return None


def _parsed(text: str) -> Any:  # Any: JSON is yet to be judged
    """What JSON says, with `?` for halves of surrogate pairs: it can tell of them, and no row can hold them."""
    found = json.loads(text)
    if "\\ud" not in text.lower():
        return found
    return json.loads(json.dumps(found, ensure_ascii=False).encode(errors="replace"))


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


def _cause(error: requests.RequestException) -> str:
    """Why there was no answer, in words without addresses and objects."""
    if isinstance(error, requests.Timeout):
        return "it took too long"
    if isinstance(error, requests.exceptions.SSLError):
        return "its certificate cannot be verified"
    if isinstance(error, requests.exceptions.ProxyError):
        return "the proxy cannot be reached"
    return str(error) if str(error).startswith("its answer") else "the connection failed"
