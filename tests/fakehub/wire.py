"""What goes over the wire to and from the GitHub of our own, and the parts that it is made of."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from fakehub import FakeHub

APP_ID: Final = "1234"
CLIENT_ID: Final = "Iv23fakehub"
INSTALLATION: Final = 77
TOKEN: Final = "ghp_of_a_user"
MOVED: Final = 4711
"""The number of the repository octo-org/shop."""
VERSION: Final = "2022-11-28"

Json = dict[str, Any]


class Call(NamedTuple):
    """A request, and what became of it; status 0: no answer."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: Json | None
    status: int
    at: float
    """When it came, by the monotonic clock."""


class Fault(NamedTuple):
    """What goes wrong with one request."""

    status: int | None = None
    """What is answered in place of the truth; None: the truth."""
    message: str = "Something went wrong"
    headers: Mapping[str, str] = {}
    raw: bytes | None = None
    """A body that is no JSON of GitHub's."""
    drop: bool = False
    """Whether the connection is closed without an answer."""
    done: bool = False
    """Whether the request is carried out all the same, and its answer alone is lost."""
    hold: threading.Event | threading.Barrier | None = None
    """What must happen before anything else does."""


DROPPED: Final = Fault(drop=True)


class Answer(NamedTuple):
    """What is sent back; status 0: nothing is."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Refused(Exception):
    """GitHub's own refusal of a request."""

    def __init__(self, status: int, message: str, *errors: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers or {}
        self.body: Json = {"message": message}
        if errors:
            self.body["errors"] = [{"resource": "Status", "code": "custom", "message": each} for each in errors]


class Request(NamedTuple):
    """A request as a part sees it: believed to be well made, not to be allowed."""

    method: str
    path: str
    """Without the server's prefix and the query."""
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: Json

    @property
    def bearer(self) -> str:
        """What it is signed in with."""
        scheme, _, token = self.headers.get("authorization", "").partition(" ")
        return token if scheme.lower() in ("bearer", "token") else ""


Handler = Callable[[Request, re.Match[str]], Answer]


class Area:
    """A part of GitHub: its own routes, each `METHOD /path/with/{names}`, and its own state."""

    def __init__(self, hub: FakeHub) -> None:
        self.hub = hub
        self._routes = [(_pattern(route), handler) for route, handler in self.routes().items()]

    def routes(self) -> Mapping[str, Handler]:
        """What it answers to; `{repository}` is owner and name, `{ref}` has slashes, every other name has none."""
        raise NotImplementedError

    def answer(self, request: Request) -> Answer | None:
        """Its answer; None where it has no such route. Raises Refused."""
        for pattern, handler in self._routes:
            if found := pattern.fullmatch(f"{request.method} {request.path}"):
                return handler(request, found)
        return None


def _pattern(route: str) -> re.Pattern[str]:
    text = (
        re.escape(route).replace(r"\{repository\}", r"(?P<repository>[^/]+/[^/]+)").replace(r"\{ref\}", "(?P<ref>.*)")
    )
    return re.compile(re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+)", text))


def as_json(body: object) -> bytes:
    """A body as it is sent."""
    return json.dumps(body).encode()


def answered(body: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    """An answer in JSON."""
    return Answer(status, headers or {}, as_json(body))


def a_page(request: Request, name: str, items: Sequence[Json]) -> Answer:
    """A page of a list, as long as is asked for."""
    size, number = int(request.query.get("per_page", 30)), int(request.query.get("page", 1))
    return answered({"total_count": len(items), name: items[(number - 1) * size : number * size]})
