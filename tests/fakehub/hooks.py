"""Webhooks: what each delivered, how that was answered, and delivering it again."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import re
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final, NamedTuple
from urllib.parse import urlsplit
from uuid import uuid4

from fakehub.wire import TOKEN, Answer, Area, Handler, Refused, Request, answered

PAGE: Final = 30

Deliver = Callable[[bytes, dict[str, str]], int]
"""Posts a body with these headers; answers the status, 502 where nobody is there."""


class Attempt(NamedTuple):
    """One attempt to deliver something."""

    id: int
    guid: str
    event: str
    body: bytes
    at: float
    status: int
    again: bool
    repository_id: int


class Hook:
    """A webhook that leads to an address."""

    def __init__(self, url: str, secret: str, *, repository_id: int, deliver: Deliver | None = None) -> None:
        """Where `deliver` is given, it is used in place of HTTP, and only when the test says so."""
        self.url = url
        self.attempts: list[Attempt] = []
        self.waiting: list[Attempt] = []
        """What is to be delivered again."""
        self._secret = secret
        self._repository_id = repository_id
        self._deliver = deliver
        self._post = deliver or self._over_http

    def send(self, body: bytes, *, event: str = "push", guid: str = "", at: float | None = None) -> Attempt:
        """Deliver something for the first time."""
        return self._attempt(guid or str(uuid4()), event, body, at or time.time(), again=False)

    def lose(self, body: bytes, *, event: str = "push", guid: str = "", at: float | None = None) -> Attempt:
        """Fail to deliver something."""
        made = Attempt(
            self._next(),
            guid or str(uuid4()),
            event,
            body,
            at or time.time(),
            502,
            again=False,
            repository_id=self._repository_id,
        )
        self.attempts.append(made)
        return made

    def again(self, number: int) -> None:
        """Deliver something once more, soon."""
        [known] = [attempt for attempt in self.attempts if attempt.id == number]
        self.waiting.append(known)
        if self._deliver is None:
            threading.Thread(target=self.flush, daemon=True).start()

    def flush(self, at: float | None = None) -> None:
        """Deliver all that waits."""
        while self.waiting:
            each = self.waiting.pop(0)
            self._attempt(each.guid, each.event, each.body, at or time.time(), again=True)

    def shown(self) -> list[dict[str, object]]:
        """The attempts as GitHub lists them, newest first."""
        return [self._shown(each) for each in reversed(self.attempts)]

    def _attempt(self, guid: str, event: str, body: bytes, at: float, *, again: bool) -> Attempt:
        signature = hmac.new(self._secret.encode(), body, hashlib.sha256).hexdigest()
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "GitHub-Hookshot/044aadd",
            "X-GitHub-Event": event,
            "X-GitHub-Delivery": guid,
            "X-Hub-Signature-256": f"sha256={signature}",
        }
        made = Attempt(self._next(), guid, event, body, at, self._post(body, headers), again, self._repository_id)
        self.attempts.append(made)
        return made

    def _next(self) -> int:
        return 10_000 + len(self.attempts)

    def _over_http(self, body: bytes, headers: dict[str, str]) -> int:
        parts = urlsplit(self.url)
        connection = http.client.HTTPConnection(parts.netloc, timeout=10)
        try:
            connection.request("POST", parts.path, body, headers)
            return connection.getresponse().status
        except OSError:
            return 502
        finally:
            connection.close()

    @staticmethod
    def _shown(attempt: Attempt) -> dict[str, object]:
        return {
            "id": attempt.id,
            "guid": attempt.guid,
            "delivered_at": datetime.fromtimestamp(attempt.at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "redelivery": attempt.again,
            "duration": 0.1,
            "status": "OK" if attempt.status < 300 else "failed to connect to host",
            "status_code": attempt.status,
            "event": attempt.event,
            "action": None,
            "installation_id": None,
            "repository_id": attempt.repository_id,
            "throttled_at": None,
        }


class Hooks(Area):
    """They stand in the hub's `hooks` by their repositories, and in its `app_hook`."""

    def routes(self) -> Mapping[str, Handler]:
        """Where they lead, what they delivered, and that again."""
        return {
            "GET /app/hook/config": self._config,
            "GET /app/hook/deliveries": lambda request, _: self._list(request, self._of_app(request)),
            "POST /app/hook/deliveries/{attempt}/attempts": lambda request, found: _again(self._of_app(request), found),
            "GET /repos/{repository}/hooks": self._hooks,
            "GET /repos/{repository}/hooks/{number}/deliveries": lambda request, found: self._list(
                request, self._one(request, found)
            ),
            "POST /repos/{repository}/hooks/{number}/deliveries/{attempt}/attempts": lambda request, found: _again(
                self._one(request, found), found
            ),
        }

    def _config(self, request: Request, _: re.Match[str]) -> Answer:
        self.hub.require_app(request.bearer)
        url = self.hub.app_hook.url if self.hub.app_hook is not None else ""
        return answered({"content_type": "json", "insecure_ssl": "0", "secret": "********", "url": url})

    def _hooks(self, request: Request, found: re.Match[str]) -> Answer:
        hooks = self._of_repository(request, found)
        shown = [{"id": number, "type": "Repository", "config": {"url": each.url}} for number, each in hooks.items()]
        return answered(shown)

    def _list(self, request: Request, hook: Hook) -> Answer:
        begin, size = int(request.query.get("cursor", "0")), int(request.query.get("per_page", PAGE))
        shown = hook.shown()
        link = f'<{self.hub.url}{request.path}?per_page={size}&cursor={begin + size}>; rel="next"'
        return answered(shown[begin : begin + size], 200, {"Link": link} if begin + size < len(shown) else {})

    def _of_app(self, request: Request) -> Hook:
        self.hub.require_app(request.bearer)
        if self.hub.app_hook is None:
            raise Refused(404, "Not Found")
        return self.hub.app_hook

    def _of_repository(self, request: Request, found: re.Match[str]) -> dict[int, Hook]:
        if request.bearer != TOKEN or not self.hub.pushes:
            raise Refused(404, "Not Found")
        return dict(enumerate(self.hub.hooks.get(found["repository"].lower(), []), 500))

    def _one(self, request: Request, found: re.Match[str]) -> Hook:
        hooks = self._of_repository(request, found)
        if int(found["number"]) not in hooks:
            raise Refused(404, "Not Found")
        return hooks[int(found["number"])]


def _again(hook: Hook, found: re.Match[str]) -> Answer:
    hook.again(int(found["attempt"]))
    return answered({}, 202)
