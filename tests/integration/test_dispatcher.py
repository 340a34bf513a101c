"""Dispatcher: who begins, in which order, and what becomes of those that cannot."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import engines
from engines import ANNA, Bot, no_space, waits_for
from fastdeploy_bot import store
from fastdeploy_bot.core import clock
from fastdeploy_bot.core.deploying import deployments, queue, services
from fastdeploy_bot.core.output import logs
from fastdeploy_bot.engine.dispatcher import NEXT, SETTLE, Dispatcher
from fastdeploy_bot.runner import process
from fastdeploy_bot.runner.folder import RunFolder
from fastdeploy_bot.runner.process import Job
from fastdeploy_bot.store.database import StoreUnavailable
from fastdeploy_bot.words import DeploymentState
from runs import eventually, no_child_left


@pytest.fixture
def bot(home: Path, database: str) -> Iterator[Bot]:
    """A bot of its own for each test."""
    assert database
    yield from engines.bot(home)


def test_what_moved_on_since_the_look_is_passed_by(bot: Bot, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a run folder: in a burst of pushes most of what was seen is superseded, and others wait behind it."""
    bot.service("shop", "true")
    bot.service("blog", "true")
    gone, next_one = bot.order("shop"), bot.order("blog")
    seen, made = queue.next_up(), list[int]()
    deployments.cancel(gone, by=ANNA, now=clock.now())
    create = RunFolder.create

    def count_and_create(folder: RunFolder, number: int, prepared: RunFolder | None) -> None:
        made.append(number)
        create(folder, number, prepared)

    monkeypatch.setattr(queue, "next_up", lambda: seen)
    monkeypatch.setattr(RunFolder, "create", count_and_create)

    bot.until(bot.dispatcher(), next_one)

    assert [next_one] == made


def test_where_one_is_overtaken_no_other_is_made_ready(bot: Bot, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a burst of pushes each would be in vain; the next look begins them all the same."""
    told: list[int] = []
    claim, tell = queue.claim, process.tell
    for name in ("a", "b"):
        bot.service(name, "true")
    numbers = [bot.order(name) for name in ("a", "b")]
    dispatcher = bot.dispatcher()

    def note_and_tell(job: Job) -> object:
        told.append(job.deployment)
        return tell(job)

    monkeypatch.setattr(process, "tell", note_and_tell)
    monkeypatch.setattr(queue, "claim", lambda *_, **__: False)

    dispatcher.tick(now=clock.now())
    overtaken, seen = dispatcher.overtaken, list(told)
    monkeypatch.setattr(queue, "claim", claim)
    bot.until(dispatcher, numbers[1])

    assert (True, numbers[:1]) == (overtaken, seen)
    assert ["success"] * 2 == [bot.until(dispatcher, number).state for number in numbers]
    assert not dispatcher.overtaken


def test_what_waits_is_not_asked_one_by_one_for_its_service(bot: Bot, caplog: pytest.LogCaptureFixture) -> None:
    """However many services there are; each push rings for such a look."""
    dispatcher = bot.dispatcher()
    for number in range(8):
        folder = bot.service(f"shop{number}", "true")
        bot.order(f"shop{number}")
        (folder / "service.toml").write_text("[")
    dispatcher.tick(now=clock.now())
    caplog.set_level(logging.DEBUG, "peewee")

    dispatcher.tick(now=clock.now())

    asked = [record.getMessage() for record in caplog.records if record.name == "peewee"]
    assert len([each for each in asked if 'FROM "service"' in each]) < 8


def test_no_more_run_at_once_than_the_host_may(bot: Bot) -> None:
    """The rest waits its turn, oldest first."""
    go = bot.settings.home / "go"
    for name in ("a", "b", "c"):
        bot.service(name, waits_for(go))
    numbers = [bot.order(name) for name in ("a", "b", "c")]
    dispatcher = bot.dispatcher(max_running=2)

    for _ in range(3):
        dispatcher.tick(now=clock.now())
    states = [deployments.find(number).state for number in numbers]
    go.touch()

    assert ["running", "running", "queued"] == states
    assert "success" == bot.until(dispatcher, numbers[2]).state


def test_fault_with_one_deployment_does_not_hold_up_the_others(bot: Bot, monkeypatch: pytest.MonkeyPatch) -> None:
    """What goes wrong with one service is that service's matter."""
    bot.service("good", "exit 0")
    bot.service("bad", "exit 0")
    bad, good = bot.order("bad"), bot.order("good")
    create = RunFolder.create
    monkeypatch.setattr(
        RunFolder, "create", lambda self, number, _: (no_space if number == bad else create)(self, number)
    )

    row = bot.until(bot.dispatcher(), good)

    assert "success" == row.state
    assert "queued" == deployments.find(bad).state


def test_one_deployment_of_a_service_runs_at_once_under_two_dispatchers(bot: Bot) -> None:
    """However two engines race, no two scripts of one service live at once, and each runs once."""
    folder = bot.service("shop", "mkdir busy || echo clash >> clashes; echo ran >> runs; sleep 0.05; rmdir busy")
    numbers = [bot.order("shop") for _ in range(6)]
    last = numbers[-1]

    def work(dispatcher: Dispatcher) -> None:
        try:
            bot.until(dispatcher, last)
        finally:
            store.disconnect()

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(work, [bot.dispatcher(), bot.dispatcher()]))

    assert ["success"] * 6 == [deployments.find(number).state for number in numbers]
    assert not (folder / "clashes").exists()
    assert 6 == (folder / "runs").read_text().count("ran")


