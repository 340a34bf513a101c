"""The whole story: a push that nobody told the bot of is found, deployed at exactly that commit, and told of."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import appkeys
import fakehub
import githttp
from bots import Bot, BotMaker, Json, wait_for
from fakehub import FakeHub
from fastdeploy_bot.forge.github.payloads import push_document
from githttp import GitHost

REPOSITORY = "octo-org/shop"
SCRIPT = """#!/bin/sh
set -eu
fastdeploy step Build -- sh -c 'echo "building $(cat version)"'
fastdeploy step Restart -- sh -c 'git rev-parse HEAD > "$FASTDEPLOY_SERVICE_DIR/live"'
"""
"""The commit's own script: it stands in the repository, and says what it was run from."""


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    """A GitHub, to which nothing wrong may have been said in the end."""
    with FakeHub() as made:
        made.granted |= {"deployments": "write", "checks": "write", "contents": "read"}
        yield made
    assert [] == made.wrongs


@pytest.fixture
def host(tmp_path: Path, hub: FakeHub) -> Iterator[GitHost]:
    """Where the repositories of that GitHub are fetched from, by whoever has one of its tokens."""
    with githttp.serving(tmp_path / "git") as made:
        made.tokens = hub.tokens
        yield made


@pytest.fixture
def bot(make_bot: BotMaker, hub: FakeHub, host: GitHost, tmp_path: Path) -> Bot:
    """A bot that is an App of that GitHub, not started; its service deploys what the commit's own script does."""
    (tmp_path / "app.pem").write_text(appkeys.pem())
    made = make_bot(
        FASTDEPLOY_GITHUB_API_URL=hub.url,
        FASTDEPLOY_GITHUB_URL=host.url,
        FASTDEPLOY_GITHUB_CLIENT_ID=fakehub.CLIENT_ID,
        FASTDEPLOY_GITHUB_PRIVATE_KEY_FILE=str(tmp_path / "app.pem"),
    )
    made.service(
        "shop",
        None,
        repository=REPOSITORY,
        branches=["main"],
        checkout=True,
        command=["{checkout}/deploy.sh"],
        environment="production",
        report=["status", "deployment", "check"],
    )
    return made


def test_a_push_that_was_missed_is_found_deployed_at_exactly_that_commit_and_told(
    bot: Bot, hub: FakeHub, host: GitHost
) -> None:
    """It was made, and its webhook lost, while the bot was down."""
    shop, remote = host.repository(REPOSITORY), hub.remote(REPOSITORY)
    first = shop.commit({"deploy.sh": SCRIPT, "version": "1"})
    remote.push(first)
    bot.start()
    bot.deliver(_webhook(first, remote.pushed_at)).raise_for_status()
    _ended(bot, first)
    bot.stop()

    second = shop.commit({"version": "2"})
    remote.push(second)
    bot.start()
    row = _ended(bot, second)

    assert ("success", "reconciled") == (row["state"], row["origin"])
    assert second == (bot.home / "services" / "shop" / "live").read_text().strip()
    assert b"building 2\n" in bot.log(row["id"])
    assert ["Build", "Restart"] == [step["name"] for step in row["steps"]]
    wait_for(lambda: not any(report["owed"] for report in bot.deployment(row["id"])["reports"]))
    assert "success" == hub.told(second)[-1].state
    [deployment] = [each for each in hub.deployments if each.sha == second]
    assert ("success", "production") == (deployment.state, deployment.environment)
    [check] = [each for each in hub.check_runs if each["head_sha"] == second]
    assert ("completed", "success") == (check["status"], check["conclusion"])
    assert all(token not in bot.output() for token in hub.tokens)


def _webhook(after: str, pushed_at: int) -> bytes:
    return push_document(
        repository=REPOSITORY, repository_id=fakehub.MOVED, before="0" * 40, after=after, pushed_at=pushed_at
    )


def _ended(bot: Bot, sha: str) -> Json:
    """The deployment of a commit, once it has ended."""

    def found() -> Json | None:
        rows: list[Json] = bot.get(f"/deployments?sha={sha}")["items"]
        return next((row for row in rows if row["finished"]), None)

    return bot.deployment(wait_for(found)["id"])
