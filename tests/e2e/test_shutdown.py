"""The end of a server and its next start: nothing is claimed any more, nobody is dropped, and nobody holds it up."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
import requests

from bots import Bot, is_alive, wait_for
from pushing import Pusher

HEAD = b"POST /webhooks/github HTTP/1.1\r\nHost: bot\r\n"
ASK = b"GET /healthz HTTP/1.1\r\nHost: bot\r\n"
SCRIPT = "#!/bin/sh\necho $FASTDEPLOY_STEPS_URL\n"
MORE = 30
HURRIED = """
from fastdeploy_bot.serving import *
from fastdeploy_bot.web import server

server.HEAD_SECONDS = 0.2
"""
"""A configuration for gunicorn under which the head of a request has less time."""
BUSY = """
import time
from pathlib import Path
from fastdeploy_bot.serving import *
from fastdeploy_bot.web import server

def is_parent_alive(self):
    while Path("hold").exists():
        Path("held").touch()
        time.sleep(0.01)
    return True

server.Worker.is_parent_alive = is_parent_alive
"""
"""A configuration under which a worker takes no connections while there is a file `hold` in its folder."""


@pytest.fixture
def peers() -> Iterator[ExitStack]:
    """Connections of the test's own, closed at its end."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def narrow(own_bot: Bot, tmp_path: Path) -> Bot:
    """A running bot with one thread for everybody, which is soon taken from those who send half a head."""
    own_bot.environment |= {"FASTDEPLOY_WEB_THREADS": "1", "FASTDEPLOY_MAX_SOCKETS": "0"}
    return launched(own_bot, tmp_path, HURRIED)


def launched(bot: Bot, folder: Path, configuration: str) -> Bot:
    """The bot, under a configuration of the test's own for gunicorn."""
    bot.environment |= {"FASTDEPLOY_HOME": str(bot.home), "PORT": str(bot.port)}
    (folder / "configuration.py").write_text(configuration)
    bot.launch(sys.executable, "-m", "gunicorn", "--config", str(folder / "configuration.py"))
    return bot


def connect(bot: Bot, peers: ExitStack, *said: bytes) -> socket.socket:
    """A connection on which this is said, and that stays open."""
    peer = peers.enter_context(socket.create_connection(("127.0.0.1", bot.port), timeout=30))
    for piece in said:
        peer.sendall(piece)
    return peer


def heard(peer: socket.socket) -> bytes:
    """All that comes on a connection, to its end."""
    return b"".join(iter(lambda: peer.recv(65_536), b""))


def decided(bot: Bot) -> list[tuple[str, int]]:
    """Of each delivery its GUID, and how many deployments it started."""
    with closing(sqlite3.connect(bot.home / "fastdeploy.db")) as database:
        return database.execute(
            "SELECT delivery.guid, count(deployment.id) FROM delivery"
            " LEFT JOIN deployment ON deployment.delivery_id = delivery.id GROUP BY delivery.id"
        ).fetchall()


# --- the end


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_a_server_that_is_told_to_end_claims_nothing_more(
    own_bot: Bot, peers: ExitStack, number: signal.Signals
) -> None:
    """Not while it still waits for clients, either: what is queued meanwhile is left to the next one."""
    folder = own_bot.service("shop", "#!/bin/sh\necho $FASTDEPLOY_DEPLOYMENT >> ran\n")
    own_bot.start()
    [worker] = own_bot.workers()
    stuck = connect(own_bot, peers, HEAD + b"Content-Length: 1000\r\n\r\nabc")
    assert own_bot.server is not None

    own_bot.server.send_signal(number)
    wait_for(lambda: "Handling signal" in own_bot.output())
    own_bot.run("deploy", "shop", "--sha", "1" * 40, expect=0)
    own_bot.server.wait(20)
    left = own_bot.read("status")["deployments"]

    assert ["queued"] == [row["state"] for row in left]
    assert not (folder / "ran").exists()
    assert not is_alive(worker)
    assert b"202" not in heard(stuck)
    own_bot.start()
    assert ["success"] == [row["state"] for row in own_bot.wait_idle("shop")]


def test_clients_that_are_stuck_do_not_hold_up_the_end(own_bot: Bot, peers: ExitStack) -> None:
    """Silent ones, half a head, half a body, kept alive, not hanging up: none of them is waited for."""
    own_bot.start()
    connect(own_bot, peers)
    connect(own_bot, peers, b"POST /webhooks/github HT")
    connect(own_bot, peers, HEAD + b"Content-Length: 1000\r\n\r\nabc")
    kept_alive = connect(own_bot, peers, ASK + b"\r\n")
    for _ in range(4):
        connect(own_bot, peers, ASK + b"Connection: close\r\n\r\n")
    assert b"200" in kept_alive.recv(65_536)

    assert 0 == own_bot.stop(seconds=10)  # five, where the machine has time

    assert "Traceback" not in own_bot.output()


def test_a_request_that_has_come_in_part_is_answered_before_the_end(own_bot: Bot, peers: ExitStack) -> None:
    """Then it is hung up on: the client has to take another connection for the next one."""
    own_bot.start()
    body = b"{}"
    lines = "".join(f"{name}: {value}\r\n" for name, value in own_bot.signed(body, event="ping").items())
    half = connect(own_bot, peers, HEAD + lines.encode() + b"Content-Length: 2\r\n\r\n{")
    assert own_bot.server is not None

    own_bot.server.terminate()
    wait_for(lambda: "Handling signal: term" in own_bot.output())
    half.sendall(b"}")
    answer = heard(half)

    assert answer.startswith(b"HTTP/1.1 200")
    assert 0 == own_bot.server.wait(20)


