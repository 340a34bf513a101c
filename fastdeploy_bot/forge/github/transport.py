"""The transport: carries the client's requests by `requests`, each answer bounded in time and size."""

from __future__ import annotations

import base64
import json
from typing import Any, Final

import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError, ReadTimeoutError

from fastdeploy_bot.forge.github import deadline
from fastdeploy_bot.settings import OAuthApp

Failed = requests.RequestException
Response = requests.Response


class TooLarge(requests.ConnectionError):
    """There is more of an answer than anybody wants to hold."""


class Session(requests.Session):
    """Keeps deadlines, and follows nothing by itself: so it reads no answer to the end to see where that leads."""

    def __init__(self) -> None:
        super().__init__()
        for scheme in ("http://", "https://"):
            self.mount(scheme, _Hurried())

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


class Signed(AuthBase):
    """Says who calls. Being there, it also keeps `requests` from looking for a password in ~/.netrc."""

    def __init__(self, token: str | OAuthApp | None) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Say it in a request's header."""
        if isinstance(self._token, OAuthApp):
            pair = f"{self._token.client_id}:{self._token.client_secret}"
            request.headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        elif self._token is not None:
            request.headers["Authorization"] = f"Bearer {self._token}"
        return request


def read(answer: requests.Response, largest: int) -> Any:  # Any: JSON is yet to be judged
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
                    raise TooLarge(f"its answer is larger than {largest} bytes")
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


def cause(error: Failed) -> str:
    """Why there was no answer, in words without addresses and objects."""
    if isinstance(error, requests.Timeout):
        return "it took too long"
    if isinstance(error, requests.exceptions.SSLError):
        return "its certificate cannot be verified"
    if isinstance(error, requests.exceptions.ProxyError):
        return "the proxy cannot be reached"
    return str(error) if str(error).startswith("its answer") else "the connection failed"
