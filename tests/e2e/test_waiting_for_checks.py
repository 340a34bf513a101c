"""Waiting for checks: a push waits, CI says how it ended, and the script runs or never does."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import fakehub
from bots import Bot, BotMaker, wait_for
from fakehub import FakeHub
from fastdeploy_bot.forge.github.payloads import push_document

REPOSITORY = "octo-org/shop"
COMMITS = [f"{number:040x}" for number in range(0xC0, 0xC4)]
SCRIPT = '#!/bin/sh\necho "$FASTDEPLOY_SHA" >> ran\n'


@pytest.fixture
def asking_bot(make_bot: BotMaker, hub: FakeHub) -> Bot:
    """A bot with a token for that GitHub, not started."""
    return make_bot(
        FASTDEPLOY_GITHUB_API_URL=hub.url, FASTDEPLOY_GITHUB_TOKEN=fakehub.TOKEN, FASTDEPLOY_WAIT_LIMIT="1h"
    )


def push(bot: Bot, number: int = 1) -> int:
    """Push one commit after the other to main, and answer the deployment that waits by that."""
    body = push_document(
        repository=REPOSITORY,
        repository_id=fakehub.MOVED,
        before=COMMITS[number - 1],
        after=COMMITS[number],
        pushed_at=1_700_000_000 + number,
    )
    [verdict] = bot.deliver(body).json()["verdicts"]
    assert "wait" == verdict["verdict"], verdict
    made: int = verdict["deployment"]
    return made


def completed(bot: Bot, number: int = 1) -> None:
    """GitHub tells that a check run has completed."""
    told = {
        "action": "completed",
        "check_run": {"id": 1, "name": "test", "head_sha": COMMITS[number]},
        "repository": {"id": fakehub.MOVED, "full_name": REPOSITORY},
    }
    answer = bot.deliver(json.dumps(told).encode(), event="check_run")
    assert answer.json()["reason"].startswith("GitHub is asked for the checks of"), answer.text


def wait_asked(hub: FakeHub, times: int) -> None:
    """Until GitHub was asked so often."""
    wait_for(lambda: sum("check-runs" in path for path in hub.paths()) >= times)


@pytest.fixture
def shop(asking_bot: Bot) -> Path:
    """A service that waits for a check named test."""
    return asking_bot.service("shop", SCRIPT, wait_for=["test"])


def test_a_push_is_deployed_when_ci_has_succeeded(asking_bot: Bot, shop: Path, hub: FakeHub) -> None:
    """GitHub, API and page say what it waits for; the event of the check's end lets it begin, and not a clock."""
    asking_bot.start()
    number = push(asking_bot)
    hub.ci.check(COMMITS[1], "test", None)
    wait_for(lambda: "Waiting · waits for checks: test" in [each.description for each in hub.told(COMMITS[1])])
    waits = asking_bot.deployment(number)
    wait_asked(hub, 3)  # the next look would be 20 s away
    assert not (shop / "ran").exists()

    hub.ci.check(COMMITS[1], "test")
    completed(asking_bot)

    ended = asking_bot.wait_end(number, 15)
    assert ("waiting", "checks", "waits for checks: test") == (waits["state"], waits["waits_for"], waits["reason"])
    assert ("success", None, f"{COMMITS[1]}\n") == (ended["state"], ended["waits_for"], (shop / "ran").read_text())
    wait_for(lambda: ["success"] == hub.states(COMMITS[1])[-1:])


def test_a_push_whose_check_failed_is_never_deployed(asking_bot: Bot, shop: Path, hub: FakeHub) -> None:
    """It ends as cancelled with the reason, and a person may deploy it all the same."""
    asking_bot.start()
    number = push(asking_bot)
    wait_asked(hub, 1)
    hub.ci.check(COMMITS[1], "test", "failure", title="3 of 80 tests failed")

    completed(asking_bot)
    ended = asking_bot.wait_end(number)
    again = asking_bot.post(f"/deployments/{number}/retry", expect=201)["id"]

    assert ("cancelled", "check test failed: 3 of 80 tests failed") == (ended["state"], ended["reason"])
    assert "success" == asking_bot.wait_end(again)["state"]
    assert f"{COMMITS[1]}\n" == (shop / "ran").read_text()


def test_what_waits_goes_on_waiting_over_a_kill(asking_bot: Bot, shop: Path, hub: FakeHub) -> None:
    """And begins when the check succeeds, which it did meanwhile without anybody telling."""
    asking_bot.start()
    number = push(asking_bot)
    hub.ci.check(COMMITS[1], "test", None)
    wait_asked(hub, 1)
    asking_bot.kill()
    hub.ci.check(COMMITS[1], "test")

    asking_bot.start()

    assert "success" == asking_bot.wait_end(number)["state"]
    assert f"{COMMITS[1]}\n" == (shop / "ran").read_text()
