"""Following a deployment elsewhere: news by the feed, looks by the clock, and patience with a bot that is away."""

from __future__ import annotations

import contextlib
import http
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread
from typing import cast

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.sync.server import ServerConnection, serve

from fastdeploy_bot.cli import ears as hearing
from fastdeploy_bot.cli import following
from fastdeploy_bot.cli.bot import Bot
from fastdeploy_bot.cli.client import Client
from fastdeploy_bot.cli.ears import RemoteEars
from fastdeploy_bot.core.output.logs import Excerpt
from fastdeploy_bot.core.telling.views import DeploymentView
from fastdeploy_bot.errors import Unavailable
from fastdeploy_bot.words import DeploymentState

HELLO = {"type": "hello", "id": 1}
Talk = Callable[[ServerConnection], None]
Answer = Callable[[ServerConnection, Request], Response | None]


@contextmanager
def feed(talk: Talk, answer: Answer | None = None) -> Iterator[str]:
    """A bot that has nothing but a feed; its address."""
    with serve(talk, "127.0.0.1", 0, process_request=answer) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.socket.getsockname()[1]}"
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def ears(url: str, number: int = 7) -> Iterator[RemoteEars]:
    """Somebody who hears of a deployment of the bot there."""
    with contextlib.closing(RemoteEars(Client(url, "fdu_x"), number)) as listening:
        yield listening


def heard(listening: RemoteEars, times: int, seconds: float = 30) -> int:
    """How often it was time to look, until it was so many times."""
    looks, deadline = 0, time.monotonic() + seconds
    while looks < times and time.monotonic() < deadline:
        looks += listening.wait(0.05)
    return looks


def until_closed(socket: ServerConnection) -> None:
    """Say nothing until the other side has gone."""
    with contextlib.suppress(ConnectionClosed):
        socket.recv()