def test_who_has_connected_when_the_server_is_told_to_end_is_answered(
    own_bot: Bot, peers: ExitStack, tmp_path: Path
) -> None:
    """Though no worker has taken the connection yet; whoever comes later is refused, and not left to wait."""
    launched(own_bot, tmp_path, BUSY)
    folder = Path(f"/proc/{own_bot.workers()[0]}/cwd").resolve()
    (folder / "hold").touch()
    wait_for((folder / "held").exists)
    early = [connect(own_bot, peers, ASK + b"\r\n") for _ in range(5)]
    stuck = connect(own_bot, peers, HEAD + b"Content-Length: 1000\r\n\r\nabc")
    assert own_bot.server is not None

    own_bot.server.terminate()
    wait_for(lambda: "Handling signal: term" in own_bot.output())
    (folder / "hold").unlink()
    answers = [heard(peer) for peer in early]
    with pytest.raises(ConnectionRefusedError):
        connect(own_bot, peers)

    assert [b"HTTP/1.1 200"] * 5 == [answer[:12] for answer in answers]
    assert b"202" not in heard(stuck)
    assert 0 == own_bot.server.wait(20)


def test_a_worker_whose_master_was_killed_ends_though_clients_hold_on(own_bot: Bot, peers: ExitStack) -> None:
    """Else it would go on for ever beside the next server."""
    own_bot.start()
    [worker] = own_bot.workers()
    connect(own_bot, peers, b"GET / HT")
    connect(own_bot, peers, HEAD + b"Content-Length: 1000\r\n\r\nabc")
    assert own_bot.server is not None

    os.kill(own_bot.server.pid, signal.SIGKILL)
    own_bot.server.wait()

    wait_for(lambda: not is_alive(worker))


# --- the next start


def restart(bot: Bot) -> None:
    """Stop the server and start it again."""
    assert 0 == bot.stop()
    bot.start()


def reload(bot: Bot) -> None:
    """Let the server replace its workers."""
    assert bot.server is not None
    before = set(bot.workers())
    bot.server.send_signal(signal.SIGHUP)
    wait_for(lambda: (now := bot.workers()) and not before & set(now))


@pytest.mark.parametrize("renew", [restart, reload])
def test_no_push_fails_while_the_server_is_renewed(own_bot: Bot, renew: Callable[[Bot], None]) -> None:
    """At fifty a second: two restarts with an inherited socket, or two reloads without one; each is decided once."""
    own_bot.service("shop", SCRIPT, repository="octo-org/shop")
    with ExitStack() as stack:
        if renew is restart:
            own_bot.listener = stack.enter_context(socket.create_server(("127.0.0.1", own_bot.port), backlog=1024))
        own_bot.start()
        pusher = stack.enter_context(Pusher(own_bot, per_second=50))
        for _ in range(2):
            pusher.wait_for_more(MORE)
            renew(own_bot)
        pusher.wait_for_more(MORE)
        pusher.__exit__()
        rows = decided(own_bot)

        assert {} == pusher.failed()
        assert sorted(pusher.guids()) == sorted(guid for guid, _ in rows)
        assert max(count for _, count in rows) == 1
        newest = own_bot.wait_idle("shop")[-1]
    assert "SIGKILL" not in own_bot.output()
    assert "success" == newest["state"]


def test_an_inherited_socket_decides_where_the_bot_is(own_bot: Bot, peers: ExitStack) -> None:
    """Whatever the settings say; scripts are told the right address, and do not get the socket."""
    own_bot.environment["FASTDEPLOY_PORT"] = "1"
    own_bot.listener = peers.enter_context(socket.create_server(("127.0.0.1", own_bot.port)))
    own_bot.service("shop", f"{SCRIPT}ls -l /proc/self/fd\n")

    own_bot.start()
    own_bot.port, port = own_bot.port, own_bot.port
    ended = own_bot.run_service("shop")
    said = own_bot.log(ended["id"]).decode()

    assert said.startswith(f"http://127.0.0.1:{port}/")
    assert "socket" not in said
    assert f"serving on http://127.0.0.1:{port}" in own_bot.output()


def test_an_inherited_socket_that_is_not_for_http_is_named(own_bot: Bot, peers: ExitStack, tmp_path: Path) -> None:
    """With the line that its unit should have."""
    own_bot.listener = peers.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
    own_bot.listener.bind(str(tmp_path / "socket"))

    with pytest.raises(AssertionError):
        own_bot.start()

    assert "ListenStream=127.0.0.1:8000" in own_bot.output()
    assert "Traceback" not in own_bot.output()


# --- clients, all the time


def test_nobody_has_a_thread_who_says_nothing_or_half_a_head(narrow: Bot, peers: ExitStack) -> None:
    """With one thread for all: somebody else's request is answered all the same."""
    halves = [connect(narrow, peers, b"GET / HT") for _ in range(3)]
    for _ in range(50):
        connect(narrow, peers)

    assert 200 == requests.get(f"{narrow.url}/healthz", timeout=30).status_code
    assert [b""] * 3 == [heard(half) for half in halves]


def test_a_client_that_does_not_hang_up_holds_up_nobody(own_bot: Bot, peers: ExitStack) -> None:
    """Forty of them: were each waited for before the next connection is taken, this would last longer than a minute."""
    own_bot.start()
    for _ in range(40):
        connect(own_bot, peers, ASK + b"Connection: close\r\n\r\n")

    assert 200 == requests.get(f"{own_bot.url}/healthz", timeout=30).status_code
