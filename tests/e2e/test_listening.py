"""The feed over websockets, as real servers hold it: shutdowns, crashes, slow readers, many readers, many processes."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from threading import Event
from typing import Any, Final

import requests

from bots import Bot, BotMaker, Json, wait_for
from feeds import Follower, fill, refusal, stalled

QUICK: Final = "#!/bin/sh\necho done\n"
ESTABLISHED: Final = "01"


def follow(bot: Bot, query: str = "", **options: Any) -> Follower:
    """The admin follows the feed."""
    return Follower(bot.url, query, token=bot.token(), **options)


def newest(bot: Bot) -> int:
    """The id of the newest event."""
    with follow(bot) as follower:
        number: int = follower.hear()["id"]
        return number


def ids(heard: list[Json]) -> list[int]:
    """Those of the events among these messages."""
    return [each["id"] for each in heard if each["type"] != "hello" and "id" in each]


def ends(number: int) -> Callable[[Json], bool]:
    """Whether a message tells that this deployment ended well."""
    return lambda told: (number, "success") == _deployment(told)


def _deployment(told: Json) -> tuple[object, object]:
    facts = told.get("deployment") if told["type"] == "deployment" else None
    return (facts["id"], facts["state"]) if facts else (None, None)


def is_held(sock: socket.socket) -> bool:
    """Whether the other side still has its end of this connection open."""
    ours, theirs = f":{sock.getsockname()[1]:04X}", f":{sock.getpeername()[1]:04X}"
    return any(
        local.endswith(theirs) and remote.endswith(ours) and state == ESTABLISHED
        for local, remote, state, _ in _connections()
    )


def held_by(pid: int, port: int) -> int:
    """How many connections to that port the process holds."""
    held = {
        f"socket:[{inode}]"
        for local, _, state, inode in _connections()
        if local.endswith(f":{port:04X}") and state == ESTABLISHED
    }
    return len([link for link in Path(f"/proc/{pid}/fd").iterdir() if str(link.readlink()) in held])


def _connections() -> list[tuple[str, str, str, str]]:
    """Of each TCP connection: its own address, the other one, its state, and its inode."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return [(row[1], row[2], row[3], row[9]) for row in rows]


def test_a_deployment_is_followed_from_push_to_end(bot: Bot) -> None:
    """Its events in order and its log's end, and nothing in the server's own log tells a token."""
    bot.service("story", "#!/bin/sh\necho one\nfastdeploy step Build -- echo two\n")
    with follow(bot) as follower:
        follower.hear()
        number = bot.deploy("story")
        heard = follower.hear_until(ends(number))
    query = f"?since=0&deployment={number}&access_token=fdu_wrong"
    with Follower(bot.url, query, first={"access_token": bot.token()}) as late:
        log = late.hear_until(lambda told: told["type"] == "log")[-1]

    states = [each["deployment"]["state"] for each in heard if each["type"] == "deployment"]
    assert ["queued", "running", "success"] == states
    assert "Build" in {each["step"]["name"] for each in heard if each["type"] == "step"}
    assert len(bot.log(number)) == log["end"]
    assert not [text for text in (bot.token(), "fdu_") if text in bot.output()]
    assert "Traceback" not in bot.output()


def test_open_sockets_do_not_hold_up_the_end_of_the_server(own_bot: Bot) -> None:
    """Those who listen, who are being waited for, and who take nothing; the first two are told why."""
    own_bot.start()
    fill(own_bot.home, events=2_000)
    with ExitStack() as stack:
        listening = [stack.enter_context(follow(own_bot)) for _ in range(20)]
        for follower in listening:
            follower.hear()
        stack.enter_context(Follower(own_bot.url))
        stack.enter_context(stalled(own_bot.url, own_bot.token()))

        assert 0 == own_bot.stop(seconds=5)

        assert [1001] * 20 == [follower.end()[0] for follower in listening]
    assert "Traceback" not in own_bot.output()
    assert "ERROR" not in own_bot.output()


