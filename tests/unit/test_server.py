"""What the server's worker leaves behind, where a real server cannot show it."""

from __future__ import annotations

import os
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest
from gunicorn.http.unreader import SocketUnreader

from fastdeploy_bot.web.server import Worker, _Calls


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
