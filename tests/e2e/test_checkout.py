"""Checkouts by a real bot: from a forge that wants a token, with kills, cancels and newer pushes in the middle."""

from __future__ import annotations

import base64
import itertools
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from bots import Bot, BotMaker, processes_naming, wait_for
from fastdeploy_bot.forge.github.payloads import push_document
from githttp import GitHost, Repository, serving

REPOSITORY: Final = "octo-org/shop"
TOKEN: Final = "ghp_" + "Qw8" * 12
SCRIPT: Final = """#!/bin/sh
echo "$FASTDEPLOY_BRANCH"
git rev-parse HEAD >> "$FASTDEPLOY_SERVICE_DIR/order"
cat version
"""
_moments: Final = itertools.count(1_700_000_000)


@pytest.fixture
def host(tmp_path: Path) -> Iterator[GitHost]:
    """A forge that wants to see a token."""
    with serving(tmp_path / "git") as made:
        made.tokens = {TOKEN}
        yield made


@pytest.fixture
def shop(host: GitHost) -> Repository:
    """A repository with one commit."""
    made = host.repository(REPOSITORY)
    made.commit({"version": "1\n"})
    return made


@pytest.fixture
def bot(make_bot: BotMaker, host: GitHost) -> Bot:
    """A running bot with that token, which tells a GitHub that is away."""
    made = make_bot(
        FASTDEPLOY_GITHUB_URL=host.url, FASTDEPLOY_GITHUB_TOKEN=TOKEN, FASTDEPLOY_GITHUB_API_URL="http://127.0.0.1:9"
    )
    made.service("shop", SCRIPT, repository=REPOSITORY, branches=["**"], checkout=True)
    return made.start()


def push(bot: Bot, shop: Repository, *, branch: str = "main", before: str = "0" * 40) -> int:
    """Tell the bot of a push of the clone's commit; answers the deployment."""
    body = push_document(
        repository=REPOSITORY,
        repository_id=1,
        ref=f"refs/heads/{branch}",
        before=before,
        after=shop.head,
        pushed_at=next(_moments),
    )
    answer = bot.deliver(body)
    assert 202 == answer.status_code, answer.text
    [verdict] = answer.json()["verdicts"]
    number: int = verdict["deployment"]
    return number


def fetching(bot: Bot, host: GitHost, number: int) -> None:
    """Wait until the deployment's commit is being fetched."""
    assert host.waiting.acquire(timeout=30)
    assert "fetches octo-org/shop" == bot.deployment(number)["reason"]


def gits(bot: Bot) -> list[int]:
    """The git processes that work in the bot's mirrors."""
    return [pid for pid in processes_naming("GIT_CONFIG_COUNT") if _works_in(pid, bot.home)]


def order(bot: Bot) -> list[str]:
    """The commits whose scripts ran, in their order."""
    path = bot.home / "services" / "shop" / "order"
    return path.read_text().split() if path.exists() else []


def test_hostile_names_of_branches_are_only_shown(bot: Bot, shop: Repository, tmp_path: Path) -> None:
    """Nothing runs of them, and git takes none for an option."""
    trap = tmp_path / "trap"
    for name in (f"$(touch${{IFS}}{trap})", f"`touch${{IFS}}{trap}`", f";touch${{IFS}}{trap};", "--upload-pack=false"):
        shop.git("push", "--quiet", "origin", f"HEAD:refs/heads/{name}")
        number = push(bot, shop, branch=name)
        assert "success" == bot.wait_end(number)["state"]
        assert f"{name}\n1\n".encode() == bot.log(number)

    assert not trap.exists()


def test_the_token_is_in_no_argument_file_or_log(bot: Bot, shop: Repository, host: GitHost) -> None:
    """While git fetches, and afterwards."""
    host.open.clear()
    number = push(bot, shop)
    fetching(bot, host, number)
    shown = base64.b64encode(f"x-access-token:{TOKEN}".encode()).decode()

    arguments = [_content(Path(f"/proc/{name}/cmdline")) for name in os.listdir("/proc") if name.isdigit()]
    assert gits(bot)
    assert any(b"remote-http" in each and host.url.encode() in each for each in arguments)
    for secret in (TOKEN, shown):
        assert not [each for each in arguments if secret.encode() in each]
        assert b"" == _files_with(secret, bot.home)
    host.open.set()

    assert "success" == bot.wait_end(number)["state"]
    for secret in (TOKEN, shown):
        assert b"" == _files_with(secret, bot.home)
        assert secret not in bot.output()
        assert secret not in str(bot.deployment(number))


def test_a_cancel_ends_the_fetch(bot: Bot, shop: Repository, host: GitHost) -> None:
    """At once, and the next deployment fetches anew."""
    host.open.clear()
    number = push(bot, shop)
    fetching(bot, host, number)

    bot.post(f"/deployments/{number}/cancel", expect=202)

    assert "cancelled" == bot.wait_end(number)["state"]
    wait_for(lambda: not gits(bot))
    host.open.set()
    assert "success" == bot.run_service("shop", sha=shop.head)["state"]
    assert [shop.head] == order(bot)


def test_a_newer_push_takes_over_while_the_older_one_is_fetched(bot: Bot, shop: Repository, host: GitHost) -> None:
    """The older commit is never run."""
    host.open.clear()
    first = push(bot, shop)
    fetching(bot, host, first)
    before = shop.head
    shop.commit({"version": "2\n"})

    second = push(bot, shop, before=before)
    host.open.set()

    assert ("superseded", "success") == (bot.wait_end(first)["state"], bot.wait_end(second)["state"])
    assert [shop.head] == order(bot)


def test_a_bot_that_is_killed_while_it_fetches_goes_on_after_a_start(bot: Bot, shop: Repository, host: GitHost) -> None:
    """Whether or not its git outlives it."""
    host.open.clear()
    number = push(bot, shop)
    fetching(bot, host, number)

    bot.kill()
    host.open.set()
    bot.start()

    assert "success" == bot.wait_end(number)["state"]
    assert [shop.head] == order(bot)


def test_a_bot_that_is_stopped_while_it_fetches_takes_its_git_along(bot: Bot, shop: Repository, host: GitHost) -> None:
    """And the next one goes on."""
    host.open.clear()
    number = push(bot, shop)
    fetching(bot, host, number)

    assert 0 == bot.stop()
    wait_for(lambda: not gits(bot))
    host.open.set()
    bot.start()

    assert "success" == bot.wait_end(number)["state"]


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _files_with(secret: str, folder: Path) -> bytes:
    return subprocess.run(["grep", "-r", "-l", secret, str(folder)], capture_output=True, check=False).stdout


def _works_in(pid: int, folder: Path) -> bool:
    try:
        return Path(f"/proc/{pid}/cwd").readlink().is_relative_to(folder)
    except OSError:
        return False
