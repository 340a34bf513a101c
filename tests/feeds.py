"""Somebody who follows the feed over a websocket, by an implementation that is not the bot's own."""

from __future__ import annotations

import json
import socket
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

PATIENCE: Final = 30.0

Json = dict[str, Any]  # what the feed tells; the tests judge it key by key


class Follower:
    """One websocket on `/feed`. Use as a context manager."""

    def __init__(
        self,
        url: str,
        query: str = "",
        *,
        token: str | None = None,
        first: object = None,
        headers: Mapping[str, str] = {},
        **options: Any,
    ) -> None:
        """Connect to the bot at that address, with a token in the header or a first message.

        `options` are those of the websockets package.
        """
        sent = dict(headers) | ({"Authorization": f"Bearer {token}"} if token is not None else {})
        address = url.replace("http://", "ws://", 1) + "/feed" + query
        # Unbounded, since the package stops reading where its queue is full, and then takes 10 s to close.
        options = {"max_queue": None, "open_timeout": PATIENCE} | options
        self.socket = connect(address, additional_headers=sent, legacy=True, **options)
        if first is not None:
            self.say(first)

    def say(self, message: object) -> None:
        """Send a message as JSON."""
        self.socket.send(json.dumps(message))

    def hear(self, seconds: float = PATIENCE) -> Json:
        """The next message. Raises TimeoutError."""
        message: Json = json.loads(self.socket.recv(seconds))
        return message

    def hear_until(self, wanted: Callable[[Json], object]) -> list[Json]:
        """Every message up to the first wanted one."""
        heard = [self.hear()]
        while not wanted(heard[-1]):
            heard.append(self.hear())
        return heard

    def events(self, count: int) -> list[int]:
        """The ids of so many events that come next; everything else is passed over."""
        ids: list[int] = []
        while len(ids) < count:
            message = self.hear()
            if "id" in message and message["type"] != "hello":
                ids.append(message["id"])
        return ids

    def end(self) -> tuple[int, list[Json]]:
        """The code with which the bot closes, and what it says before."""
        heard: list[Json] = []
        try:
            while True:
                heard.append(self.hear())
        except ConnectionClosed as closed:
            return (closed.rcvd.code if closed.rcvd is not None else 1006), heard

    def close(self) -> None:
        """Hang up."""
        self.socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def refusal(url: str, query: str = "", **options: Any) -> int:
    """The status with which the bot refuses to open this websocket."""
    try:
        Follower(url, query, **options).close()
    except InvalidStatus as refused:
        return refused.response.status_code
    return 101


def fill(home: Path, *, events: int) -> None:
    """Let so much have happened at the bot of that home, a kilobyte each."""
    data = json.dumps({"name": "shop", "repository": "x" * 1_000, "problem": "", "removed": None})
    rows = [("service", "shop", data, 1)] * events
    with closing(sqlite3.connect(home / "fastdeploy.db")) as database, database:
        database.executemany("INSERT INTO event (type, service, data, created) VALUES (?, ?, ?, ?)", rows)


@contextmanager
def stalled(url: str, token: str) -> Iterator[socket.socket]:
    """Somebody who asks for the whole feed, and takes next to nothing of it."""
    host, _, port = url.removeprefix("http://").partition(":")
    lines = [
        "GET /feed?since=0 HTTP/1.1",
        f"Host: {host}:{port}",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        f"Authorization: Bearer {token}",
    ]
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        sock.connect((host, int(port)))
        sock.sendall("\r\n".join([*lines, "", ""]).encode())
        assert sock.recv(12) == b"HTTP/1.1 101"
        yield sock
