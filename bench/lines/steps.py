"""Line 5: how many step reports are taken in a second by HTTP while 10 clients follow the feed, beside the seed's 17.

Four scripts run and report on four connections each, which stay open: in turn that a step runs and that it has ended.
For each report the bot looks at the script's token, masks what was said, and keeps step and event in one transaction
that is on disk before the answer; each of the ten clients gets each event. In the end all reports have to be in the
database, and every client has to have come to the last one.

The seed system is the one that this one took the place of; it took 10 to 25 reports a second, 17 as a rule. That is a
constant here: it cannot be run beside this one.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, NamedTuple

from bench import ours, serving
from bench.sender import Sender
from bench.table import Figures, Line, Row, Run, Side, at_least
from bots import Bot, wait_for

SCRIPTS: Final = 4
CONNECTIONS: Final = 16
CLIENTS: Final = 10
STEPS: Final = 50
"""How many steps each script has; then it begins with the first one anew."""
SEED: Final = 17.0
SCRIPT: Final = """#!/bin/sh
echo "$FASTDEPLOY_DEPLOYMENT $FASTDEPLOY_TOKEN" > token.new
mv token.new token
until [ -e end ]; do sleep 0.5; done
"""


class Reporting(NamedTuple):
    """A script that runs."""

    deployment: int
    token: str


class Reporter(Sender):
    """Reports of some scripts in turn."""

    def __init__(self, port: int, scripts: Sequence[Reporting]) -> None:
        self.port = port
        self._scripts = scripts
        self.sent = 0

    def request(self) -> bytes:
        """The next report; its message is its number."""
        turn, number = divmod(self.sent, len(self._scripts))
        self.sent += 1
        name, state = f"Step {turn // 2 % STEPS}", ("running", "success")[turn % 2]
        body = json.dumps({"name": name, "state": state, "message": f"{self.sent}"})
        head = (
            f"POST /api/v1/deployments/{self._scripts[number].deployment}/steps HTTP/1.1",
            "Host: 127.0.0.1",
            "Content-Type: application/json",
            f"Authorization: Bearer {self._scripts[number].token}",
            f"Content-Length: {len(body)}",
        )
        return "\r\n".join([*head, "", body]).encode()


def of_bot(run: Run) -> Figures:
    """The bot's."""
    with ours.started(run.folder, services=SCRIPTS, script=SCRIPT) as bot:
        scripts = [begun(bot, f"s{number}") for number in range(SCRIPTS)]
        reporter = Reporter(bot.port, scripts)
        already = events(bot)
        reporter.send(seconds=run.seconds / 5)
        with ours.followers(bot, CLIENTS) as crowd, ThreadPoolExecutor(1) as beside:
            before = serving.worked(ours.pids(bot))
            heard = beside.submit(crowd.hear, b'"message":"the end","deployment":1}}')
            sent = reporter.send(seconds=run.seconds, connections=CONNECTIONS)
            cost = (serving.worked(ours.pids(bot)) - before) / len(sent.took)
            bot.post(
                "/deployments/1/steps",
                {"name": "Step 0", "state": "running", "message": "the end"},
                token=scripts[0].token,
            )
            heard.result()
        if (kept := events(bot) - already - 1) != reporter.sent:
            raise AssertionError(f"{reporter.sent} reports were answered, {kept} are kept")
    return {"reports/s": sent.per_second, "ms p99": sent.percentile(99), "server's µs/report": cost * 1e6}


def of_seed(_run: Run) -> Figures:
    """The seed system's."""
    return {"reports/s": SEED}


def begun(bot: Bot, service: str) -> Reporting:
    """A script of that service."""
    bot.deploy(service)
    token = bot.home / "services" / service / "token"
    wait_for(token.exists)
    number, text = token.read_text().split()
    return Reporting(int(number), text)


def events(bot: Bot) -> int:
    """How many events there were so far; the oldest are not kept."""
    return ours.asked(bot, "SELECT max(id) FROM event")


BOT: Final = Side("fastdeploy_bot, 4 scripts, 10 clients", of_bot)
SEEDED: Final = Side("the seed system, as stated", of_seed)
LINE: Final = Line(
    number=5,
    rows=(
        Row(
            "step reports by HTTP, 10 feed clients attached",
            "reports/s",
            BOT,
            SEEDED,
            must=at_least(50),
            goal=at_least(100),
        ),
    ),
)
