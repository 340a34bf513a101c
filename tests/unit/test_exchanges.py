"""Which requests are handled with others, what becomes of their connections, and of answers that fail."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from gunicorn import http
from gunicorn.config import Config

from fastdeploy_bot.web import lots
from fastdeploy_bot.web.exchanges import Exchange, fits_a_lot

WEBHOOK = b"POST /webhooks/github HTTP/1.1\r\nHost: bot\r\nContent-Length: 2\r\n\r\n{}"
PATIENCE = 20.0
Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    """A connection's two ends."""
    here, there = socket.socketpair()
    with here, there:
        yield here, there


@pytest.mark.parametrize(
    ("sent", "fits"),
    [
        (WEBHOOK, True),
        (WEBHOOK.replace(b"/webhooks/github", b"/api/v1/deployments/7/steps"), True),
        (WEBHOOK + WEBHOOK, True),
        (b"", False),
        (WEBHOOK[:-1], False),
        (WEBHOOK[:20], False),
        (WEBHOOK.replace(b"Content-Length: 2", b"Transfer-Encoding: chunked"), False),
        (WEBHOOK.replace(b"POST", b"GET"), False),
        (WEBHOOK.replace(b"/webhooks/github", b"/webhooks/github/"), False),
        (WEBHOOK.replace(b"Host: bot", b"Expect: 100-continue"), False),
        (WEBHOOK.replace(b"Host: bot", b"expect:100-continue"), False),
    ],
)
def test_a_request_fits_a_lot_for_which_nobody_has_to_wait(pair: Pair, sent: bytes, fits: bool) -> None:
    """Neither to read it, nor to tell the client to go on: that would wait for one who takes nothing."""
    here, there = pair
    there.sendall(sent)

    assert fits == fits_a_lot(SimpleNamespace(sock=here, parser=None))


class Conn:
    """A connection as gunicorn has it."""

    parser = None

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock


class Worker:
    """A server's worker for whom a connection is busy for as long as no other one is given back."""

    alive = True

    def __init__(self, busy: Conn, silent: Conn) -> None:
        self.given_back: list[Conn] = []
        self.lots = lots.Lots(self)
        self.lots.add(silent)
        self.lots.add(busy)
        self._busy = busy
        self._give_up = time.monotonic() + PATIENCE

    def handle_together(self, lot: Sequence[Conn]) -> dict[Conn, tuple[bool, bytes]]:
        """All of them go on."""
        if not self.given_back and time.monotonic() < self._give_up:
            self.lots.add(self._busy)
        return dict.fromkeys(lot, (True, b""))

    def take_back(self, conn: Conn, *_rest: object) -> None:
        """It is not at hand any more."""
        self.given_back.append(conn)


def test_a_silent_connection_is_given_back_while_another_one_is_busy(pair: Pair) -> None:
    """The main thread ends it in time: nobody keeps connections for good by keeping the server busy."""
    busy, silent = map(Conn, pair)
    worker = Worker(busy, silent)

    worker.lots._handle()

    assert [silent] == worker.given_back


class Journal:
    """A logger that keeps what became of each request."""

    def __init__(self) -> None:
        self.answered: list[str] = []
        self.problems: list[str] = []

    def access(self, answer: Any, *_about: object) -> None:
        """As gunicorn's."""
        self.answered.append(answer.status)

    def exception(self, what: str) -> None:
        """As gunicorn's."""
        self.problems.append(what)


class Broken:
    """An answer that cannot be made, where it has no parts; behind the others the app fails."""

    def __init__(self, *parts: bytes) -> None:
        self.closed = False
        self._parts = parts

    def __iter__(self) -> Iterator[bytes]:
        yield from self._parts
        if not self._parts:
            raise LookupError("no answer")

    def close(self) -> None:
        """As WSGI has it."""
        self.closed = True
        if self._parts:
            raise ValueError("the app fails behind its answer")


def offer_and_end(exchange: Exchange) -> None:
    """As it is done with those of a lot."""
    try:
        exchange.offer()
    finally:
        exchange.end()


def ask(pair: Pair, journal: Journal, app: Callable[..., Broken]) -> Exchange:
    """A webhook that the app is asked."""
    here, there = pair
    there.sendall(WEBHOOK)
    cfg = Config()
    worker = SimpleNamespace(cfg=cfg, alive=True, keepalived_conns=(), max_keepalived=1, log=journal, wsgi=app)
    conn = SimpleNamespace(sock=here, client=("127.0.0.1", 1), server=("127.0.0.1", 2))
    return Exchange(worker, next(http.get_parser(cfg, here, conn.client)), conn)


@pytest.mark.parametrize("take", [Exchange.send, offer_and_end])
def test_an_answer_that_fails_before_it_begins_raises_why_and_is_closed(
    pair: Pair, take: Callable[[Exchange], object]
) -> None:
    """Gunicorn answers in its place, and has an access line for that."""
    body, journal = Broken(), Journal()

    with pytest.raises(LookupError):
        take(ask(pair, journal, lambda *_: body))

    assert body.closed
    assert [] == journal.answered


@pytest.mark.parametrize("take", [Exchange.send, offer_and_end])
def test_what_fails_behind_an_answer_is_logged_and_has_no_other_answer_follow(
    pair: Pair, take: Callable[[Exchange], object]
) -> None:
    """The client would take that for the answer to its next request."""
    journal = Journal()

    def app(_environ: object, start: Callable[..., object]) -> Broken:
        start("200 OK", [("Content-Length", "2")])
        return Broken(b"{}")

    take(ask(pair, journal, app))

    assert pair[1].recv(4096).endswith(b"\r\n\r\n{}")
    assert ["200 OK"] == journal.answered
    assert ["what follows on an answer failed"] == journal.problems
