"""Buttons: a commit's check run is deployed, stopped, run again and rolled back from GitHub alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import appkeys
import fakehub
from bots import Bot, BotMaker, Json, wait_for
from fakehub import FakeHub
from fastdeploy_bot.forge.github.payloads import push_document
from githubevents import OCTOCAT, READER, as_body, check_run, check_suite

SCRIPT = """#!/bin/sh
[ -e calm ] && exit 0
touch begun
until [ -e go ]; do sleep 0.02; done
"""
"""Runs until it is stopped, or ends at once where the file `calm` stands there."""
COMMITS = [f"{number:040x}" for number in range(0xB0, 0xB3)]


@pytest.fixture
def bot(make_bot: BotMaker, hub: FakeHub, tmp_path: Path) -> Bot:
    """A running bot with a GitHub App, whose service shows check runs."""
    (tmp_path / "app.pem").write_text(appkeys.pem())
    made = make_bot(
        FASTDEPLOY_GITHUB_API_URL=hub.url,
        FASTDEPLOY_GITHUB_CLIENT_ID=fakehub.CLIENT_ID,
        FASTDEPLOY_GITHUB_PRIVATE_KEY_FILE=str(tmp_path / "app.pem"),
    )
    made.service("shop", SCRIPT, report=["check"])
    made.start()
    return made


def push(bot: Bot, number: int) -> int:
    """Push one commit after the other to main, and answer the deployment that it starts."""
    body = push_document(
        repository="octo-org/shop",
        repository_id=fakehub.MOVED,
        before=COMMITS[number - 1],
        after=COMMITS[number],
        pushed_at=1_700_000_000 + number,
    )
    [verdict] = bot.deliver(body).json()["verdicts"]
    started: int = verdict["deployment"]
    return started


def shown(hub: FakeHub, number: int, state: str) -> Json:
    """The check run of a deployment, once GitHub shows it in that state."""

    def runs() -> list[Json]:
        mine = [run for run in hub.check_runs if run["external_id"] == str(number)]
        return [run for run in mine if state in (run["status"], run.get("conclusion"))]

    wait_for(runs)
    [run] = runs()
    return run


def press(bot: Bot, run: Json, label: str, sender: Any = OCTOCAT) -> str:
    """Press the button of a check run that has this label, and answer what the bot's delivery says in the end."""
    [identifier] = [action["identifier"] for action in run["actions"] if action["label"] == label]
    told = check_run("requested_action", run["external_id"], run["head_sha"], identifier=identifier, sender=sender)
    return settled(bot, bot.deliver(as_body(told), event="check_run").json())


def settled(bot: Bot, receipt: Json) -> str:
    """What a delivery says once GitHub has been asked."""

    def reason() -> str:
        told: str = bot.get(f"/deliveries/{receipt['delivery']}")["reason"]
        return told

    assert receipt["reason"].endswith("GitHub is asked whether they may"), receipt
    wait_for(lambda: reason() != receipt["reason"])
    return reason()


def test_a_deployment_is_steered_from_its_check_run(bot: Bot, hub: FakeHub) -> None:
    """Only by who may write; and GitHub shows what came of it."""
    folder = bot.home / "services" / "shop"
    (folder / "calm").touch()
    first = push(bot, 1)
    shown(hub, first, "success")
    (folder / "calm").unlink()
    second = push(bot, 2)
    wait_for((folder / "begun").exists)
    running = shown(hub, second, "in_progress")

    refused = press(bot, running, "Cancel", sender=READER)
    assert "running" == bot.deployment(second)["state"]
    stopped = press(bot, running, "Cancel")
    ended = bot.wait_end(second)
    cancelled = shown(hub, second, "cancelled")

    assert "theirs is 'read'" in refused
    assert "octocat asked to cancel deployment 2; it is told to stop" == stopped
    assert ("cancelled", "cancelled by octocat on GitHub") == (ended["state"], ended["reason"])

    (folder / "calm").touch()
    again = press(bot, cancelled, "Re-run")
    third = shown(hub, 3, "success")
    assert f"octocat asked to run deployment 2 again; {COMMITS[2][:7]} is deployed again, as deployment 3" == again
    assert COMMITS[2] == third["head_sha"]

    back = press(bot, third, "Roll back")
    fourth = shown(hub, 4, "success")
    assert f"octocat asked to roll back deployment 3; {COMMITS[1][:7]} is deployed again, as deployment 4" == back
    assert COMMITS[1] == fourth["head_sha"]

    told = check_run("rerequested", 4, COMMITS[1], sender=READER)
    assert "theirs is 'read'" in settled(bot, bot.deliver(as_body(told), event="check_run").json())
    wait_for(lambda: ["success", "success"] == fourth["statuses"][-2:])

    whole = bot.deliver(as_body(check_suite("rerequested", COMMITS[1])), event="check_suite").json()
    assert f"shop: {COMMITS[1][:7]} is deployed again, as deployment 5" in settled(bot, whole)
    shown(hub, 5, "success")
    assert [("retry", "octocat on GitHub"), ("rollback", "octocat on GitHub"), ("retry", "octocat on GitHub")] == [
        (row["origin"], row["actor"]) for row in bot.deployments("shop")[2:]
    ]