def test_the_feed_is_there_under_flask_run_too(own_bot: Bot) -> None:
    """For whoever works on the bot; an open socket does not hold up its end."""
    own_bot.environment["FASTDEPLOY_HOME"] = str(own_bot.home)
    own_bot.run("migrate", expect=0)
    own_bot.launch(sys.executable, "-m", "flask", "--app", "fastdeploy_bot.app", "run", "--port", str(own_bot.port))

    with follow(own_bot) as follower:
        hello = follower.hear()
        own_bot.deliver(b"{}", event="ping")

        assert [hello["id"] + 1] == follower.events(1)
        own_bot.stop(seconds=5)
    assert "Traceback" not in own_bot.output()


def test_no_event_is_lost_or_told_twice_when_the_server_crashes(own_bot: Bot) -> None:
    """A follower comes back by the id it had, while webhooks come in before, between and after."""
    own_bot.start()
    start = newest(own_bot)
    heard: list[int] = []
    done = Event()

    def deliver() -> None:
        while not done.is_set():
            with suppress(requests.RequestException):
                own_bot.deliver(b"{}", event="ping")

    def come_back() -> Follower:
        return follow(own_bot, f"?since={heard[-1] if heard else start}")

    with ThreadPoolExecutor() as pool:
        writer = pool.submit(deliver)
        for _ in range(3):
            with come_back() as follower:
                heard += follower.events(20)
                own_bot.kill()
                heard += ids(follower.end()[1])
            own_bot.start()
        done.set()
        writer.result()
    with come_back() as follower:
        last = follower.hear()["id"]
        heard += follower.events(last - heard[-1])

    assert list(range(start + 1, last + 1)) == heard


def test_sockets_on_every_process_see_each_event_once_and_in_order(make_bot: BotMaker) -> None:
    """Whichever process they and the writers have come to."""
    bot = make_bot(FASTDEPLOY_WEB_PROCESSES="2")
    bot.service("shop", QUICK, supersede=False)
    bot.start()
    start = newest(bot)

    with ExitStack() as stack:
        followers = [stack.enter_context(follow(bot, f"?since={start}")) for _ in range(16)]
        held = [held_by(pid, bot.port) for pid in bot.workers()]
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda _: bot.deploy("shop"), range(12)))
        bot.wait_idle("shop")
        last = newest(bot)
        heard = [follower.events(last - start) for follower in followers]

    assert all(held), "every process holds some of the sockets"
    assert [list(range(start + 1, last + 1))] * 16 == heard


def test_a_reader_that_stalls_is_given_up_and_delays_nobody(own_bot: Bot) -> None:
    """It takes nothing, so its connection fills; another one hears what happens meanwhile."""
    own_bot.service("shop", QUICK)
    own_bot.start()
    fill(own_bot.home, events=4_000)

    with stalled(own_bot.url, own_bot.token()) as sleeper, follow(own_bot) as follower:
        follower.hear()
        number = own_bot.deploy("shop")
        follower.hear_until(ends(number))

        assert is_held(sleeper)
        wait_for(lambda: not is_held(sleeper))
    assert "Traceback" not in own_bot.output()


def test_webhooks_are_answered_while_every_socket_is_taken(own_bot: Bot) -> None:
    """200 are held, the next one is refused, and all of them hear of the pushes."""
    own_bot.service("shop", QUICK, auto=False)
    own_bot.start()
    with ExitStack() as stack:
        followers = [stack.enter_context(follow(own_bot)) for _ in range(200)]
        for follower in followers:
            follower.hear()

        assert 503 == refusal(own_bot.url, token=own_bot.token())
        answers = [own_bot.deliver(b"{}", event="ping") for _ in range(10)]
        assert {200} == {answer.status_code for answer in answers}
        told = [follower.events(10) for follower in followers]
    assert [told[0]] * 200 == told
