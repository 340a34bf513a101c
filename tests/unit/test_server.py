"""What the server's worker leaves behind, where a real server cannot show it."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest
from gunicorn.config import Config
from gunicorn.http.parser import RequestParser
from gunicorn.http.unreader import SocketUnreader
from gunicorn.workers.gthread import TConn

from fastdeploy_bot.web import exchanges, server
from fastdeploy_bot.web.exchanges import Exchange
from fastdeploy_bot.web.server import AccessLogger, Worker, _Calls, _cut


def test_a_call_after_the_end_writes_into_nobody_s_file(tmp_path: Path) -> None:
    """A late thread reports to the main thread by a descriptor, whose number must not be another file's by then."""
    calls = _Calls()
    calls.init()
    calls.close()
    files = [os.open(tmp_path / f"file{number}", os.O_RDWR | os.O_CREAT) for number in range(4)]

    calls.defer(print)

    assert [0] * 4 == [os.fstat(file).st_size for file in files]
    for file in (*files, *(calls._read_fd, calls._write_fd)):
        os.close(file)


@pytest.mark.parametrize(("unread", "sent"), [(b"GET / HTTP/1.1", b""), (b"", b"GET / HTTP/1.1"), (b"", b"")])
def test_a_client_s_next_request_follows_where_it_has_come(unread: bytes, sent: bytes) -> None:
    """Also where it was read together with the one before it: the socket tells nothing of that any more."""
    worker = Worker.__new__(Worker)
    worker.alive = True
    here, there = socket.socketpair()

    with here, there, ThreadPoolExecutor() as worker.tpool:
        unreader = SocketUnreader(here)
        unreader.unread(unread)
        there.sendall(sent)
        conn = SimpleNamespace(sock=here, is_http2=False, parser=SimpleNamespace(unreader=unreader))

        assert bool(unread or sent) == worker._follows(conn)


class Conn:
    """A connection as gunicorn has it."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock


@pytest.fixture
def worker() -> Worker:
    """A worker that no server has begun."""
    made = Worker.__new__(Worker)
    made._handled = {}
    return made


def test_a_client_that_takes_nothing_more_is_cut_off(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    """The main thread would have to wait until it hangs up, as gunicorn has it."""
    monkeypatch.setattr(server, "REST_SECONDS", 0.05)
    here, there = socket.socketpair()

    with here, there:
        goes_on = worker._send_rest(Conn(here), bytes(8 * 1024 * 1024), True)

        here.settimeout(10)
        assert (False, b"") == (goes_on, here.recv(1))
        assert {} == worker._handled


def test_a_client_that_takes_its_answer_slowly_can_be_cut_off_at_the_end(worker: Worker) -> None:
    """As any other that has a thread: else the process could not end before it."""
    here, there = socket.socketpair()
    conn = Conn(here)

    with here, there, ThreadPoolExecutor() as threads:
        sending = threads.submit(worker._send_rest, conn, bytes(8 * 1024 * 1024), True)
        while not worker._handled and not sending.done():
            time.sleep(0.01)
        for each in list(worker._handled):
            _cut(each)

        assert sending.result(server.REST_SECONDS / 2) is False


def test_who_does_not_take_that_it_may_go_on_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would have a thread for as long as it likes."""
    monkeypatch.setattr(exchanges, "TAKE_SECONDS", 0.1)
    here, there = socket.socketpair()

    with here, there:
        there.sendall(b"GET /healthz HTTP/1.1\r\nHost: bot\r\nExpect: 100-continue\r\n\r\n")
        request = next(RequestParser(Config(), here, ("127.0.0.1", 1)))
        _fill(here)

        with pytest.raises(TimeoutError):
            Exchange(SimpleNamespace(cfg=Config()), request, SimpleNamespace(sock=here, client=("", 1), server=("", 2)))


@pytest.mark.parametrize("step", ["__init__", "send"])
def test_a_client_that_takes_nothing_is_no_fault_of_the_bot(
    worker: Worker, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """It would be logged as an error, with a traceback; as the end of a connection it is not."""

    def time_out(*_: object) -> None:
        raise TimeoutError

    monkeypatch.setattr(Exchange, "__init__", lambda *_: None)
    monkeypatch.setattr(Exchange, step, time_out)
    worker._asked = {}

    with pytest.raises(StopIteration):
        worker.handle_request(None, object())


def _fill(sock: socket.socket) -> None:
    """Send as much as is kept for somebody who does not read."""
    sock.setblocking(False)
    for piece in (b"x" * 1024, b"x"):
        with contextlib.suppress(BlockingIOError):
            while True:
                sock.send(piece)
    sock.setblocking(True)


class Noted:
    """An answer that notes what becomes of it."""

    def __init__(self, number: str, notes: list[str], start: Callable[[str, list[tuple[str, str]]], object]) -> None:
        self._number = number
        self._notes = notes
        self._start = start

    def __iter__(self) -> Iterator[bytes]:
        self._notes.append(f"made {self._number}")
        if self._number == "2":
            raise LookupError("no answer")
        self._start("200 OK", [("Content-Length", "1")])
        yield self._number.encode()

    def close(self) -> None:
        """As WSGI has it."""
        self._notes.append(f"closed {self._number}")
        raise ValueError("the app fails behind its answer")


def test_all_of_a_lot_are_answered_before_the_app_does_what_it_has_left_for_later() -> None:
    """It may wait for a database; and what goes wrong in it is nobody else's, nor is an answer that fails."""
    cfg, notes = Config(), list[str]()
    worker = Worker(0, 0, [], None, 30, cfg, AccessLogger(cfg))
    worker.wsgi = lambda environ, start: Noted(environ["HTTP_NUMBER"], notes, start)
    pairs = [socket.socketpair() for _ in range(3)]
    lot = [TConn(cfg, here, ("127.0.0.1", 1), ("127.0.0.1", 2)) for here, _ in pairs]
    for number, (_, there) in enumerate(pairs, 1):
        there.sendall(f"POST /webhooks/github HTTP/1.1\r\nNumber: {number}\r\nContent-Length: 0\r\n\r\n".encode())

    told = worker.handle_together(lot)
    heard = [there.recv(4096)[9:12] for _, there in pairs]

    assert [(True, b""), (False, b""), (True, b"")] == [told[conn] for conn in lot]
    assert [b"200", b"500", b"200"] == heard
    assert ["made 1", "made 2", "made 3", "closed 1", "closed 2", "closed 3"] == notes
    assert {} == worker._handled
    for each in (*(end for pair in pairs for end in pair), worker.tmp):
        each.close()
