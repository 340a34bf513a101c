"""Missed pushes: real ones, of which the bot heard nothing, are found and deployed at exactly their commits."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import fakehub
from bots import Bot, BotMaker, Json, wait_for
from fakehub import FakeHub, Hook
from gitforge import Forge, started

NUMBERS = itertools.count(1)
NAME = "shop"


@pytest.fixture(params=["1", "3"], ids=["one", "three"])
def asking_bot(request: pytest.FixtureRequest, make_bot: BotMaker, hub: FakeHub) -> Bot:
    """A bot of one process or three, with a token for that GitHub, not started."""
    return make_bot(
        FASTDEPLOY_GITHUB_API_URL=hub.url,
        FASTDEPLOY_GITHUB_TOKEN=fakehub.TOKEN,
        FASTDEPLOY_WEB_PROCESSES=request.param,
    )


def forge_of(bot: Bot, folder: Path) -> Forge:
    """A repository of the test's own, with the service shop."""
    forge = Forge(folder, bot, f"octo-org/missed{next(NUMBERS)}")
    forge.commit(page_html="one")
    forge.service(NAME)
    return forge


def push_unheard(forge: Forge, hub: FakeHub, text: str) -> str:
    """Push for real where nobody hears it, and answer the commit."""
    commit = forge.commit(page_html=text)
    forge.git("push", "--quiet", "origin", "main")
    show(forge, hub)
    return commit


def show(forge: Forge, hub: FakeHub) -> None:
    """Let GitHub's interface show the repository as it is now."""
    remote = hub.remote(forge.repository)
    lines = forge.git("ls-remote", "--heads", "origin").splitlines()
    remote.refs = {ref: commit for commit, ref in (line.split() for line in lines)}
    remote.messages = {commit: forge.git("show", "-s", "--format=%B", commit) for commit in remote.refs.values()}
    remote.id, remote.pushed_at, remote.empty = forge.number, int(time.time()), False


def live(forge: Forge) -> tuple[str, list[str]]:
    """What the deployed file holds, and the commits that were deployed, oldest first."""
    folder = forge.bot.home / "services" / NAME
    return (folder / "live" / "page.html").read_text(), (folder / "order").read_text().split()


def second(bot: Bot) -> Callable[[], Json | None]:
    """The service's second deployment, once there is one."""

    def find() -> Json | None:
        rows = bot.deployments(NAME)
        return rows[1] if len(rows) > 1 else None

    return find


def test_a_push_while_the_bot_is_down_is_recovered_at_its_start(asking_bot: Bot, hub: FakeHub, tmp_path: Path) -> None:
    """Deployed at exactly that commit, told to GitHub, and its webhook is a duplicate when it comes after all."""
    forge = forge_of(asking_bot.start(), tmp_path)
    asking_bot.wait_end(started(forge.push("main"), NAME))
    first = forge.head()
    show(forge, hub)
    asking_bot.stop()
    push_unheard(forge, hub, "two")
    commit = push_unheard(forge, hub, "three")

    asking_bot.start()
    found = asking_bot.wait_end(wait_for(second(asking_bot))["id"])

    assert ("success", "reconciled", commit) == (found["state"], found["origin"], found["sha"])
    assert ("three", [first, commit]) == live(forge)
    [kept] = [each for each in asking_bot.get("/deliveries")["items"] if each["reconciled"]]
    assert (first, commit, "deploy") == (kept["before"], kept["after"], kept["verdicts"][0]["verdict"])
    wait_for(
        lambda: [told.state for told in hub.told(commit, f"fastdeploy/{NAME}", forge.repository)][-1:] == ["success"]
    )
    late = asking_bot.deliver(forge.deliveries()[-1]["body"].encode()).json()
    assert (True, 2) == (late["duplicate"], len(asking_bot.deployments(NAME)))


def test_a_delivery_that_failed_is_repeated_at_the_start(asking_bot: Bot, hub: FakeHub, tmp_path: Path) -> None:
    """And decided as what it is, with who pushed."""
    forge = forge_of(asking_bot.start(), tmp_path)
    hook = Hook(f"{asking_bot.url}/webhooks/github", asking_bot.secret, repository_id=forge.number)
    hub.hooks[forge.repository] = [hook]
    asking_bot.wait_end(started(forge.push("main"), NAME))
    show(forge, hub)
    asking_bot.stop()
    commit = push_unheard(forge, hub, "two")
    lost = forge.deliveries()[-1]
    hook.lose(lost["body"].encode(), guid=lost["guid"])

    asking_bot.start()
    found = asking_bot.wait_end(wait_for(second(asking_bot))["id"])

    assert ("success", "push", commit, "mona") == (found["state"], found["origin"], found["sha"], found["actor"])
    assert [502, 202] == [each.status for each in hook.attempts if each.guid == lost["guid"]]
    assert "two" == live(forge)[0]


def test_a_bot_that_polls_needs_no_webhook(make_bot: BotMaker, hub: FakeHub, tmp_path: Path) -> None:
    """What was there at first is not deployed, what is pushed later is, soon."""
    bot = make_bot(FASTDEPLOY_GITHUB_API_URL=hub.url, FASTDEPLOY_GITHUB_TOKEN=fakehub.TOKEN, FASTDEPLOY_POLL="10s")
    forge = forge_of(bot, tmp_path)
    (forge.bare / "hooks" / "post-receive").unlink()
    first = push_unheard(forge, hub, "one and a half")
    bot.start()
    wait_for(lambda: [each for each in bot.get("/deliveries")["items"] if each["after"] == first])
    assert [] == bot.deployments(NAME)

    commit = push_unheard(forge, hub, "two")
    begun = time.monotonic()
    [found] = wait_for(lambda: bot.deployments(NAME) or None)
    took = time.monotonic() - begun

    assert ("reconciled", commit) == (found["origin"], found["sha"])
    assert "success" == bot.wait_end(found["id"])["state"]
    assert took < 13
