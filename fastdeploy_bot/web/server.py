"""gunicorn, told to do as the app does: its refusals are problems, its access lines have facts, its clients a limit."""

from __future__ import annotations

import contextlib
import errno
import math
import re
import socket
import time
from collections.abc import Sequence
from concurrent.futures import Future
from datetime import timedelta
from functools import partial
from http import HTTPStatus
from select import POLLIN, poll
from selectors import EVENT_READ
from typing import Any, Final

import msgspec
from gunicorn.glogging import Logger
from gunicorn.workers.gthread import PollableMethodQueue, ThreadWorker

from fastdeploy_bot.web import request_ids
from fastdeploy_bot.web.answers import Problem
from fastdeploy_bot.web.exchanges import Exchange, fits_a_lot, has_read_ahead
from fastdeploy_bot.web.live import wire
from fastdeploy_bot.web.lots import Lots

# gunicorn ships no types: what it hands over here is Any.

_STATUS: Final = re.compile(rb"HTTP/1\.1 ([0-9]{3}) ")
REFUSED: Final = "the request is not well-formed HTTP, or exceeds what the server takes"
ANSWER_SECONDS: Final = 3
"""How long a worker that ends goes on answering what has come before."""
ENDING_SECONDS: Final = 0.1
SILENT_SECONDS: Final = 1.0
"""How long it waits for those who have sent nothing yet."""
HEAD_SECONDS: Final = 10.0
"""How long the head of a request may take, from its first byte."""
FOLLOW_MS: Final = 5
"""How long the next request on a connection is waited for in the thread that answered the last one."""
REST_SECONDS: Final = 10.0
"""How long a client may take for what it did not take at once of an answer."""
LINGER_SECONDS: Final = 1.0
"""How long a client may take to hang up after its last answer."""

FULL_SECONDS: Final = 1.0
"""How long no connection is taken after one for which there was no descriptor."""

FAULT: Final = "this is a fault of the bot; its own log says more"


