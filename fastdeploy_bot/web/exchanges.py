"""Exchanges: a request and its answer, in two halves, so that the server can ask for several before it sends one."""

from __future__ import annotations

import re
import socket
import sys
import time
from datetime import timedelta
from typing import Any, Final

from gunicorn.http import wsgi

# gunicorn ships no types: what it hands over here is Any.

LONGEST: Final = 64 * 1024
"""How much of what has come is looked at: a request of more is one of those that need a thread of their own."""

_TOGETHER: Final = re.compile(rb"POST /(?:webhooks/github|api/v1/deployments/\d+/steps) HTTP/1\.1\r\n")
"""The requests that have little to ask and something to write."""
_LENGTH: Final = re.compile(rb"\r\ncontent-length:[ \t]*(\d{1,7})[ \t]*\r\n", re.IGNORECASE)
_EXPECT: Final = b"\r\nexpect:"
"""Who expects to be told to go on is told so at once, however long that takes: gunicorn writes it before all else."""
TAKE_SECONDS: Final = 10.0
"""How long they may take for that."""


def has_read_ahead(conn: Any) -> bool:
    """Whether some of a connection's next request was read with the last one: its socket does not tell of that."""
    return conn.parser is not None and bool(conn.parser.unreader.buf.getvalue())


def fits_a_lot(conn: Any) -> bool:
    """Whether all of a request has come that others may be handled with: nobody waits to read it. It is left there."""
    if has_read_ahead(conn):
        return False
    try:
        come = conn.sock.recv(LONGEST, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except (OSError, ValueError):  # the latter where it is encrypted
        return False
    head, ended, body = come.partition(b"\r\n\r\n")
    if not ended or _TOGETHER.match(come) is None or _EXPECT in head.lower():
        return False
    length = _LENGTH.search(head + b"\r\n")
    return length is not None and len(body) >= int(length[1])


class Exchange:
    """A request whose head has come, and its answer."""

    def __init__(self, worker: Any, request: Any, conn: Any) -> None:
        """The app is asked. Raises what it raises; TimeoutError where the client does not take that it may go on."""
        self._worker = worker
        self.request = request
        self._begun = time.perf_counter()
        self._took: timedelta | None = None
        conn.sock.settimeout(TAKE_SECONDS)
        self._answer, self._environ = wsgi.create(request, conn.sock, conn.client, conn.server, worker.cfg)
        self._environ["wsgi.multithread"] = True
        self._wire = self._answer.sock = _Joined(conn.sock)
        if not worker.alive or len(worker.keepalived_conns) >= worker.max_keepalived:
            self._answer.force_close()
        self._body = worker.wsgi(self._environ, self._answer.start_response)

    def send(self) -> bool:
        """Send the answer, however long the client takes for it, and end; whether the connection can have another one.

        Raises StopIteration where the answer broke off in its middle: what is sent behind that would pass for its end.
        """
        try:
            self._answered()
            self._wire.flush()
        finally:
            self.end()
        return self.goes_on

    def offer(self) -> bytes:
        """Send of the answer what the client takes at once; answers the rest. Raises as `send` does."""
        self._wire.hold()
        try:
            self._answered()
            return self._wire.offer()
        finally:
            self._took = self._since()

    def end(self) -> None:
        """Tell of the answer in the log, and have the app do what it has left for after that: others may wait for it.

        What goes wrong in that is logged: there was an answer. In place of one that was not begun gunicorn has its own,
        and tells of it.
        """
        try:
            if self._answer.status is not None:
                took = self._took or self._since()
                self._worker.log.access(self._answer, self.request, self._environ, took)
            if (close := getattr(self._body, "close", None)) is not None:
                close()
        except Exception:
            self._worker.log.exception("what follows on an answer failed")

    @property
    def goes_on(self) -> bool:
        """Whether the connection can have another answer behind this one."""
        return not self._answer.should_close()

    def _answered(self) -> None:
        try:
            for part in self._body:
                self._answer.write(part)
            self._answer.close()
        except OSError:
            raise
        except BaseException:
            if not self._answer.headers_sent:
                raise
            self._worker.log.exception("an answer broke off")
            raise StopIteration from None

    def _since(self) -> timedelta:
        return timedelta(seconds=time.perf_counter() - self._begun)


class _Joined:
    """A connection on which the head of an answer is sent together with what follows it."""

    def __init__(self, sock: Any) -> None:
        self._sock = sock
        self._most = 1
        """How many pieces wait for the next one."""
        self._waiting: list[bytes] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def hold(self) -> None:
        """Send nothing until all is offered."""
        self._most = sys.maxsize

    def sendall(self, data: bytes) -> None:
        """Send it; what comes first waits for the next."""
        self._waiting.append(data)
        if len(self._waiting) > self._most:
            self._most = 0
            self.flush()

    def flush(self) -> None:
        """Send what waits."""
        data, self._waiting = b"".join(self._waiting), []
        if data:
            self._sock.sendall(data)

    def offer(self) -> bytes:
        """Send of what waits as much as the kernel takes; answers the rest."""
        data = b"".join(self._waiting)
        self._sock.setblocking(False)
        try:
            return data[self._sock.send(data) :]
        except BlockingIOError:
            return data
