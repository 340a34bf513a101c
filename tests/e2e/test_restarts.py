"""Restarts and kills: the bot comes and goes, scripts go on, and their true outcome is told in the end."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import requests

from bots import Bot, children_of, is_alive, processes_naming, spares, states, wait_for

SCRIPT = """#!/bin/sh
echo $$ $PPID > pids
echo $FASTDEPLOY_DEPLOYMENT >> ran
echo one
echo '{"name": "First", "state": "success"}' >> "$FASTDEPLOY_STEPS_FILE"
until [ -e go ]; do sleep 0.02; done
echo two
fastdeploy step "Second" -- echo three
touch over
exit $(cat go)
"""
"""Waits in its middle for the file `go`, which holds its exit status, and says `over` at its end."""


def stop(bot: Bot) -> None:
    """End the server as systemd does."""
    bot.stop()


def crash(bot: Bot) -> None:
    """End the server as the kernel does when memory is short: every process of it, without a word."""
    bot.kill()


def serves(bot: Bot) -> bool:
    """Whether some server answers at the bot's address."""
    try:
        return bot.http("GET", "/readyz", token="").status_code == 200
    except requests.ConnectionError:
        return False


@pytest.fixture
def shop(own_bot: Bot) -> Path:
    """The folder of the service `shop` of a running bot."""
    folder = own_bot.service("shop", SCRIPT)
    own_bot.start()
    return folder


def begin(bot: Bot) -> int:
    """Start a deployment of `shop` and wait until its script has said something."""
    number = bot.deploy("shop")
    wait_for(lambda: bot.log(number) == b"one\n")
    return number


def let_go(folder: Path, status: int) -> None:
    """Let the script of `shop` go on, to end with this status."""
    (folder / "go.new").write_text(str(status))
    (folder / "go.new").rename(folder / "go")


@pytest.mark.parametrize("end", [stop, crash])
@pytest.mark.parametrize(("status", "outcome"), [(0, "success"), (7, "failure")])
def test_a_script_that_ends_while_the_bot_is_away_keeps_its_outcome(
    own_bot: Bot, shop: Path, end: Callable[[Bot], None], status: int, outcome: str
) -> None:
    """Exit status, every byte of output and every step are there after the next start."""
    number = begin(own_bot)

    end(own_bot)
    let_go(shop, status)
    wait_for((shop / "over").exists)
    own_bot.start()
    ended = own_bot.wait_end(number)

    assert (outcome, status) == (ended["state"], ended["exit_status"])
    assert b"one\ntwo\nthree\n" == own_bot.log(number)
    assert [("First", "success"), ("Second", "success")] == states(ended["steps"])
    assert f"{number}\n" == (shop / "ran").read_text()


@pytest.mark.parametrize("end", [stop, crash])
def test_a_script_that_outlives_a_restart_is_followed_to_its_end(
    own_bot: Bot, shop: Path, end: Callable[[Bot], None]
) -> None:
    """The new server takes the run over where the old one left it; the script's token goes on working."""
    number = begin(own_bot)

    end(own_bot)
    own_bot.start()
    taken_over = own_bot.deployment(number)["state"]
    let_go(shop, 0)
    ended = own_bot.wait_end(number)

    assert ("running", "success") == (taken_over, ended["state"])
    assert b"one\ntwo\nthree\n" == own_bot.log(number)
    assert [("First", "success"), ("Second", "success")] == states(ended["steps"])


def test_sigterm_ends_the_server_within_five_seconds_though_a_script_runs(own_bot: Bot, shop: Path) -> None:
    """Nobody waits for a deployment in order to restart the bot."""
    begin(own_bot)
    script, _ = (int(pid) for pid in (shop / "pids").read_text().split())
    asked = time.monotonic()

    status = own_bot.stop(seconds=20)
    took = time.monotonic() - asked

    assert 0 == status
    assert took < 5
    assert is_alive(script)
    let_go(shop, 0)
    wait_for((shop / "over").exists)


def test_a_killed_worker_is_replaced_and_its_run_taken_over(own_bot: Bot, shop: Path) -> None:
    """The server itself stays up; the script notices nothing."""
    number = begin(own_bot)
    [worker] = own_bot.workers()

    os.kill(worker, signal.SIGKILL)
    wait_for(lambda: [pid for pid in own_bot.workers() if pid != worker])
    let_go(shop, 0)
    wait_for((shop / "over").exists)
    wait_for(lambda: own_bot.http("GET", "/readyz", token="").status_code == 200)
    ended = own_bot.wait_end(number)

    assert "success" == ended["state"]
    assert b"one\ntwo\nthree\n" == own_bot.log(number)


