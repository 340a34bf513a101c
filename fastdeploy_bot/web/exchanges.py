"""Exchanges: a request and its answer, in two halves, so that the server can ask for several before it sends one."""

from __future__ import annotations

import re
import socket
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


def has_read_ahead(conn: Any) -> bool:
    """Whether some of a connection's next request was read with the last one: its socket does not tell of that."""
    return conn.parser is not None and bool(conn.parser.unreader.buf.getvalue())


def fits_a_lot(conn: Any) -> bool:
    """Whether all of a request has come that others may be handled with: nobody waits to read it. It is left there."""
    if has_read_ahead(conn):
        return False
    try:
        come = conn.sock.recv(LONGEST, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except OSError:
        return False
    head, ended, body = come.partition(b"\r\n\r\n")
    if not ended or _TOGETHER.match(come) is None:
        return False
    length = _LENGTH.search(head + b"\r\n")
    return length is not None and len(body) >= int(length[1])


class Exchange:
    """A request whose head has come, and its answer."""

    def __init__(self, worker: Any, request: Any, conn: Any) -> None:
        """The app is asked. Raises what it raises."""
        self._worker = worker
        self._request = request
        self._begun = time.perf_counter()
        self._answer, self._environ = wsgi.create(request, conn.sock, conn.client, conn.server, worker.cfg)
        self._environ["wsgi.multithread"] = True
        self._wire = self._answer.sock = _Joined(conn.sock)
        if not worker.alive or len(worker.keepalived_conns) >= worker.max_keepalived:
            self._answer.force_close()
        self._body = worker.wsgi(self._environ, self._answer.start_response)

    def send(self) -> bool:
        """Send the answer; whether the connection can have another one.

        Raises StopIteration where the answer broke off in its middle: what is sent behind that would pass for its end.
        """
        answer, worker = self._answer, self._worker
        try:
            for part in self._body:
                answer.write(part)
            answer.close()
            self._wire.flush()
        except OSError:
            raise
        except BaseException:
            if not answer.headers_sent:
                raise
            worker.log.exception("an answer broke off")
            raise StopIteration from None
        finally:
            self._end()
        return not answer.should_close()

    def _end(self) -> None:
        took = timedelta(seconds=time.perf_counter() - self._begun)
        self._worker.log.access(self._answer, self._request, self._environ, took)
        if (close := getattr(self._body, "close", None)) is not None:
            close()


class _Joined:
    """A connection on which the head of an answer is sent together with what follows it."""

    def __init__(self, sock: Any) -> None:
        self._sock = sock
        self._waiting: list[bytes] | None = []
        """The head, until it is sent."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def sendall(self, data: bytes) -> None:
        """Send it; what comes first waits for the next."""
        if self._waiting is None:
            self._sock.sendall(data)
            return
        self._waiting.append(data)
        if len(self._waiting) > 1:
            self.flush()

    def flush(self) -> None:
        """Send what waits."""
        if self._waiting:
            data, self._waiting = b"".join(self._waiting), None
            self._sock.sendall(data)
