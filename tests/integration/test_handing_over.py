"""Engines come and go, and children die: each run is followed to its end, and begins once."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

import engines
from engines import ANNA, Bot, pid_of_child, says, waits_for
from fastdeploy_bot.core import clock
from fastdeploy_bot.core.deploying import deployments, locking, queue
from fastdeploy_bot.core.files import secrets
from fastdeploy_bot.engine import supervisor
from fastdeploy_bot.engine.supervisor import Supervisor
from fastdeploy_bot.masking import Masker
from fastdeploy_bot.runner import process
from fastdeploy_bot.runner.folder import RunFolder
from fastdeploy_bot.store.database import StoreUnavailable
from fastdeploy_bot.words import DeploymentState, StepReport, StepState
from runs import children, eventually, gone, no_child_left, number_in


@pytest.fixture
def bot(home: Path, database: str) -> Iterator[Bot]:
    """A bot of its own for each test."""
    assert database
    yield from engines.bot(home)


def test_next_engine_goes_on_where_the_last_one_stopped(bot: Bot) -> None:
    """No byte and no step is lost or doubled when a run changes hands."""
    first, second = bot.settings.home / "first", bot.settings.home / "second"
    bot.service(
        "shop",
        f"echo one; {says('One', 'success')}; {waits_for(first)}; echo two; {says('Two', 'success')}; "
        f"{waits_for(second)}; echo three",
    )
    number = bot.order("shop")
    old = bot.dispatcher()
    bot.until(old, number, DeploymentState.RUNNING)
    eventually(lambda: bot.log(number) == b"one\n" and bot.steps(number), "the first line in rows")

    bot.stop(old)
    first.touch()
    eventually(lambda: bot.folder(number).read_log(4, 100)[1], "the second line in the run folder")
    new = bot.dispatcher()
    new.tick(now=clock.now())
    eventually(lambda: bot.log(number) == b"one\ntwo\n", "the second line in rows")
    second.touch()

    row = bot.until(new, number)
    assert "success" == row.state
    assert b"one\ntwo\nthree\n" == bot.log(number)
    assert [("One", "success"), ("Two", "success")] == bot.steps(number)


def test_script_that_ends_while_no_engine_is_there_keeps_its_outcome(bot: Bot) -> None:
    """Its exit record waits in the run folder."""
    go = bot.settings.home / "go"
    bot.service("shop", f"echo started; {waits_for(go)}; echo ended; exit 4")
    number = bot.order("shop")
    old = bot.dispatcher()
    bot.until(old, number, DeploymentState.RUNNING)
    bot.stop(old)
    folder = bot.folder(number)
    go.touch()
    eventually(lambda: folder.exit_record(), "the exit record")
    between = deployments.find(number).state

    row = bot.until(bot.dispatcher(), number)

    assert "running" == between
    assert ("failure", 4, b"started\nended\n") == (row.state, row.exit_status, bot.log(number))


def test_killed_child_makes_the_deployment_lost_and_ends_what_is_left(bot: Bot) -> None:
    """The outcome cannot be known, the rest of the script is swept away, and the next one begins."""
    pid_file = bot.settings.home / "pid"
    once = bot.settings.home / "once"
    bot.service("shop", f"[ -e {once} ] && exit 0; touch {once}; setsid sleep 600 & echo $! > {pid_file}; sleep 600")
    number, after = bot.order("shop"), bot.order("shop")
    dispatcher = bot.dispatcher()
    bot.until(dispatcher, number, DeploymentState.RUNNING)
    daemon = number_in(pid_file)

    os.kill(pid_of_child(bot.folder(number)), signal.SIGKILL)

    row = bot.until(dispatcher, number)
    assert ("lost", None) == (row.state, row.exit_status)
    assert "its outcome cannot be known" in row.reason
    assert gone(daemon)
    assert "success" == bot.until(dispatcher, after).state


def test_service_that_wants_it_is_held_after_a_loss_until_its_lock_ends(bot: Bot) -> None:
    """`on_lost = "hold"`: the next one waits, and begins at the tick that finds the lock over."""
    once = bot.settings.home / "once"
    bot.service("shop", f"[ -e {once} ] && exit 0; touch {once}; sleep 600", on_lost="hold")
    number, after = bot.order("shop"), bot.order("shop")
    dispatcher = bot.dispatcher()
    bot.until(dispatcher, number, DeploymentState.RUNNING)
    eventually(once.exists, "the script")

    os.kill(pid_of_child(bot.folder(number)), signal.SIGKILL)
    lost, held = bot.until(dispatcher, number), bot.until(dispatcher, after, DeploymentState.WAITING)
    end = clock.now() + 3_600_000
    locking.lock("shop", {}, locking.Wish(reason="looked at", until=end), by=ANNA, now=clock.now())
    dispatcher.tick(now=end - 1)
    still = deployments.find(after).state
    dispatcher.tick(now=end)

    assert "lost" == lost.state
    assert held.reason.startswith(f"locked by fastdeploy: deployment {number} was lost")
    assert "waiting" == still
    assert "success" == bot.until(dispatcher, after).state


def test_steps_that_a_killed_child_did_not_come_to_are_taken_over_before_the_run_is_lost(bot: Bot) -> None:
    """And no other is taken over again: what was told by HTTP meanwhile stands."""
    go, told = bot.settings.home / "go", bot.settings.home / "told"
    secrets.put(bot.settings.secrets_dir, "shop", "DB_PASSWORD", "hunter2!")
    secret = says("'$DB_PASSWORD'", "running")
    bot.service(
        "shop",
        f"{says('One', 'running')}; {waits_for(go)}; {says('Two', 'success')}; {secret}; touch {told}; sleep 600",
        secrets=["DB_PASSWORD"],
    )
    number = bot.order("shop")
    dispatcher = bot.dispatcher()
    bot.until(dispatcher, number, DeploymentState.RUNNING)
    eventually(lambda: bot.steps(number), "the first step")
    pid = pid_of_child(bot.folder(number))

    os.kill(pid, signal.SIGSTOP)  # between two looks at the steps file
    deployments.report_step(
        number, StepReport(name="One", state=StepState.SUCCESS), Masker([]), at=clock.now()
    ).answer()
    go.touch()
    eventually(told.exists, "the other steps")
    os.kill(pid, signal.SIGKILL)

    assert "lost" == bot.until(dispatcher, number).state
    assert [("One", "success"), ("Two", "success"), ("********", "failure")] == bot.steps(number)


def _deleted(folder: RunFolder) -> None:
    folder.remove()


def _emptied(folder: RunFolder) -> None:
    for path in Path(folder.path).iterdir():
        path.unlink()


@pytest.mark.parametrize("harm", [_deleted, _emptied])
@pytest.mark.parametrize("followed", [True, False])
def test_run_folder_lost_in_the_middle_makes_the_deployment_lost(
    bot: Bot, harm: Callable[[RunFolder], None], followed: bool
) -> None:
    """Whether an engine watches or the next one finds it so, the service is not blocked for ever."""
    pid_file = bot.settings.home / "pid"
    bot.service("shop", f"echo $$ > {pid_file}; exec sleep 600")
    number = bot.order("shop")
    dispatcher = bot.dispatcher()
    bot.until(dispatcher, number, DeploymentState.RUNNING)
    script = number_in(pid_file)
    eventually(Path(bot.folder(number).file("pipe")).exists, "the last file that the child makes")
    if not followed:
        bot.stop(dispatcher)
        dispatcher = bot.dispatcher()

    harm(bot.folder(number))

    assert "lost" == bot.until(dispatcher, number).state
    eventually(lambda: gone(script), "the script's end")


def test_child_that_never_comes_up_fails_the_deployment_with_its_complaint(
    bot: Bot, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The script has not run, so that is a failure and not a loss; a late child would find the claim taken."""
    broken = bot.settings.home / "broken.py"
    broken.write_text("raise SystemExit('this python is broken')\n")
    monkeypatch.setattr(process, "CHILD", broken)
    bot.service("shop", "exit 0")
    number = bot.order("shop")
    dispatcher = bot.dispatcher()
    bot.until(dispatcher, number, DeploymentState.RUNNING)
    bot.stop(dispatcher)
    folder = bot.folder(number)
    eventually(lambda: Path(folder.file("child.err")).read_text(), "the child's complaint")
    follower = Supervisor(deployments.find(number), folder, bot.frugal(1000))

    early = follower.tick(now=clock.now())
    monkeypatch.setattr(supervisor, "START_SECONDS", 0)
    late = follower.tick(now=clock.now())

    row = deployments.find(number)
    assert (False, True) == (early, late)
    assert ("failure", "the script could not be started: this python is broken") == (row.state, row.reason)
    assert f"fastdeploy: {row.reason}\n".encode() == bot.log(number)
    assert not folder.claim({"pid": 1})