@pytest.mark.parametrize("end", [stop, crash])
def test_what_was_queued_runs_after_the_restart_in_order(own_bot: Bot, shop: Path, end: Callable[[Bot], None]) -> None:
    """Nothing that was accepted is forgotten, and nothing runs twice."""
    numbers = [begin(own_bot), own_bot.deploy("shop"), own_bot.deploy("shop")]

    end(own_bot)
    let_go(shop, 0)
    own_bot.start()

    assert ["success"] * 3 == [row["state"] for row in own_bot.wait_idle("shop")]
    assert numbers == [int(number) for number in (shop / "ran").read_text().split()]


def test_a_cancel_asked_for_just_before_the_end_of_the_bot_is_not_forgotten(own_bot: Bot, shop: Path) -> None:
    """It is a row, and so the next server knows of it."""
    number = begin(own_bot)
    script, _ = (int(pid) for pid in (shop / "pids").read_text().split())

    own_bot.post(f"/deployments/{number}/cancel", expect=202)
    own_bot.kill()
    own_bot.start()

    assert "cancelled" == own_bot.wait_end(number)["state"]
    assert not is_alive(script)


def test_a_run_whose_watcher_was_killed_is_lost_and_said_so(own_bot: Bot, shop: Path) -> None:
    """Its script ends with it, its outcome is not guessed, it is not run again, and the next one may begin."""
    number = begin(own_bot)
    following = own_bot.deploy("shop")
    script, watcher = (int(pid) for pid in (shop / "pids").read_text().split())

    os.kill(watcher, signal.SIGKILL)
    ended = own_bot.wait_end(number)
    wait_for(lambda: (shop / "ran").read_text() == f"{number}\n{following}\n")
    let_go(shop, 0)

    assert ("lost", None) == (ended["state"], ended["exit_status"])
    assert "cannot be known" in ended["reason"]
    assert not is_alive(script)
    assert "success" == own_bot.wait_end(following)["state"]
    assert f"{number}\n{following}\n" == (shop / "ran").read_text()


def test_waiting_for_a_deployment_that_is_lost_ends_with_four(own_bot: Bot, shop: Path) -> None:
    """A caller can tell "it failed" from "nobody knows"."""
    waiting = own_bot.begin("deploy", "shop", "--sha", "1" * 40, "--wait")
    wait_for(lambda: (shop / "ran").exists() and own_bot.deployments("shop")[0]["state"] == "running")
    _, watcher = (int(pid) for pid in (shop / "pids").read_text().split())

    os.kill(watcher, signal.SIGKILL)
    said, _ = waiting.communicate(timeout=60)

    assert 4 == waiting.returncode, said


def test_a_deployment_that_restarts_the_bot_from_inside_ends_as_success(own_bot: Bot) -> None:
    """Its script ends the server and starts another one, which takes over the run that it was started by."""
    home, port = own_bot.home, own_bot.port
    script = f"""#!/bin/sh
echo $FASTDEPLOY_DEPLOYMENT >> ran
fastdeploy step Before -- echo one
kill -TERM $(cat server)
while kill -0 $(cat server); do sleep 0.02; done 2> /dev/null
setsid fastdeploy --home {home} serve --port {port} < /dev/null > second.log 2>&1 &
until [ -e go ]; do sleep 0.02; done
fastdeploy step After -- echo two
"""
    folder = own_bot.service("shop", script)
    own_bot.start()
    assert own_bot.server is not None
    (folder / "server").write_text(str(own_bot.server.pid))

    number = own_bot.deploy("shop")
    assert 0 == own_bot.server.wait(30)
    wait_for(lambda: serves(own_bot))
    (folder / "go").touch()
    ended = own_bot.wait_end(number)

    assert ("success", f"{number}\n") == (ended["state"], (folder / "ran").read_text())
    assert b"one\ntwo\n" == own_bot.log(number)
    assert [("Before", "success"), ("After", "success")] == states(ended["steps"])
    assert serves(own_bot), "the server is none of the script's own processes"


