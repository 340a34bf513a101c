"""Asking GitHub: what a push changed, and whether a commit belongs to the repository, with a real bot."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator

import pytest
import requests

import fakehub
from bots import Bot, BotMaker, Json, wait_for
from fakehub import FakeHub, Fault
from fastdeploy_bot.forge.github.payloads import push_document

LIVE, WEB, API, FORK = (f"{number:040x}" for number in range(0xA1, 0xA5))
MAIN = "refs/heads/main"


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    """A GitHub with three commits for main, of which the last one touched the api, and one of a fork.

    No branch names any of them at first: the bot is to hear of pushes by webhooks alone.
    """
    with FakeHub() as made:
        made.history.add(LIVE, api__a="1", web__a="1")
        made.history.add(WEB, LIVE, web__a="2")
        made.history.add(API, WEB, api__a="3")
        made.history.add(FORK, API, api__a="evil")
        yield made
    assert [] == made.wrongs


@pytest.fixture
def bot(make_bot: BotMaker, hub: FakeHub) -> Bot:
    """A bot that runs, with service api of `api/**`, whose commit is live."""
    made = make_bot(FASTDEPLOY_GITHUB_API_URL=hub.url, FASTDEPLOY_GITHUB_TOKEN=fakehub.TOKEN)
    made.service("api", "#!/bin/sh\n", repository="octo-org/shop", branches=["main"], paths=["api/**"])
    made.start()
    push(made, "0" * 40, LIVE)
    made.wait_idle("api")
    return made


def push(bot: Bot, before: str, after: str) -> Json:
    """A forced push to main, which tells no files; answers its verdict."""
    number = int(after, 16)
    body = push_document(
        repository="octo-org/shop",
        repository_id=fakehub.MOVED,
        before=before,
        after=after,
        pushed_at=1_700_000_000 + number,
    )
    [verdict] = bot.deliver(json.dumps(json.loads(body) | {"forced": True}).encode()).json()["verdicts"]
    told: Json = verdict
    return told


def verdict_now(bot: Bot) -> Json:
    """That of the newest delivery."""
    [verdict] = bot.get("/deliveries", limit=1)["items"][0]["verdicts"]
    told: Json = verdict
    return told


def test_a_push_waits_for_github_to_say_what_changed(bot: Bot, hub: FakeHub) -> None:
    """It is ignored or deployed as GitHub says, once it has said so."""
    hub.fail(Fault(hold=(patience := threading.Event())), on="/compare/")

    waiting = push(bot, FORK, WEB)
    assert hub.held.wait(30)
    patience.set()
    wait_for(lambda: verdict_now(bot)["verdict"] == "ignore")
    asked = push(bot, FORK, API)
    wait_for(lambda: verdict_now(bot)["verdict"] == "deploy")

    assert [("wait", None)] * 2 == [(each["verdict"], each["deployment"]) for each in (waiting, asked)]
    assert "success" == bot.wait_end(verdict_now(bot)["deployment"])["state"]
    assert [LIVE, API] == sorted(each["sha"] for each in bot.deployments("api"))


def test_a_bot_that_is_killed_while_it_asks_asks_again(bot: Bot, hub: FakeHub) -> None:
    """What waited is decided after the next start."""
    hub.fail(Fault(hold=(patience := threading.Event())), on="/compare/")
    push(bot, FORK, API)
    assert hub.held.wait(30)

    bot.kill()
    patience.set()
    bot.start()

    wait_for(lambda: verdict_now(bot)["verdict"] == "deploy")
    assert "success" == bot.wait_end(verdict_now(bot)["deployment"])["state"]


def test_a_commit_of_a_fork_is_not_deployed(bot: Bot, hub: FakeHub) -> None:
    """Neither by the API nor by a command, on the bot's host or elsewhere; one of main is."""
    hub.remote().push(API, MAIN)
    refused = bot.post("/deployments", {"service": "api", "sha": FORK}, expect=422)
    here = bot.run("deploy", "api", "--sha", FORK, expect=2)
    there = bot.run("deploy", "api", "--sha", FORK, by_url=True, expect=2)
    started = bot.run("deploy", "api", "--sha", WEB, "--wait", expect=0)

    for told in (refused["detail"], here.stderr, there.stderr):
        assert f"{FORK[:7]} is part of no branch or tag that service api deploys (main)" in told.replace("\n", " ")
    assert "success" in started.stdout + started.stderr
    shas = {each["sha"] for each in bot.deployments("api")}
    assert (True, False) == (WEB in shas, FORK in shas)


def test_whoever_asks_while_github_is_down_is_told_to_come_back(bot: Bot, hub: FakeHub) -> None:
    """Webhooks are answered meanwhile as ever."""
    hub.down = True
    hub.remote().push(API, MAIN)

    def ask() -> requests.Response:
        return bot.http("POST", "/api/v1/deployments", json={"service": "api", "sha": WEB})

    answer = ask()
    pushed = push(bot, FORK, API)
    hub.down = False

    assert (503, "5") == (answer.status_code, answer.headers["Retry-After"])
    assert "wait" == pushed["verdict"]
    wait_for(lambda: ask().status_code == 201)