@pytest.fixture(autouse=True)
def _never_by_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a look is one that somebody asked for."""
    monkeypatch.setattr(hearing, "HEARING_SECONDS", 3_600.0)
    monkeypatch.setattr(hearing, "DEAF_SECONDS", 3_600.0)


@pytest.mark.parametrize(
    "news",
    [
        {"id": 2, "type": "deployment", "deployment": {"id": 7}},
        {"id": 2, "type": "step", "step": {"deployment": 7}},
        {"type": "log", "deployment": 7, "end": 12},
        {"type": "reset"},
    ],
    ids=lambda news: str(news["type"]),
)
def test_news_of_the_deployment_is_a_reason_to_look(news: dict[str, object]) -> None:
    """One look once connected, one for the greeting, one for the news; what is of others is passed over."""
    others: list[object] = [
        {"id": 2, "type": "deployment", "deployment": {"id": 8}},
        {"id": 3, "type": "step", "step": {"deployment": 8}},
        {"id": 4, "type": "service", "service": {"name": "shop"}},
        {"id": 5, "type": "delivery", "delivery": {"guid": "7"}},
        {"type": "log", "deployment": 8, "end": 12},
        "no object",
    ]
    over = Event()

    def talk(socket: ServerConnection) -> None:
        for messages in ([HELLO], others, [news]):
            for each in messages:
                socket.send(json.dumps(each))
            socket.ping().wait(30)  # it has taken all of them
        over.set()
        until_closed(socket)

    with feed(talk) as url, ears(url) as listening:
        looks = sum(listening.wait(0.05) for _ in iter(over.is_set, True))

    assert 3 == looks


def test_a_token_is_shown_and_the_deployment_named() -> None:
    """In the header, not in the address."""
    asked: list[tuple[str, str | None]] = []

    def answer(_: ServerConnection, request: Request) -> Response | None:
        asked.append((request.path, request.headers.get("Authorization")))
        return None

    with feed(until_closed, answer) as url, ears(url) as listening:
        assert 1 == heard(listening, 1)

    assert ("/feed?deployment=7", "Bearer fdu_x") == asked[0]


def test_a_feed_that_refuses_is_left_alone_and_the_clock_says_when_to_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """A token that may not listen is not tried again and again."""
    monkeypatch.setattr(hearing, "DEAF_SECONDS", 0.1)
    asked: list[str] = []

    def answer(socket: ServerConnection, request: Request) -> Response | None:
        asked.append(request.path)
        return socket.respond(http.HTTPStatus.FORBIDDEN, "not for you")

    with feed(until_closed, answer) as url, ears(url) as listening:
        looks = heard(listening, 3)

    assert 3 == looks
    assert 1 == len(asked)


def test_a_feed_that_sends_away_for_good_is_left_alone_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """As for a session that has ended."""
    monkeypatch.setattr(hearing, "DEAF_SECONDS", 0.1)
    met: list[str] = []

    def talk(socket: ServerConnection) -> None:
        met.append("once")
        socket.close(4401, "no longer")

    with feed(talk) as url, ears(url) as listening:
        looks = heard(listening, 5)

    assert 5 == looks
    assert ["once"] == met


def test_a_feed_that_breaks_off_is_heard_again() -> None:
    """And each time that is a reason to look: something may have been missed."""
    met: list[str] = []

    def talk(socket: ServerConnection) -> None:
        met.append("again")
        if len(met) < 3:
            socket.close(1001, "restarting")
        else:
            until_closed(socket)

    with feed(talk) as url, ears(url) as listening:
        looks = heard(listening, 5)

    assert 5 == looks
    assert 3 == len(met)


def test_a_long_message_in_pieces_is_one_message() -> None:
    """Events may be long, and frames be split."""
    long = json.dumps({"type": "step", "step": {"deployment": 7, "message": "x" * 300_000}})

    def talk(socket: ServerConnection) -> None:
        socket.send([long[:10], long[10:200_000], long[200_000:]])
        until_closed(socket)

    with feed(talk) as url, ears(url) as listening:
        looks = heard(listening, 2)

    assert 2 == looks


# --- patience


class Away:
    """A bot that is away when it is looked at so many times; then its deployment has ended."""

    def __init__(self, times: int) -> None:
        self.times = times

    def deployment(self, number: int) -> DeploymentView:
        """The deployment, or nobody there."""
        if self.times:
            self.times -= 1
            raise Unavailable("no bot answers")
        return ended(number)

    def log(self, _number: int, offset: int) -> Excerpt:
        """The rest of ten bytes."""
        return Excerpt(b"0123456789"[offset:], 10, None)

    @contextmanager
    def listen(self, _number: int) -> Iterator[Away]:
        """Ears that hear at once."""
        yield self

    def wait(self, _seconds: float) -> bool:
        """It is always time to look."""
        return True


def ended(number: int) -> DeploymentView:
    """A deployment that has ended well."""
    names = DeploymentView.__struct_fields__
    facts = dict.fromkeys(names) | {"id": number, "state": DeploymentState.SUCCESS, "steps": []}
    return DeploymentView(**facts)  # type: ignore[arg-type]  # nobody looks at the other ones


@pytest.fixture
def _hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "AGAIN_SECONDS", 0.01)


@pytest.mark.usefixtures("_hurried")
def test_a_bot_that_is_away_for_a_while_is_waited_for(capfd: pytest.CaptureFixture[str]) -> None:
    """Said once, and every byte is there in the end, once."""
    following.output(cast("Bot", Away(20)), 7, begin=4)

    told = capfd.readouterr()
    assert "456789" == told.out
    assert 1 == told.err.count("no bot answers; trying again for 2m 0s")


@pytest.mark.usefixtures("_hurried")
def test_a_bot_that_stays_away_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for ever."""
    monkeypatch.setattr(following, "PATIENCE", 0.1)

    with pytest.raises(Unavailable):
        following.steps(cast("Bot", Away(10_000)), 7, quiet=True)


@pytest.mark.parametrize(
    ("offset", "written", "said"),
    [
        (0, "headtail", "bytes 4 to 90 were not kept"),
        (2, "adtail", "bytes 4 to 90 were not kept"),
        (50, "tail", "bytes 50 to 90 were not kept"),
    ],
)
def test_a_gap_is_said_where_it_is(capfd: pytest.CaptureFixture[str], offset: int, written: str, said: str) -> None:
    """On standard error, so that output stays what it was."""
    following.write(Excerpt(written.encode(), 94, (4, 90)), offset)

    told = capfd.readouterr()
    assert (written, f"fastdeploy: {said}\n") == (told.out, told.err)
