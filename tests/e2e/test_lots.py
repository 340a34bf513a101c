"""Webhooks that come at the same time: handled together, each answered for itself, and nobody else waits for them."""

from __future__ import annotations

import json
import socket
import sqlite3
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager

import pytest
import requests

from bots import Bot, wait_for
from fastdeploy_bot.web import lots

MANY = 24
MANY_SERVICES = 400
SHORT = 8.0
"""Seconds: less than what a client may take for its answer."""


@pytest.fixture
def peers() -> Iterator[ExitStack]:
    """Connections of the test's own, closed at its end."""
    with ExitStack() as stack:
        yield stack


def push(number: int) -> bytes:
    """A push to `octo-org/shop`; commits of consecutive numbers form a chain."""
    repository = {"id": 4711, "full_name": "octo-org/shop", "default_branch": "main"}
    body = {
        "ref": "refs/heads/main",
        "before": f"{number:040x}",
        "after": f"{number + 1:040x}",
        "repository": repository | {"pushed_at": 1_700_000_000 + number},
    }
    return json.dumps(body).encode()


def request(bot: Bot, number: int, *, secret: str | None = None, close: bool = False) -> bytes:
    """That push as GitHub sends it."""
    body = push(number)
    headers = bot.signed(body, guid=f"{uuid.UUID(int=number)}", secret=secret)
    headers |= {"Host": "bot", "Content-Length": str(len(body))} | ({"Connection": "close"} if close else {})
    lines = [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join(["POST /webhooks/github HTTP/1.1", *lines, "", ""]).encode() + body


class Peer:
    """A client with one connection, on which answers are read one by one."""

    def __init__(self, bot: Bot, stack: ExitStack, *, room: int | None = None, patience: float = 30.0) -> None:
        """`room`: so many bytes, or the least there can be, are kept for it while it does not read."""
        self._socket = stack.enter_context(socket.socket())
        self._socket.settimeout(patience)
        if room is not None:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
        self._socket.connect(("127.0.0.1", bot.port))
        self._stream = stack.enter_context(self._socket.makefile("rb"))

    def say(self, data: bytes) -> None:
        """Send all of it."""
        self._socket.sendall(data)

    def can_say(self, data: bytes, *, answered: Callable[[], int]) -> bool:
        """Send it, unless that is one more than is answered within a second, by what is counted."""
        before = answered()
        self._socket.sendall(data)
        try:
            return wait_for(lambda: answered() > before, seconds=1.0)
        except AssertionError:
            return False

    def hang_up(self) -> None:
        """Be gone."""
        self._stream.close()
        self._socket.close()

    def hear(self) -> tuple[int, bytes]:
        """The status and the body of the next answer; 0 where the connection has ended."""
        status = self._stream.readline()
        if not status:
            return 0, b""
        length = 0
        while (line := self._stream.readline().strip()) != b"":
            name, _, value = line.partition(b":")
            length = int(value) if name.lower() == b"content-length" else length
        return int(status.split()[1]), self._stream.read(length)


@contextmanager
def locked(bot: Bot) -> Iterator[None]:
    """Meanwhile nobody else can write into the bot's database."""
    with closing(sqlite3.connect(bot.home / "fastdeploy.db", isolation_level=None)) as database:
        database.execute("BEGIN IMMEDIATE")
        yield
        database.execute("ROLLBACK")


def kept(bot: Bot) -> set[str]:
    """The deliveries in the bot's database, by their GUIDs."""
    with closing(sqlite3.connect(bot.home / "fastdeploy.db")) as database:
        return {guid for (guid,) in database.execute("SELECT guid FROM delivery")}


@pytest.fixture
def shop(own_bot: Bot) -> Bot:
    """A running bot with a service."""
    own_bot.service("shop", "#!/bin/sh\n", repository="octo-org/shop")
    return own_bot.start()


@pytest.fixture
def many_shops(own_bot: Bot) -> Bot:
    """A running bot whose answers to a push are long."""
    for number in range(MANY_SERVICES):
        own_bot.service(f"shop-{number}-{'x' * 40}", None, repository="octo-org/shop")
    own_bot.start()
    requests.post(f"{own_bot.url}/webhooks/github", push(1), headers=own_bot.signed(push(1)), timeout=30)
    return own_bot  # to decide the first one takes long


def test_many_at_once_are_each_answered_for_themselves(shop: Bot, peers: ExitStack) -> None:
    """The one that is not believed, the one that came twice, and the one that wants to be hung up on, too."""
    clients = [Peer(shop, peers) for _ in range(MANY)]
    with locked(shop):
        for number, client in enumerate(clients):
            wrong = "guessed" if number == 3 else None
            client.say(request(shop, 4 if number == 5 else number, secret=wrong, close=number == 7))
    answers = [client.hear() for client in clients]

    told = [json.loads(body) for _, body in answers]
    assert [401 if number == 3 else 202 for number in range(MANY)] == [status for status, _ in answers]
    assert 1 == sum(each.get("duplicate") is True for each in told)
    assert (0, b"") == clients[7].hear()
    assert {f"{uuid.UUID(int=number)}" for number in range(MANY) if number not in (3, 5)} == kept(shop)
    clients[0].say(request(shop, MANY))
    assert 202 == clients[0].hear()[0]


def test_nobody_waits_for_a_locked_database_longer_than_github_does(shop: Bot, peers: ExitStack) -> None:
    """Also who comes just after a lot has begun to wait, and who is more than a lot has room for."""
    clients = [Peer(shop, peers) for _ in range(2 * lots.MOST + 12)]
    with locked(shop):
        begun = time.monotonic()
        for number, client in enumerate(clients):
            client.say(request(shop, number))
        answers = [client.hear()[0] for client in clients]
        took = time.monotonic() - begun

    assert {503} == {*answers}
    assert lots.PATIENCE + 1.5 > took
    clients[-1].say(request(shop, 1))
    assert 202 == clients[-1].hear()[0]


def test_others_are_answered_while_webhooks_wait_to_be_written(shop: Bot, peers: ExitStack) -> None:
    """On the same connection as well, once its webhook is."""
    client = Peer(shop, peers)
    with locked(shop):
        client.say(request(shop, 1))
        assert 200 == requests.get(f"{shop.url}/healthz", timeout=30).status_code
        assert set() == kept(shop)
    assert 202 == client.hear()[0]

    client.say(b"GET /healthz HTTP/1.1\r\nHost: bot\r\n\r\n")
    assert 200 == client.hear()[0]


def test_refusals_hold_up_no_webhook_while_nothing_can_be_written(shop: Bot, peers: ExitStack) -> None:
    """Each of them is to be kept, too; all of them wait for the database once."""
    guessing, client = [Peer(shop, peers) for _ in range(MANY)], Peer(shop, peers, patience=2 * SHORT)
    with locked(shop):
        for number, each in enumerate(guessing):
            each.say(request(shop, number, secret="guessed"))
        client.say(request(shop, MANY))
        assert 503 == client.hear()[0]

    assert [401] * MANY == [each.hear()[0] for each in guessing]


def test_requests_that_come_in_one_piece_are_answered_in_their_order(shop: Bot, peers: ExitStack) -> None:
    """Two webhooks and another request behind them, all sent before the first answer."""
    client = Peer(shop, peers)
    client.say(request(shop, 1) + request(shop, 2) + b"GET /healthz HTTP/1.1\r\nHost: bot\r\n\r\n")

    first, second, third = client.hear(), client.hear(), client.hear()

    assert (202, f"{uuid.UUID(int=1)}") == (first[0], json.loads(first[1])["delivery"])
    assert (202, f"{uuid.UUID(int=2)}") == (second[0], json.loads(second[1])["delivery"])
    assert 200 == third[0]


def test_a_client_that_is_gone_costs_nobody_an_answer(shop: Bot, peers: ExitStack) -> None:
    """What it had sent is decided all the same: it had come whole."""
    gone, other = Peer(shop, peers), Peer(shop, peers)
    with locked(shop):
        gone.say(request(shop, 1))
        gone.hang_up()
        other.say(request(shop, 2))

    assert 202 == other.hear()[0]
    assert {f"{uuid.UUID(int=number)}" for number in (1, 2)} == wait_for(lambda: len(kept(shop)) == 2 and kept(shop))


@pytest.mark.parametrize("pieces", [(10,), (400,), (-1,), (10, 400, -1)], ids=str)
def test_a_webhook_that_comes_in_pieces_holds_up_no_other(shop: Bot, peers: ExitStack, pieces: tuple[int, ...]) -> None:
    """In the middle of its first line, of its head, or of its body."""
    slow, quick = Peer(shop, peers), Peer(shop, peers)
    whole, sent = request(shop, 1), 0
    for number, end in enumerate(pieces):
        slow.say(whole[sent : (sent := end % len(whole))])
        quick.say(request(shop, 2 + number))
        assert 202 == quick.hear()[0]
    slow.say(whole[sent:])

    assert 202 == slow.hear()[0]


@pytest.mark.parametrize("length", ["Transfer-Encoding: chunked", "transfer-encoding:chunked"])
def test_a_webhook_of_two_lengths_holds_up_no_other(shop: Bot, peers: ExitStack, length: str) -> None:
    """By one of them it has come whole, and by the other it never will."""
    whole = request(shop, 1).replace(b"\r\n\r\n", f"\r\n{length}\r\n\r\n".encode(), 1)
    bad, good = Peer(shop, peers), Peer(shop, peers)

    bad.say(whole)
    good.say(request(shop, 2))

    assert 202 == good.hear()[0]
    assert 400 == bad.hear()[0]


def test_a_client_that_takes_no_answers_holds_up_no_other(many_shops: Bot, peers: ExitStack) -> None:
    """It asks for as long as it is answered, and reads nothing; another one is answered all the while."""
    deaf, other = Peer(many_shops, peers, room=1), Peer(many_shops, peers, patience=SHORT)
    while deaf.can_say(request(many_shops, 1), answered=lambda: many_shops.output().count('"status": 202')):
        pass

    other.say(request(many_shops, 1))

    assert 202 == other.hear()[0]


def test_an_answer_that_is_not_taken_at_once_comes_whole(many_shops: Bot, peers: ExitStack) -> None:
    """More of them than the kernel keeps for a client that reads late."""
    late = Peer(many_shops, peers, room=1)
    asked = 1
    while late.can_say(request(many_shops, 1), answered=lambda: many_shops.output().count('"status": 202')):
        asked += 1

    answers = [late.hear() for _ in range(asked)]

    assert {202} == {status for status, _ in answers}
    assert {MANY_SERVICES} == {len(json.loads(body)["verdicts"]) for _, body in answers}
    late.say(b"GET /healthz HTTP/1.1\r\nHost: bot\r\n\r\n")
    assert 200 == late.hear()[0]
