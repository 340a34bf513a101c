"""The log by steps: each line in the step that printed it, whichever way the script told its steps."""

from __future__ import annotations

import itertools
import sys
from bisect import bisect_right
from contextlib import closing

import msgspec
import pytest

from bots import Bot, wait_for
from databases import SQLITE, Raw
from fastdeploy_bot.core.output import logparts
from fastdeploy_bot.core.output.logparts import Span
from fastdeploy_bot.core.output.logs import Mark

NUMBERS = itertools.count(1)

COMMAND = """#!/bin/sh
echo before
fastdeploy step Build -- echo building
echo after
fastdeploy step Migrate -- sh -c 'echo one; fastdeploy step Inner -- echo two; echo three'
fastdeploy step Restart -- echo restarting
echo end
"""
FILE = """#!/bin/sh
folder=${FASTDEPLOY_STEPS_FILE%/steps}
seen() {
    until grep -qs "$1" "$folder/$2"; do sleep 0.01; done
}
tell() {
    echo "{\\"name\\": \\"$1\\", \\"state\\": \\"$2\\"}" >> "$FASTDEPLOY_STEPS_FILE"
    seen "\\"$1\\", \\"state\\": \\"$2\\"" steps.log
}
echo before; seen before log.0
tell Build running; echo building; tell Build success
echo after; seen after log.0
tell Migrate running; echo one; seen one log.0
tell Inner running; echo two; tell Inner success
echo three; seen three log.0; tell Migrate success
tell Restart running; echo restarting; tell Restart success
echo end
"""
"""Waits until the child has seen what it told and printed: a child that is kept waiting could not tell them apart."""
HTTP = f"""#!{sys.executable}
import fcntl, json, os, termios, time, urllib.request

def now():
    return time.time_ns() // 1_000_000

def tell(name, state):
    while int.from_bytes(fcntl.ioctl(1, termios.FIONREAD, bytes(4)), "little"):
        time.sleep(0.001)  # until all that was printed has been read
    request = urllib.request.Request(
        os.environ["FASTDEPLOY_STEPS_URL"],
        data=json.dumps({{"name": name, "state": state}}).encode(),
        headers={{"Authorization": "Bearer " + os.environ["FASTDEPLOY_TOKEN"], "Content-Type": "application/json"}},
    )
    urllib.request.urlopen(request, timeout=30).read()
    answered = now()
    while now() == answered:
        pass  # times are told in milliseconds

def say(text):
    print(text, flush=True)

say("before")
tell("Build", "running"); say("building"); tell("Build", "success")
say("after")
tell("Migrate", "running"); say("one")
tell("Inner", "running"); say("two"); tell("Inner", "success")
say("three"); tell("Migrate", "success")
tell("Restart", "running"); say("restarting"); tell("Restart", "success")
say("end")
"""
OF_ALL = [
    (None, "before\n"),
    ("Build", "building\n"),
    (None, "after\n"),
    ("Migrate", "one\n"),
    ("Inner", "two\n"),
    ("Migrate", "three\n"),
    ("Restart", "restarting\n"),
    (None, "end\n"),
]


@pytest.fixture
def name() -> str:
    """A service's name of the test's own."""
    return f"parts{next(NUMBERS)}"


def parts(bot: Bot, number: int) -> list[tuple[str | None, str]]:
    """What each step printed, by the bot's rows."""
    log = bot.log(number)
    found = logparts.parts(spans(bot, number), marks(bot, number), len(log))
    return [(part.name, log[part.start : part.end].decode()) for part in found]


def spans(bot: Bot, number: int) -> list[Span]:
    """What the rows know of the steps."""
    columns = "name, started, finished, log_from, log_to"
    sql = f"SELECT {columns} FROM step WHERE deployment_id = ? ORDER BY position"  # noqa: S608 - ours
    return [Span(*row) for row in rows(bot, sql, number)]


def marks(bot: Bot, number: int) -> list[Mark]:
    """What the rows know of the times."""
    sql = 'SELECT times FROM log_chunk WHERE deployment_id = ? ORDER BY "offset"'
    return [mark for (times,) in rows(bot, sql, number) for mark in msgspec.json.decode(times, type=list[Mark])]


def rows(bot: Bot, sql: str, number: int) -> list[tuple]:  # type: ignore[type-arg] # of whatever was asked for
    """A look into the bot's database."""
    with closing(Raw(f"{SQLITE}{bot.home}/fastdeploy.db")) as raw:
        return raw.execute(sql, number)


@pytest.mark.parametrize("script", [COMMAND, FILE, HTTP], ids=["command", "file", "http"])
def test_each_line_is_in_the_step_that_printed_it(bot: Bot, name: str, script: str) -> None:
    """Though a step takes milliseconds; outside of steps where there was none; in the inner one of two."""
    bot.service(name, script)

    ended = bot.run_service(name)

    assert "success" == ended["state"], bot.log(ended["id"])
    assert OF_ALL == parts(bot, ended["id"])


def test_lines_of_a_script_that_prints_its_steps_are_in_the_step_that_they_led_to(bot: Bot, name: str) -> None:
    """As scripts for ephes/fastdeploy do, which tell a step when it is over."""
    one, two = (f'{{"name": "{each}", "state": "success"}}' for each in ("one", "two"))
    bot.service(name, f"#!/bin/sh\necho a\necho '{one}'\necho b\necho '{two}'\necho c\n", step_source="stdout")

    ended = bot.run_service(name)

    assert [("one", f"a\n{one}\n"), ("two", f"b\n{two}\n"), (None, "c\n")] == parts(bot, ended["id"])


def test_what_was_printed_while_the_bot_was_dead_has_its_time_and_its_step(own_bot: Bot) -> None:
    """The child noted both; nothing is told twice, and nothing is missing."""
    lines = "for each in $(seq 20); do date +%s%3N; sleep 0.02; done"
    folder = own_bot.service(
        "shop", f"#!/bin/sh\n{lines}\nfastdeploy step Alone -- sh -c '{lines}; echo alone >&3' 3> alone\n{lines}\n"
    )
    number = own_bot.start().deploy("shop")
    wait_for(lambda: own_bot.log(number))

    own_bot.kill()
    wait_for(lambda: (folder / "alone").exists() and (folder / "alone").read_text())
    own_bot.start()
    assert "success" == own_bot.wait_end(number)["state"]

    before, alone, after = (text.splitlines() for _, text in parts(own_bot, number))
    assert [None, "Alone", None] == [step for step, _ in parts(own_bot, number)]
    assert [20, 20, 20] == [len(before), len(alone), len(after)]
    told = marks(own_bot, number)
    size = len(before[0]) + 1
    for line, printed in enumerate([*before, *alone, *after]):
        _, at = told[bisect_right(told, line * size, key=lambda mark: mark[0]) - 1]
        assert int(printed) <= at