def test_a_deployment_that_reloads_the_bot_from_inside_ends_as_success(own_bot: Bot) -> None:
    """As one does that has installed a newer version of the bot."""
    script = """#!/bin/sh
echo $FASTDEPLOY_DEPLOYMENT >> ran
fastdeploy step Before -- echo one
kill -HUP $(cat server)
until [ -e go ]; do sleep 0.02; done
fastdeploy step After -- echo two
"""
    folder = own_bot.service("shop", script)
    own_bot.start()
    assert own_bot.server is not None
    (folder / "server").write_text(str(own_bot.server.pid))
    before = own_bot.workers()

    number = own_bot.deploy("shop")
    wait_for(lambda: own_bot.workers() and not set(before) & set(own_bot.workers()))
    (folder / "go").touch()
    ended = own_bot.wait_end(number)

    assert ("success", f"{number}\n") == (ended["state"], (folder / "ran").read_text())
    assert b"one\ntwo\n" == own_bot.log(number)
    assert [("Before", "success"), ("After", "success")] == states(ended["steps"])


def test_after_a_reload_web_and_engine_use_the_same_new_key(own_bot: Bot) -> None:
    """The engine signs a deployment's token, the web verifies it: both with the settings as they are then."""
    report = (
        "import os, urllib.request as u\n"
        'told = u.Request(os.environ[\'FASTDEPLOY_STEPS_URL\'], b\'{"name": "Go", "state": "success"}\')\n'
        "told.add_header('Authorization', 'Bearer ' + os.environ['FASTDEPLOY_TOKEN'])\n"
        "print(u.urlopen(told).status)\n"
    )
    own_bot.service("shop", f"#!{sys.executable}\n{report}")
    own_bot.start()
    before = own_bot.workers()
    settings = own_bot.home / "fastdeploy.toml"
    lines = settings.read_text().splitlines(keepends=True)
    settings.write_text("".join(f'secret_key = "{"n" * 64}"\n' if "secret_key" in each else each for each in lines))

    assert own_bot.server is not None
    own_bot.server.send_signal(signal.SIGHUP)
    wait_for(lambda: own_bot.workers() and not set(before) & set(own_bot.workers()))
    ended = own_bot.run_service("shop")

    assert ("success", b"200\n") == (ended["state"], own_bot.log(ended["id"]))


# --- the child that waits for the next job


def test_nobody_but_the_worker_can_keep_the_waiting_child_alive(own_bot: Bot, shop: Path) -> None:
    """It has no socket and no file of the bot's; and neither scripts nor their children hold the end of its pipe.

    Beside its own it has three pipes, to the process that becomes its script, and nobody else has those.
    """
    begin(own_bot)
    [worker] = own_bot.workers()
    [spare] = wait_for(lambda: spares(own_bot))

    [standby] = wait_for(lambda: children_of(spare))
    wait_for(lambda: open_files(standby)["0"] == os.devnull)

    files = open_files(spare)
    pipe, *further = [files.pop(number) for number in sorted(files, key=int) if number not in "12"]

    assert {"1": os.devnull, "2": os.devnull} == files
    assert all(each.startswith("pipe:") for each in (pipe, *further))
    assert 3 == len(further)
    assert {spare, standby} == {pid for pid in processes_naming("") if {*further} & {*open_files(pid).values()}}
    assert {worker, spare} == {pid for pid in processes_naming("") if pipe in open_files(pid).values()}
    let_go(shop, 0)


def test_the_waiting_child_goes_with_the_bot(own_bot: Bot) -> None:
    """In whatever way that goes, nothing of it stays behind."""
    own_bot.start()
    [worker] = own_bot.workers()
    [first] = wait_for(lambda: spares(own_bot))
    os.kill(worker, signal.SIGKILL)
    wait_for(partial(gone, first))
    [second] = wait_for(lambda: spares(own_bot))

    assert own_bot.server is not None
    own_bot.server.kill()
    wait_for(partial(gone, second))
    own_bot.close()

    for end in (stop, crash):
        own_bot.start()
        [waiting] = wait_for(lambda: spares(own_bot))
        end(own_bot)
        wait_for(partial(gone, waiting))


def gone(pid: int) -> bool:
    """Whether a process has ended."""
    return not is_alive(pid)


def open_files(pid: int) -> dict[str, str]:
    """What a process has open, by number; nothing for one that is gone."""
    try:
        return {path.name: str(path.readlink()) for path in Path(f"/proc/{pid}/fd").iterdir()}
    except OSError:
        return {}
