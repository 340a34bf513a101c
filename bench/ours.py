"""The bot as the lines measure it: its own home, as `fastdeploy init` and `fastdeploy serve` make and start it.

For each push it verifies the signature, decodes it, decides it for every service, and keeps delivery, verdicts,
deployment, event and report in one transaction that is on disk before the answer; a push that came before it knows.
Deployments run meanwhile, each `true` in a folder of its own with its output and outcome kept, as many at once as by
default; but a newer push takes the place of one that has not begun, and where they come as fast as they are answered,
that is what becomes of nearly all. How many have begun is told with the figures.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from bench import serving
from bench.crowd import Crowd
from bench.sender import Sender
from bots import Bot

PATH: Final = "/webhooks/github"


@contextmanager
def started(folder: Path, *, services: int = 10, script: str = "#!/bin/sh\n", **environment: str) -> Iterator[Bot]:
    """A bot with services `s0`, `s1`, … of the repositories that the sender pushes to; it is up."""
    with closing(Bot(folder, **environment)) as bot:
        for number in range(services):
            bot.service(f"s{number}", script, repository=f"octo-org/s{number}")
        yield bot.start()


def sender(bot: Bot, *, repositories: int = 10) -> Sender:
    """Who pushes to it."""
    return Sender(bot.port, PATH, bot.secret, repositories=repositories)


def followers(bot: Bot, count: int) -> Crowd:
    """So many clients that follow its feed, with the admin's token."""
    return Crowd(bot.port, "/feed", count, {"Authorization": f"Bearer {bot.token()}"})


def pids(bot: Bot) -> list[int]:
    """The server's processes: the master and its workers, without children and scripts."""
    assert bot.server is not None  # noqa: S101 - it was started
    return [bot.server.pid, *bot.workers()]


def kept(bot: Bot) -> int:
    """How many deliveries it has in its database."""
    return asked(bot, "SELECT count(*) FROM delivery")


def begun(bot: Bot) -> int:
    """How many deployments have begun."""
    return asked(bot, "SELECT count(*) FROM deployment WHERE started IS NOT NULL")


def asked(bot: Bot, question: str) -> int:
    """The number that its database answers with."""
    return serving.asked(bot.home / "fastdeploy.db", question)
