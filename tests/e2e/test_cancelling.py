"""Cancelling: a deployment ends, and with it everything that its script had started."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import closing

import pytest

from bots import Bot, processes_naming, wait_for

NUMBERS = itertools.count(1)

HELD = "#!/bin/sh\nuntil [ -e go ]; do sleep 0.02; done\n"
"""Ends once the file `go` stands in the service's folder."""


@pytest.fixture(scope="module")
def bot(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bot]:
    """A bot that gives scripts one second between SIGTERM and SIGKILL."""
    with closing(Bot(tmp_path_factory.mktemp("bot"), FASTDEPLOY_KILL_GRACE="1s")) as patient:
        yield patient.start()


@pytest.fixture
def name() -> str:
    """A service's name of the test's own."""
    return f"cancel{next(NUMBERS)}"


def begin(bot: Bot, name: str, script: str) -> int:
    """Start a deployment whose script says `ready` once there is something to cancel; answers its number."""
    bot.service(name, script)
    number = bot.deploy(name)
    wait_for(lambda: b"ready\n" in bot.log(number))
    return number


def cancel(bot: Bot, number: int, expect: int = 202) -> None:
    """Ask the bot to cancel a deployment."""
    bot.post(f"/deployments/{number}/cancel", expect=expect)


def test_a_queued_deployment_is_cancelled_before_it_begins(bot: Bot, name: str) -> None:
    """It ends at once, runs nothing, and the one that runs goes on."""
    folder = bot.service(name, HELD + "echo $FASTDEPLOY_DEPLOYMENT >> ran\n")
    running, queued = bot.deploy(name), bot.deploy(name)
    bot.wait_state(running, "running")

    cancel(bot, queued)
    ended = bot.wait_end(queued)
    (folder / "go").touch()

    assert ("cancelled", None) == (ended["state"], ended["started"])
    assert "admin" in ended["reason"]
    assert "success" == bot.wait_end(running)["state"]
    assert f"{running}\n" == (folder / "ran").read_text()


def test_a_running_deployment_is_cancelled_by_whom_the_row_says(bot: Bot, name: str) -> None:
    """The script gets SIGTERM, and row and log name the person."""
    number = begin(bot, name, "#!/bin/sh\necho ready\nexec sleep 1000\n")

    cancel(bot, number)
    ended = bot.wait_end(number, seconds=5)

    assert ("cancelled", "cancelled by admin") == (ended["state"], ended["reason"])
    assert b"cancelled by admin" in bot.log(number)


def test_a_script_may_tidy_up_and_its_exit_status_does_not_matter(bot: Bot, name: str) -> None:
    """What ends after the cancel signal is cancelled, though it says success; its last words are kept."""
    number = begin(bot, name, "#!/bin/sh\ntrap 'echo tidied; exit 0' TERM\necho ready\nwhile :; do sleep 0.05; done\n")

    cancel(bot, number)
    ended = bot.wait_end(number)

    assert "cancelled" == ended["state"]
    assert b"tidied\n" in bot.log(number)


def test_a_script_that_ignores_sigterm_is_killed_after_the_grace(bot: Bot, name: str) -> None:
    """Nobody can refuse to end."""
    number = begin(bot, name, "#!/bin/sh\ntrap '' TERM\necho ready\nwhile :; do sleep 0.05; done\n")

    cancel(bot, number)
    ended = bot.wait_end(number)

    assert ("cancelled", 9) == (ended["state"], ended["signal"])


def test_grandchildren_in_sessions_of_their_own_end_too(bot: Bot, name: str) -> None:
    """Neither setsid, nor an orphan, nor an empty environment hides a process from the end."""
    mark = f"1000.{bot.port}{next(NUMBERS)}"
    number = begin(
        bot,
        name,
        f"""#!/bin/sh
setsid sleep {mark} &
sh -c 'setsid sh -c "trap : TERM; while :; do sleep {mark}; done" &'
env -i /usr/bin/setsid /bin/sleep {mark} &
sleep 0.2
echo ready
sleep {mark}
""",
    )
    assert 4 <= len(processes_naming(mark))

    cancel(bot, number)
    ended = bot.wait_end(number)

    assert "cancelled" == ended["state"]
    assert [] == processes_naming(mark)


def test_a_timeout_ends_the_whole_tree_as_well(bot: Bot, name: str) -> None:
    """The limit is for everything that the script has started."""
    mark = f"1000.{bot.port}{next(NUMBERS)}"
    bot.service(name, f"#!/bin/sh\nsetsid sleep {mark} &\nsleep {mark}\n", timeout="1s")

    ended = bot.run_service(name)

    assert "failure" == ended["state"]
    assert [] == processes_naming(mark)


def test_cancelling_after_the_end_is_a_conflict(bot: Bot, name: str) -> None:
    """Final is final."""
    bot.service(name, "#!/bin/sh\n")
    number = bot.run_service(name)["id"]

    cancel(bot, number, expect=409)

    assert "success" == bot.deployment(number)["state"]


def test_cancelling_twice_is_one_cancel(bot: Bot, name: str) -> None:
    """A second click while the script ends is no error."""
    number = begin(bot, name, "#!/bin/sh\ntrap '' TERM\necho ready\nwhile :; do sleep 0.05; done\n")

    cancel(bot, number)
    cancel(bot, number)

    assert "cancelled" == bot.wait_end(number)["state"]


def test_the_next_deployment_begins_after_a_cancelled_one(bot: Bot, name: str) -> None:
    """A cancelled run gives its place back, and nothing of it is alive when the next begins."""
    number = begin(bot, name, "#!/bin/sh\necho ready\n[ -e second ] || { touch second; sleep 1000; }\n")
    following = bot.deploy(name)

    cancel(bot, number)

    assert ["cancelled", "success"] == [row["state"] for row in bot.wait_idle(name)]
    assert following == bot.deployments(name)[-1]["id"]


def test_a_cancelled_deployment_can_be_tried_again(bot: Bot, name: str) -> None:
    """Retry deploys the same commit, and names the one it repeats."""
    number = begin(bot, name, "#!/bin/sh\necho ready\n[ -e second ] || { touch second; sleep 1000; }\n")
    cancel(bot, number)
    first = bot.wait_end(number)

    again = bot.post(f"/deployments/{number}/retry", expect=201)
    ended = bot.wait_end(again["id"])

    assert ("success", "retry", number) == (ended["state"], ended["origin"], ended["parent"])
    assert first["sha"] == ended["sha"]