def test_run_whose_spare_died_over_its_job_begins_all_the_same(bot: Bot, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the next look of its follower, by a fresh child, and once; nobody waits until the child is given up."""
    monkeypatch.setattr(supervisor, "START_SECONDS", 600)
    bot.service("shop", "echo ran")
    dispatcher = bot.dispatcher()
    dispatcher.tick(now=clock.now())
    [spare] = children()
    os.kill(spare, signal.SIGSTOP)
    number = bot.order("shop")
    bot.until(dispatcher, number, DeploymentState.RUNNING)

    os.kill(spare, signal.SIGKILL)

    assert "success" == bot.until(dispatcher, number).state
    assert b"ran\n" == bot.log(number)


def left_before_start(bot: Bot, monkeypatch: pytest.MonkeyPatch) -> tuple[int, RunFolder]:
    """A deployment whose engine died between its claim and the child's start, and its run folder."""
    number = bot.order("shop")
    with monkeypatch.context() as broken:
        broken.setattr(process, "start", lambda _: 1 / 0)
        bot.dispatcher().tick(now=clock.now())
    assert "running" == deployments.find(number).state
    return number, bot.folder(number)


def test_script_that_never_began_begins_with_the_next_engine(bot: Bot, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing ran, so nothing is lost: the same deployment runs once, in a folder of its own, and is told truly."""
    ran = bot.settings.home / "ran"
    bot.service("shop", f"echo $FASTDEPLOY_DEPLOYMENT >> {ran}; echo hello; {says('Build', 'success')}")
    number, left = left_before_start(bot, monkeypatch)

    row = bot.until(bot.dispatcher(), number)

    assert ("success", f"{number}\n") == (row.state, ran.read_text())
    assert (b"hello\n", [("Build", "success")]) == (bot.log(number), bot.steps(number))
    assert left.name != row.run
    eventually(lambda: bot.folders() == [], "the folders' end")


def test_child_that_comes_up_late_finds_its_script_taken(bot: Bot, monkeypatch: pytest.MonkeyPatch) -> None:
    """The job may have been handed over before the engine died: then two children want to run the same script."""
    ran = bot.settings.home / "ran"
    bot.service("shop", f"echo $FASTDEPLOY_DEPLOYMENT >> {ran}")
    number = bot.order("shop")
    late: list[process.Job] = []

    def die_first(job: process.Job) -> None:
        late.append(job)
        raise KeyboardInterrupt

    first = bot.dispatcher()
    with monkeypatch.context() as slow:
        slow.setattr(process, "start", die_first)
        with pytest.raises(KeyboardInterrupt):
            first.tick(now=clock.now())
    monkeypatch.setattr(RunFolder, "remove", lambda _: None)

    row = bot.until(bot.dispatcher(), number)
    process.start(late[0])
    eventually(no_child_left, "the end of the late child")

    assert ("success", f"{number}\n") == (row.state, ran.read_text())


def test_cancelled_before_its_script_began_it_does_not_begin_again(bot: Bot, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asked for the end meant this run, though its engine died before there was anything to end."""
    ran = bot.settings.home / "ran"
    bot.service("shop", f"touch {ran}")
    number, _ = left_before_start(bot, monkeypatch)
    deployments.cancel(number, by=ANNA, now=clock.now())

    row = bot.until(bot.dispatcher(), number)

    assert ("cancelled", "cancelled by anna before it began") == (row.state, row.reason)
    assert not ran.exists()


def test_claim_that_was_made_though_the_database_said_no_is_found(bot: Bot, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that breaks in the middle of a commit tells nobody whether it was made."""
    bot.service("shop", "echo hello")
    number = bot.order("shop")
    dispatcher = bot.dispatcher()
    real = queue.claim

    def cut_off(*told: Any, **more: Any) -> bool:
        real(*told, **more)
        raise StoreUnavailable("the database cannot be written: the connection is closed")

    with monkeypatch.context() as away:
        away.setattr(queue, "claim", cut_off)
        dispatcher.tick(now=clock.now())

    row = bot.until(dispatcher, number)

    assert ("success", b"hello\n") == (row.state, bot.log(number))


def test_run_that_an_engine_is_about_to_start_is_left_to_it(bot: Bot, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between claim and start another engine of the host sees a run without a child, and keeps its hands off."""
    ran = bot.settings.home / "ran"
    bot.service("shop", f"echo $FASTDEPLOY_DEPLOYMENT >> {ran}")
    number = bot.order("shop")
    first, second = bot.dispatcher(), bot.dispatcher()
    real, seen = process.start, list[object]()

    def interrupted(job: process.Job) -> None:
        second.tick(now=clock.now())
        seen.append(deployments.find(number).run)
        real(job)

    monkeypatch.setattr(process, "start", interrupted)
    row = bot.until(first, number)

    assert ("success", [row.run], f"{number}\n") == (row.state, seen, ran.read_text())


def test_run_of_a_host_that_was_started_anew_is_lost_and_says_so(bot: Bot) -> None:
    """A claim of an earlier boot: its child cannot live, whatever process has its number now."""
    go = bot.settings.home / "go"
    bot.service("shop", f"echo ready; {waits_for(go)}")
    number = bot.order("shop")
    dispatcher = bot.dispatcher()
    bot.until(dispatcher, number, DeploymentState.RUNNING)
    child = pid_of_child(bot.folder(number))
    bot.stop(dispatcher)
    os.kill(child, signal.SIGKILL)
    claim = Path(bot.folder(number).file("claim"))
    earlier = msgspec.json.decode(claim.read_bytes()) | {"boot": "another", "pid": os.getpid()}
    claim.write_bytes(msgspec.json.encode(earlier))

    row = bot.until(bot.dispatcher(), number)

    assert "lost" == row.state
    assert "the host was started anew while it ran, so its outcome cannot be known" == row.reason
