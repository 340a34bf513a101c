"""The sender: signed pushes as fast as they are answered, the same for every side, from one thread.

Each has a GUID and a commit of its own, and is otherwise GitHub's own example of a push, 7.6 kB. What one costs here is
told with every run: it has to be a fraction of what one costs the server, or the sender would be what is measured.
"""

from __future__ import annotations

import gc
import hashlib
import hmac
import json
import re
import secrets
import select
import socket
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple, Never

import octokit

CONNECTIONS: Final = 16
TIMEOUT: Final = 30.0
"""Seconds that an answer may take."""
AFTER, BEFORE, NAME, PUSHED_AT, REPOSITORY_ID = MARKS = (b"@after@", b"@before@", b"@name@", b"@pushed@", b"@id@")
"""What stands in the example where pushes differ."""

_LENGTH: Final = re.compile(rb"content-length: *([0-9]+)", re.IGNORECASE)


class NotAccepted(Exception):
    """A push was answered by something else than a 2xx, or not at all."""


class Sent(NamedTuple):
    """What became of some pushes."""

    seconds: float
    """From the first byte to the last answer."""
    took: list[float]
    """How long each answer took, in seconds."""
    own: float
    """The processor time that the sender took, in seconds."""

    @property
    def per_second(self) -> float:
        """Pushes that were answered."""
        return len(self.took) / self.seconds

    def percentile(self, percent: int) -> float:
        """How long so many of a hundred answers took at most, in milliseconds."""
        return statistics.quantiles(self.took, n=100)[percent - 1] * 1_000

    def figures(self) -> dict[str, float]:
        """As a run tells them."""
        return {
            "pushes/s": self.per_second,
            "ms p50": self.percentile(50),
            "ms p99": self.percentile(99),
            "sender's µs/push": self.own / len(self.took) * 1e6,
        }


class Sender:
    """Sends pushes of `octo-org/s0`, `octo-org/s1`, … in turn to one address; the commits of each form a chain."""

    def __init__(self, port: int, path: str, secret: str, *, repositories: int = 10) -> None:
        self.port = port
        self._path = path
        self._key = hmac.new(secret.encode(), digestmod=hashlib.sha256)
        self.repositories = repositories
        self._pieces = _pieces()
        self._run = secrets.token_hex(8)
        self.sent = 0

    def send(self, *, seconds: float = TIMEOUT * 10, pushes: int | None = None, connections: int = CONNECTIONS) -> Sent:
        """Send for so long, or so many, on connections that stay open. Raises NotAccepted."""
        last = None if pushes is None else self.sent + pushes
        gc.disable()  # a second's worth of it would be taken for the server's
        try:
            return self._send(time.perf_counter() + seconds, last, connections)
        finally:
            gc.enable()

    def require(self, kept: int) -> None:
        """All that was sent has to be kept, or nothing was measured. Raises NotAccepted."""
        if kept != self.sent:
            raise NotAccepted(f"of {self.sent} pushes that were accepted {kept} are kept")

    def request(self) -> bytes:
        """The next push as it goes over the wire."""
        turn, repository = divmod(self.sent, self.repositories)
        self.sent += 1
        values = {
            AFTER: _commit(repository, turn + 1),
            BEFORE: _commit(repository, turn),
            NAME: b"s%d" % repository,
            PUSHED_AT: b"%d" % (1_700_000_000 + turn),
            REPOSITORY_ID: b"%d" % (1_000 + repository),
        }
        body = b"".join([values.get(piece, piece) for piece in self._pieces])
        mac = self._key.copy()
        mac.update(body)
        head = (
            f"POST {self._path} HTTP/1.1",
            "Host: 127.0.0.1",
            "User-Agent: GitHub-Hookshot/044aadd",
            "Accept: */*",
            "Content-Type: application/json",
            "X-GitHub-Event: push",
            f"X-GitHub-Delivery: {self._run}-{self.sent}",
            f"X-Hub-Signature-256: sha256={mac.hexdigest()}",
            f"Content-Length: {len(body)}",
        )
        return "\r\n".join([*head, "", ""]).encode() + body

    def _send(self, end: float, last: int | None, connections: int) -> Sent:
        own, begun, took = time.process_time(), time.perf_counter(), []
        with _connected(self.port, connections) as (poll, waiting):
            for connection in waiting.values():
                connection.send(self.request())
            while waiting:
                for number, _ in poll.poll(TIMEOUT) or _nothing():
                    connection = waiting[number]
                    if not connection.answered():
                        continue
                    now = time.perf_counter()
                    took.append(now - connection.since)
                    if now < end and (last is None or self.sent < last):
                        connection.send(self.request())
                    else:
                        waiting.pop(number).socket.close()
        return Sent(time.perf_counter() - begun, took, time.process_time() - own)


class _Connection:
    """A connection, and what has come of the answer to what was sent last."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), TIMEOUT)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.since = 0.0
        self._got = b""

    def send(self, request: bytes) -> None:
        self._got = b""
        self.since = time.perf_counter()
        self.socket.sendall(request)

    def answered(self) -> bool:
        """Whether the answer is there, to its end. To be asked when something came."""
        piece = self.socket.recv(65_536)
        self._got += piece
        head, ended, body = self._got.partition(b"\r\n\r\n")
        if not piece or (ended and not head.startswith(b"HTTP/1.1 2")):
            raise NotAccepted(self._got[:500].decode(errors="replace") or "closed before an answer")
        if not ended:
            return False
        length = _LENGTH.search(head)
        return body.endswith(b"0\r\n\r\n") if length is None else len(body) == int(length[1])


@contextmanager
def _connected(port: int, connections: int) -> Iterator[tuple[select.epoll, dict[int, _Connection]]]:
    """So many connections by their descriptors, and what tells which of them was answered."""
    waiting: dict[int, _Connection] = {}
    with select.epoll() as poll:
        try:
            for _ in range(connections):
                connection = _Connection(port)
                waiting[connection.socket.fileno()] = connection
                poll.register(connection.socket, select.EPOLLIN)
            yield poll, waiting
        finally:
            for connection in waiting.values():
                connection.socket.close()


def _nothing() -> Never:
    raise NotAccepted(f"no answer within {TIMEOUT:g} s")


def _pieces() -> list[bytes]:
    """GitHub's example of a push to a branch, cut before and after each mark."""
    pushes = [json.loads(each.text) for each in octokit.examples() if each.event == "push"]
    example = next(push for push in pushes if push["ref"].startswith("refs/heads/") and push["commits"])
    repository = example["repository"]
    text = json.dumps(example | {"created": False}).encode()
    for known, mark in (
        (example["after"], AFTER),
        (example["before"], BEFORE),
        (repository["full_name"], b"octo-org/" + NAME),
        (f'"id": {repository["id"]}', b'"id": ' + REPOSITORY_ID),
        (f'"pushed_at": {repository["pushed_at"]}', b'"pushed_at": ' + PUSHED_AT),
    ):
        text = text.replace(known.encode(), mark)
    return re.split(b"(" + b"|".join(MARKS) + b")", text)


def _commit(repository: int, turn: int) -> bytes:
    """The commit before that turn."""
    return b"%08x%032x" % (repository + 1, turn)