def test_bad_service_file_keeps_its_queue_waiting(bot: Bot) -> None:
    """Until it is mended; other services go on."""
    bot.service("good", "exit 0")
    folder = bot.service("shop", "exit 0")
    good, number = bot.order("good"), bot.order("shop")
    text = (folder / "service.toml").read_text()
    (folder / "service.toml").write_text(text + "repositry = 3\n")
    dispatcher = bot.dispatcher()

    bot.until(dispatcher, good)
    waiting = deployments.find(number)
    (folder / "service.toml").write_text(text)

    assert ("queued", True) == (waiting.state, "repositry" in waiting.reason)
    assert "success" == bot.until(dispatcher, number).state


def test_queue_of_a_removed_service_is_cancelled_once_it_stays_removed(bot: Bot) -> None:
    """An editor takes a file away for a moment; a person, for good."""
    folder = bot.service("shop", "exit 0")
    bot.service("busy", waits_for(folder / "never"))
    busy = bot.order("busy")
    dispatcher = bot.dispatcher(max_running=1)
    bot.until(dispatcher, busy, DeploymentState.RUNNING)
    number = bot.order("shop")
    gone_at = clock.now()
    (folder / "service.toml").unlink()

    dispatcher.tick(now=gone_at)
    dispatcher.tick(now=gone_at + SETTLE - 1)
    early = deployments.find(number).state
    dispatcher.tick(now=gone_at + SETTLE)

    row = deployments.find(number)
    assert "queued" == early
    assert ("cancelled", "service shop was removed") == (row.state, row.reason)


