"""The client: calls GitHub's REST interface, one function an endpoint. Nothing else here talks to GitHub.

Source: https://docs.github.com/en/rest
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from datetime import datetime
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote, urljoin, urlsplit

import msgspec
import requests
from requests.auth import AuthBase

from fastdeploy_bot import __version__
from fastdeploy_bot.errors import FastdeployError
from fastdeploy_bot.forge.github import policy
from fastdeploy_bot.forge.github.policy import Refusal
from fastdeploy_bot.forge.github.texts import Status

TIMEOUT: Final = (5.0, 15.0)
"""Seconds to be connected in, and between two pieces of an answer."""
LONGEST_ANSWER_SECONDS: Final = 30.0
LARGEST_ANSWER: Final = 1 << 20
PERMISSIONS: Final[Mapping[str, str]] = {"metadata": "read", "statuses": "write"}
"""All that an installation token is asked for."""

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


class InstallationToken(msgspec.Struct, frozen=True):
    """What a GitHub App works with in a repository."""

    token: str
    expires: int
    """Unix milliseconds, by GitHub's clock."""

    def __repr__(self) -> str:
        return f"InstallationToken('********', {self.expires})"


class Client:
    """Calls one GitHub, given by its `github_api_url`. Each function raises CallFailed."""

    def __init__(self, api_url: str, api_version: str) -> None:
        self._base = api_url
        self._session = requests.Session()
        # A proxy of the environment is for what leaves this host; plain http never does.
        self._session.trust_env = urlsplit(api_url).scheme == "https"
        self._session.headers.update(
            {
                "Accept": "application/vnd.github+json",
                "Accept-Encoding": "identity",
                "User-Agent": f"fastdeploy_bot/{__version__}",
                "X-GitHub-Api-Version": api_version,
            }
        )

    def close(self) -> None:
        """Let go of its connections."""
        self._session.close()

    def create_status(
        self, token: str, repository: str, sha: str, status: Status, *, context: str, target_url: str
    ) -> dict[str, str]:
        """Let a commit have this status under that context; answers the headers that say how to go on."""
        path = f"/repos/{_path(repository)}/statuses/{quote(sha, safe='')}"
        body = {
            "state": status.state,
            "description": status.description,
            "context": context,
            "target_url": target_url,
        }
        return self._call("POST", path, token, HTTPStatus.CREATED, body).headers

    def may_push(self, token: str, repository: str) -> bool | None:
        """Whether a user's token may write to a repository; None where GitHub does not say, as of an App's."""
        permissions = self._call("GET", f"/repos/{_path(repository)}", token, HTTPStatus.OK).data.get("permissions")
        return bool(permissions.get("push")) if isinstance(permissions, dict) else None

    def installation_of(self, jwt: str, repository: str) -> int:
        """The id of the App's installation on a repository."""
        answer = self._call("GET", f"/repos/{_path(repository)}/installation", jwt, HTTPStatus.OK)
        number = answer.data.get("id")
        if not isinstance(number, int):
            raise _not_understood("no id of an installation")
        return number

    def installation_token(self, jwt: str, installation: int, repository: str) -> InstallationToken:
        """A token for that one repository, with no more permissions than are needed."""
        body = {"repositories": [repository.rpartition("/")[2]], "permissions": dict(PERMISSIONS)}
        path = f"/app/installations/{installation}/access_tokens"
        answer = self._call("POST", path, jwt, HTTPStatus.CREATED, body)
        try:
            expires = datetime.fromisoformat(answer.data["expires_at"])
            token = InstallationToken(str(answer.data["token"]), int(expires.timestamp() * 1_000))
        except (KeyError, TypeError, ValueError) as error:
            raise _not_understood("no token") from error
        return token

    def _call(
        self, method: str, path: str, token: str, expected: HTTPStatus, body: Mapping[str, object] | None = None
    ) -> _Answer:
        """What GitHub answers, where that is what was expected."""
        try:
            answer = self._send(method, self._base + path, token, body)
            data = _read(answer)
        except requests.RequestException as error:
            raise CallFailed(Refusal(None, f"GitHub cannot be reached: {_cause(error)}")) from error
        headers = {name: answer.headers[name] for name in policy.DECIDING if name in answer.headers}
        if answer.status_code != expected:
            raise CallFailed(Refusal(answer.status_code, _complaint(answer.status_code, data), headers))
        return _Answer(data if isinstance(data, dict) else {}, headers)

    def _send(self, method: str, url: str, token: str, body: Mapping[str, object] | None) -> requests.Response:
        """Send a call, and once more to where a renamed repository is now."""
        answer = self._send_once(method, url, token, body)
        if answer.status_code not in _MOVED:
            return answer
        there = urljoin(url, answer.headers.get("Location", ""))
        if not self._is_ours(there):
            return answer
        answer.close()
        return self._send_once(method, there, token, body)

    def _send_once(self, method: str, url: str, token: str, body: Mapping[str, object] | None) -> requests.Response:
        return self._session.request(
            method, url, auth=_Bearer(token), json=body, timeout=TIMEOUT, allow_redirects=False, stream=True
        )

    def _is_ours(self, url: str) -> bool:
        """Whether an address is of the same host as ours: a token is shown to no other."""
        ours, theirs = urlsplit(self._base), urlsplit(url)
        return (ours.scheme, ours.netloc.lower()) == (theirs.scheme, theirs.netloc.lower())


class _Answer(msgspec.Struct, frozen=True):
    """What GitHub answered."""

    data: dict[str, Any]  # Any: each endpoint has its own answer
    headers: dict[str, str]
    """Those that say how to go on."""


class _Bearer(AuthBase):
    """Says who calls. Being there, it also keeps `requests` from looking for a password in ~/.netrc."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


def _path(repository: str) -> str:
    """A repository as part of a path, whatever its row holds. Raises CallFailed where it would lead elsewhere."""
    parts = repository.split("/", 1)
    if len(parts) != 2 or {"", ".", ".."} & set(parts):
        raise CallFailed(Refusal(404, f"no repository has the name {repository!r}"))
    return "/".join(quote(part, safe="") for part in parts)


def _read(answer: requests.Response) -> Any:  # Any: JSON is yet to be judged
    """The answer's JSON, or None. Raises RequestException where it is too large, too slow or cut off."""
    begun, data = time.monotonic(), b""
    with answer:
        for piece in answer.iter_content(1 << 16):
            data += piece
            if len(data) > LARGEST_ANSWER:
                raise requests.ConnectionError(f"its answer is larger than {LARGEST_ANSWER} bytes")
            if time.monotonic() - begun > LONGEST_ANSWER_SECONDS:
                raise requests.Timeout(f"its answer took longer than {LONGEST_ANSWER_SECONDS:g} s")
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


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


def _not_understood(what: str) -> CallFailed:
    return CallFailed(Refusal(None, f"GitHub's answer was not understood: {what} in it"))
