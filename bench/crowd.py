"""Many websocket clients in one thread, and as little as can be between a frame's coming and the note of it."""

from __future__ import annotations

import os
import select
import socket
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Final, Self

PATIENCE: Final = 30.0
HANDSHAKE: Final = (
    "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)
TEXT, PING = 1, 9
PONG: Final = b"\x8a\x80\0\0\0\0"
"""The answer to a ping that says nothing."""


class Crowd:
    """So many clients of one server. Use as a context manager."""

    def __init__(self, port: int, path: str, count: int, headers: Mapping[str, str] = {}) -> None:
        head = HANDSHAKE.format(path=path, port=port) + "".join(f"{name}: {each}\r\n" for name, each in headers.items())
        self._poll = select.epoll()
        self._socks: dict[int, socket.socket] = {}
        self._rests: dict[int, bytes] = {}
        for _ in range(count):
            self._join(_connected(port, head.encode() + b"\r\n"))

    def __len__(self) -> int:
        return len(self._socks)

    def hear(self, text: bytes) -> list[float]:
        """When each client had a text message that ends with that, once all of them have it. Raises TimeoutError."""
        moments: list[float] = []
        deadline = time.perf_counter() + PATIENCE
        while len(moments) < len(self._socks):
            for number, _ in self._poll.poll(1.0):
                data = os.read(number, 65_536)
                now = time.perf_counter()
                if not data:
                    raise ConnectionError("a client was sent away")
                moments += [now] * self._take(number, data, text)
            if time.perf_counter() > deadline:
                raise TimeoutError(f"{len(moments)} of {len(self._socks)} heard {text[:60]!r}")
        return moments

    def settle(self, seconds: float) -> None:
        """Take whatever comes, until nothing has for so long."""
        while ready := self._poll.poll(seconds):
            for number, _ in ready:
                self._take(number, os.read(number, 65_536), b"")

    def _join(self, sock: socket.socket) -> None:
        self._socks[sock.fileno()], self._rests[sock.fileno()] = sock, b""
        self._poll.register(sock, select.EPOLLIN)

    def _take(self, number: int, data: bytes, text: bytes) -> int:
        """How many of the messages in what came end with the text."""
        data, found = self._rests[number] + data, 0
        while (size := _size(data)) <= len(data):
            if data[0] & 15 == PING:
                os.write(number, PONG)
            found += data[0] & 15 == TEXT and data.endswith(text, 0, size)
            data = data[size:]
        self._rests[number] = data
        return found

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._poll.close()
        for sock in self._socks.values():
            sock.close()


def _connected(port: int, head: bytes) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", port), PATIENCE)
    sock.sendall(head)
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):  # byte by byte: what follows is the first frame
        answer += sock.recv(1)
    if not answer.startswith(b"HTTP/1.1 101"):
        raise ConnectionError(answer.decode())
    return sock


def _size(data: bytes) -> int:
    """The bytes of the frame that begins there; where that cannot be said yet, more than there are."""
    if len(data) < 2:
        return 2
    match data[1]:
        case 126:
            return 4 + int.from_bytes(data[2:4]) if len(data) >= 4 else 4
        case 127:
            return 10 + int.from_bytes(data[2:10]) if len(data) >= 10 else 10
        case short:
            return 2 + short
