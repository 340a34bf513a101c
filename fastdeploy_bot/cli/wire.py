"""A websocket to read from: one thread, bounded waits, and every address that a name has is tried."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, CloseConnection, Event, Message, Ping, RejectConnection, Request
from wsproto.utilities import ProtocolError

SECONDS: Final = 10
"""How long connecting, and each write, may take."""
PIECE: Final = 64 * 1024
LARGEST: Final = 4 * 1024 * 1024
"""Characters of a message; more is nothing that a bot says."""


class Closed(Exception):
    """The other side is gone, or speaks another protocol."""


class Refused(Closed):
    """The other side does not want this websocket."""

    def __init__(self, status: int) -> None:
        super().__init__(f"refused with {status}")
        self.status = status


class Wire:
    """An open websocket. Use as a context manager, or close it."""

    def __init__(self, url: str, target: str, headers: Mapping[str, str]) -> None:
        """Connect to an http(s) address. Raises Closed, Refused."""
        self._protocol = WSConnection(ConnectionType.CLIENT)
        self._text = ""
        try:
            self._socket = _connected(url)
        except OSError as error:
            raise Closed(str(error)) from error
        try:
            self._greet(urlsplit(url).netloc, target, headers)
        except BaseException:
            self._socket.close()
            raise

    def receive(self, seconds: float) -> list[str]:
        """The messages that have come; waits for more input at most `seconds`. Raises Closed."""
        if self._pending() or select.select([self._socket], [], [], seconds)[0]:
            self._feed()
        return [text for event in self._protocol.events() if (text := self._heard(event)) is not None]

    def close(self) -> None:
        """Say goodbye, and close."""
        with contextlib.suppress(OSError, ProtocolError):
            self._send(CloseConnection(code=1000))
        self._socket.close()

    def _greet(self, host: str, target: str, headers: Mapping[str, str]) -> None:
        extra = [(name.encode(), value.encode()) for name, value in headers.items()]
        self._send(Request(host=host, target=target, extra_headers=extra))
        while (event := next(self._protocol.events(), None)) is None:
            self._feed()
        if isinstance(event, RejectConnection):
            raise Refused(event.status_code)
        if not isinstance(event, AcceptConnection):
            raise Closed("no websocket")

    def _heard(self, event: Event) -> str | None:
        """A message, once it is whole."""
        if isinstance(event, Ping):
            self._send(event.response())
        if isinstance(event, CloseConnection):
            raise Closed(f"closed with {event.code}") if event.code < 4000 else Refused(event.code)
        if not isinstance(event, Message) or not isinstance(event.data, str):
            return None
        self._text += event.data
        if len(self._text) > LARGEST:
            raise Closed("a message too long")
        if not event.message_finished:
            return None
        whole, self._text = self._text, ""
        return whole

    def _pending(self) -> bool:
        return isinstance(self._socket, ssl.SSLSocket) and self._socket.pending() > 0

    def _feed(self) -> None:
        try:
            data = self._socket.recv(PIECE)
            if not data:
                raise Closed("hung up")
            self._protocol.receive_data(data)
        except (OSError, ProtocolError) as error:
            raise Closed(str(error)) from error

    def _send(self, event: Event) -> None:
        try:
            self._socket.sendall(self._protocol.send(event))
        except OSError as error:
            raise Closed(str(error)) from error


def _connected(url: str) -> socket.socket:
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    host = parts.hostname or ""
    plain = socket.create_connection((host, parts.port or (443 if secure else 80)), timeout=SECONDS)
    if not secure:
        return plain
    try:
        return ssl.create_default_context().wrap_socket(plain, server_hostname=host)
    except BaseException:
        plain.close()
        raise