def test_service_file_that_comes_back_at_once_is_not_removed(bot: Bot) -> None:
    """The time it was away counts anew each time."""
    folder = bot.service("shop", "exit 0")
    dispatcher = bot.dispatcher()
    dispatcher.tick(now=clock.now())
    start = clock.now()
    file, aside = folder / "service.toml", folder / "aside"

    for moment in (0, SETTLE // 2, SETTLE, 2 * SETTLE):
        file.rename(aside)
        dispatcher.tick(now=start + moment)
        aside.rename(file)
        dispatcher.tick(now=start + moment + 1)

    assert services.find("shop").removed is None


def test_clock_that_is_set_back_does_not_keep_a_removed_service(bot: Bot) -> None:
    """It counts anew from there."""
    folder = bot.service("shop", "exit 0")
    dispatcher = bot.dispatcher()
    start = clock.now()
    dispatcher.tick(now=start)
    (folder / "service.toml").unlink()
    dispatcher.tick(now=start)

    for moment in (0, SETTLE):
        dispatcher.tick(now=start - 3_600 * clock.SECOND + moment)

    assert services.find("shop").removed is not None


def test_run_of_a_service_that_is_removed_goes_on_to_its_end(bot: Bot) -> None:
    """What it needs was kept on the deployment when it began."""
    go = bot.settings.home / "go"
    folder = bot.service("shop", f"{waits_for(go)}; echo done; exit 3")
    number = bot.order("shop")
    dispatcher = bot.dispatcher()
    bot.until(dispatcher, number, DeploymentState.RUNNING)
    (folder / "service.toml").unlink()
    now = clock.now()
    dispatcher.tick(now=now)
    dispatcher.tick(now=now + SETTLE)
    removed = services.find("shop").removed
    go.touch()

    row = bot.until(dispatcher, number)
    assert removed is not None
    assert ("failure", 3) == (row.state, row.exit_status)
    assert b"done\n" in logs.read(number).data


def test_disk_that_takes_no_run_folder_leaves_the_queue_as_it_was(bot: Bot, monkeypatch: pytest.MonkeyPatch) -> None:
    """The deployment begins when there is room again, and no half-made folder stays behind."""
    bot.service("shop", "exit 0")
    number = bot.order("shop")
    dispatcher = bot.dispatcher()
    with monkeypatch.context() as full:
        full.setattr(os, "posix_fallocate", no_space)
        dispatcher.tick(now=clock.now())

    assert "queued" == deployments.find(number).state
    assert [] == bot.folders()
    assert "success" == bot.until(dispatcher, number).state


def test_full_disk_is_complained_of_where_something_is_to_begin_alone(
    bot: Bot, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A bot with nothing to do looks once a second for whether there is room for the next run's folder."""
    dispatcher = bot.dispatcher()
    with monkeypatch.context() as full:
        full.setattr(os, "posix_fallocate", no_space)
        dispatcher.tick(now=clock.now())
    early = (caplog.records.copy(), list(bot.settings.runs_dir.iterdir()))
    dispatcher.tick(now=clock.now())

    assert ([], []) == early
    assert [NEXT] == [path.name[: len(NEXT)] for path in bot.settings.runs_dir.iterdir()]


def test_database_that_takes_no_claim_leaves_no_run_folder(bot: Bot, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that is away for a day must not fill the disk with folders."""
    bot.service("shop", "exit 0")
    number = bot.order("shop")
    dispatcher = bot.dispatcher()
    with monkeypatch.context() as away:
        away.setattr(queue, "claim", _unavailable)
        dispatcher.tick(now=clock.now())

    assert "queued" == deployments.find(number).state
    assert [] == bot.folders()
    eventually(no_child_left, "the end of the child that knew the job")
    assert "success" == bot.until(dispatcher, number).state


def test_folder_waits_for_the_next_run(bot: Bot) -> None:
    """It is used once, missed by nobody where it was taken away, made anew, and goes with its engine."""
    bot.service("shop", "exit 0")
    dispatcher = bot.dispatcher()
    dispatcher.tick(now=clock.now())
    [waiting] = bot.settings.runs_dir.iterdir()
    number = bot.order("shop")
    bot.until(dispatcher, number, DeploymentState.RUNNING)
    used = not waiting.exists()
    bot.until(dispatcher, number)
    dispatcher.tick(now=clock.now())
    [another] = eventually(lambda: [path for path in bot.settings.runs_dir.iterdir() if path.name.startswith(NEXT)])
    RunFolder(str(another)).remove()
    dispatcher.tick(now=clock.now())
    [third] = bot.settings.runs_dir.iterdir()
    RunFolder(str(third)).remove()

    row = bot.until(dispatcher, bot.order("shop"))
    bot.stop(dispatcher)
    dispatcher.end()

    assert used
    assert "success" == row.state
    assert [] == list(bot.settings.runs_dir.iterdir())


def _unavailable(*_: object, **__: object) -> None:
    raise StoreUnavailable("the database cannot be written: disk I/O error")