class Worker(ThreadWorker):  # type: ignore[misc]
    """A process that answers requests, until it is told to end, by whatever signal, or its master is gone.

    Then it answers what has come, for ANSWER_SECONDS at most, and hangs up on who is left. No client has a thread
    before it has sent something, nor for longer than HEAD_SECONDS with half a request, and none keeps the others
    waiting by not hanging up.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.alive: bool
        self.method_queue = _Calls()
        self._handled: dict[Any, float] = {}
        """The connections that have a thread, and until when each has to have sent the head of its request."""
        self._full_until = -math.inf
        self._lots = Lots(self)
        self._asked: dict[Any, Exchange | None] = {}
        """The connections of the present lot, and what the app was asked on each."""

    # --- the end

    def handle_exit(self, sig: int, frame: Any) -> None:  # noqa: ARG002 - gunicorn's signature
        """A signal: note it, and let the main thread, which this wakes, see to the rest."""
        if self.alive:
            self.alive = False
            self.method_queue.defer(self.cfg.worker_int, self)

    handle_quit = handle_exit

    def is_parent_alive(self) -> bool:
        """Whether there is a master; a worker without one ends as if it had been told to."""
        there: bool = super().is_parent_alive()
        if not there and self.alive:
            self.alive = False
            self.cfg.worker_int(self)
        return there

    def run(self) -> None:
        """Answer until the end; whoever still has a thread then is cut off, so that the process can end."""
        self.cfg.set("graceful_timeout", ANSWER_SECONDS)  # the master, with a copy of its own, has more patience
        try:
            super().run()
        finally:
            for conn in list(self._handled):
                _cut(conn)

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        """Do what is due in the main thread; near the end look at the clock more often."""
        super().wait_for_and_dispatch_events(timeout if self.alive else min(timeout, ENDING_SECONDS))
        self._lots.begin()

    # --- clients

    def set_accept_enabled(self, enabled: bool) -> None:
        """Take connections, or none for now; at the end take those that were made before, which nobody else would."""
        if enabled and time.monotonic() < self._full_until:
            return
        ends = not enabled and not self.alive
        if ends:
            self._accept_who_waits()
        super().set_accept_enabled(enabled)
        if ends:
            for listener in self.sockets:
                listener.close()

    def accept(self, listener: Any) -> None:
        """Take a connection; where there is no descriptor for it, whoever waits does so until there may be one."""
        try:
            super().accept(listener)
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE):
                raise
            self.log.warning("no connection can be taken now: %s", error.strerror)
            if self.alive:
                self._full_until = time.monotonic() + FULL_SECONDS
                self.set_accept_enabled(False)

    def _accept_who_waits(self) -> None:
        for listener in self.sockets:
            there = -1
            while there < self.nr_conns < self.worker_connections:
                there = self.nr_conns
                self.accept(listener)

    def enqueue_req(self, conn: Any) -> None:
        """Give a connection a thread, once there is something to read; what fits a lot shares one."""
        if not (conn.initialized or conn.data_ready):
            conn.sock.setblocking(False)
            conn.set_timeout()
            self.pending_conns.append(conn)
            self.poller.register(conn.sock, EVENT_READ, partial(self.on_pending_socket_readable, conn))
        elif fits_a_lot(conn):
            self._lots.add(conn)
        else:
            super().enqueue_req(conn)

    def handle_together(self, lot: Sequence[Any]) -> dict[Any, tuple[bool, bytes]]:
        """Ask the app on each connection; then send the answers, as far as each client takes its own at once; then end.

        Answers of each connection whether it goes on, and what is left to be sent on it.
        """
        self._asked = dict.fromkeys(lot)
        self._handled |= dict.fromkeys(lot, math.inf)
        try:
            well = [bool(super(Worker, self).handle(conn)) for conn in lot]
            return {conn: self._offer(conn, goes_on) for conn, goes_on in zip(lot, well, strict=True)}
        except Exception:
            self.log.exception("a lot of requests broke off")
            return dict.fromkeys(lot, (False, b""))
        finally:
            for exchange in self._asked.values():
                if exchange is not None:
                    exchange.end()
            self._asked = {}
            for conn in lot:
                del self._handled[conn]

    def _offer(self, conn: Any, goes_on: bool) -> tuple[bool, bytes]:
        exchange = self._asked[conn]
        if exchange is None:
            return False, b""
        try:
            rest = exchange.offer()
        except (OSError, StopIteration) as error:
            self.log.debug("hung up: %s", error)
            return False, b""
        except Exception as error:  # noqa: BLE001 - gunicorn judges
            self.handle_error(exchange.request, conn.sock, conn.client, error)
            return False, b""
        return goes_on and exchange.goes_on, rest

    def take_back(self, conn: Any, goes_on: bool = True, rest: bytes = b"") -> None:
        """Have the main thread wait for the next request on a connection that was in a lot.

        What its client did not take at once is sent by another thread before, and where the connection ends, that one
        waits until the client has hung up.
        """
        done: Future[bool] = Future()
        if goes_on and not rest:
            done.set_result(True)
        else:
            done = self.tpool.submit(self._send_rest, conn, rest, goes_on)
        done.add_done_callback(partial(self.method_queue.defer, self.finish_request, conn))

    def _send_rest(self, conn: Any, rest: bytes, goes_on: bool) -> bool:
        """Send what a client has yet to take, and wait until it hangs up where the connection ends; whether it goes on.

        Who takes too long is cut off: gunicorn would have the main thread wait for him to hang up.
        """
        self._handled[conn] = math.inf
        try:
            conn.sock.settimeout(REST_SECONDS)
            conn.sock.sendall(rest)
            if not goes_on:
                wire.linger(conn.sock, LINGER_SECONDS)
        except OSError:
            _cut(conn)
            return False
        finally:
            del self._handled[conn]
        return goes_on

    def handle(self, conn: Any) -> Any:
        """Handle a request in a thread of its own; what lies between its answer and the connection's end, too.

        And the next ones, where they follow at once: to have the main thread wait for each costs as much as to answer.
        """
        self._handled[conn] = time.monotonic() + HEAD_SECONDS
        try:
            while (goes_on := super().handle(conn)) and self._follows(conn):
                self._handled[conn] = time.monotonic() + HEAD_SECONDS
            if not goes_on:
                wire.linger(conn.sock, LINGER_SECONDS)
            return goes_on
        finally:
            del self._handled[conn]

    def _follows(self, conn: Any) -> bool:
        """Whether a client that was answered sends its next request right now, and nobody else lacks this thread."""
        if not self.alive or conn.is_http2 or self.tpool._work_queue.qsize():
            return False
        if has_read_ahead(conn):
            return True
        waiting = poll()
        waiting.register(conn.sock, POLLIN)
        return bool(waiting.poll(FOLLOW_MS))

    def handle_request(self, req: Any, conn: Any) -> bool:
        """Answer a request whose head has come; of a lot ask the app for now.

        Raises StopIteration where the client takes nothing more: that is no fault of the bot's, and not logged as one.
        """
        self._handled[conn] = math.inf
        try:
            exchange = Exchange(self, req, conn)
            if conn in self._asked:
                self._asked[conn] = exchange
                return True
            return exchange.send()
        except TimeoutError as error:
            raise StopIteration("the client takes nothing") from error

    def murder_pending(self) -> None:
        """Cut off, about once a second, who has sent nothing or half a head for too long."""
        now = time.monotonic()
        if not self.alive:
            for conn in self.pending_conns:
                conn.timeout = min(conn.timeout, now + SILENT_SECONDS)
        super().murder_pending()
        for conn in [conn for conn, until in list(self._handled.items()) if until < now]:
            _cut(conn)

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        """Let gunicorn judge, log and answer; the answer is put into our words on its way."""
        super().handle_error(req, _Connection(client), addr, exc)


class _Calls(PollableMethodQueue):  # type: ignore[misc]
    """What threads ask the main thread to do; some ask when it has ended already."""

    def close(self) -> None:
        """Keep the descriptors: a late write to one that was closed would go into whatever file has its number then."""


def _cut(conn: Any) -> None:
    """End a connection for both sides; the thread that has it is woken."""
    with contextlib.suppress(OSError):
        conn.sock.shutdown(socket.SHUT_RDWR)


class AccessLogger(Logger):  # type: ignore[misc]
    """A logger whose access lines are events like any other."""

    def access(self, resp: Any, _req: Any, environ: dict[str, Any], request_time: timedelta) -> None:
        """Log a request that was answered; without its query: a token put there by mistake stays out of the log."""
        told = {
            "peer": environ.get("REMOTE_ADDR"),
            "method": environ.get("REQUEST_METHOD"),
            "path": environ.get("PATH_INFO"),
            "status": int(str(resp.status).split(maxsplit=1)[0]),
            "bytes": getattr(resp, "sent", None),
            "seconds": round(request_time.total_seconds(), 6),
        }
        self.access_log.info("request answered", extra=told | request_ids.facts_of(environ))


class _Connection:
    """A client's socket, on which an answer becomes a problem."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def sendall(self, data: bytes) -> None:
        """Send the answer that stands for gunicorn's."""
        found = _STATUS.match(data)
        self._client.sendall(_problem(HTTPStatus(int(found[1]))) if found else data)


def _problem(status: HTTPStatus) -> bytes:
    detail = FAULT if status is HTTPStatus.INTERNAL_SERVER_ERROR else REFUSED
    body = msgspec.json.encode(Problem("about:blank", status.phrase, status, detail))
    head = f"HTTP/1.1 {status} {status.phrase}\r\nConnection: close\r\nContent-Type: application/problem+json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode("latin-1") + body
