"""Dispatcher and supervisor: from a queued row to a real script, and from its run folder back into rows."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest

from fastdeploy_bot import store
from fastdeploy_bot.bell import Bell
from fastdeploy_bot.core import clock, deployments, locking, logparts, logs, queue, secrets, services, steps
from fastdeploy_bot.core.catalogue import Catalogue
from fastdeploy_bot.core.deployments import Order
from fastdeploy_bot.core.logs import Mark
from fastdeploy_bot.engine import supervisor
from fastdeploy_bot.engine.dispatcher import SETTLE, Dispatcher
from fastdeploy_bot.engine.supervisor import Supervisor
from fastdeploy_bot.masking import Masker
from fastdeploy_bot.runner import process, tree
from fastdeploy_bot.runner.folder import RunFolder
from fastdeploy_bot.settings import Settings
from fastdeploy_bot.store.database import StoreUnavailable
from fastdeploy_bot.store.models import Deployment, Step
from fastdeploy_bot.words import DeploymentState, Origin, Principal, PrincipalKind, Role, StepReport, StepState
from runs import clear, eventually, gone, no_child_left, number_in

HOST = "this-host"
ANNA = Principal(PrincipalKind.USER, "anna", role=Role.DEPLOYER)


class Bot:
    """A bot without its web: service files, a database, and dispatchers that tick when a test says so."""

    def __init__(self, home: Path) -> None:
        self.settings = Settings(home=home, secret_key="k" * 64, kill_grace=1.0)
        self.catalogue = Catalogue(self.settings.services_dir)
        self.settings.services_dir.mkdir()
        self.settings.runs_dir.mkdir()
        self.dispatchers: list[Dispatcher] = []

    def service(self, name: str, script: str, **keys: Any) -> Path:
        """Write a service with that deploy script; answers its folder."""
        folder = self.settings.services_dir / name
        folder.mkdir(exist_ok=True)
        lines = {"repository": "octo-org/shop", **keys}
        told = "".join(f"{key} = {msgspec.json.encode(value).decode()}\n" for key, value in lines.items())
        (folder / "service.toml").write_text(told)
        (folder / "deploy.sh").write_text(f"#!/bin/sh\n{script}\n")
        (folder / "deploy.sh").chmod(0o755)
        services.sync(self.catalogue.entries(), now=clock.now())
        return folder

    def order(self, name: str) -> int:
        """Queue a deployment of the service; answers its id."""
        order = Order(
            origin=Origin.MANUAL, sha="1" * 40, ref="refs/heads/main", repository="octo-org/shop", actor="anna"
        )
        return store.write(lambda: deployments.queue(services.find(name), order, now=clock.now())).id

    def dispatcher(self, **changes: Any) -> Dispatcher:
        """One more engine's dispatcher, of the same host."""
        settings = msgspec.structs.replace(self.settings, **changes)
        made = Dispatcher(settings, self.catalogue, Bell(settings.bell_dir), HOST)
        self.dispatchers.append(made)
        return made

    def frugal(self, log_limit: int) -> Settings:
        """The bot's settings, with that `log_limit`."""
        return msgspec.structs.replace(self.settings, log_limit=log_limit)

    def until(self, dispatcher: Dispatcher, number: int, *states: DeploymentState) -> Deployment:
        """Tick until the deployment is in one of the states, at first: until it has ended."""

        def there() -> Deployment | None:
            dispatcher.tick(now=clock.now())
            row = deployments.find(number)
            state = DeploymentState(row.state)
            return row if (state in states if states else state.final) else None

        return eventually(there, f"deployment {number}")

    def stop(self, dispatcher: Dispatcher) -> None:
        """Let a dispatcher go of its runs, as at the end of its process."""
        dispatcher.stopping.set()
        for thread in threading.enumerate():
            if thread.name.startswith("run "):
                thread.join()

    def folder(self, number: int) -> RunFolder:
        """The deployment's run folder."""
        return RunFolder(str(self.settings.runs_dir / str(deployments.find(number).run)))

    def folders(self) -> list[str]:
        """What stands in the folder of the runs."""
        return os.listdir(self.settings.runs_dir)

    def log(self, number: int) -> bytes:
        """The log in rows."""
        return logs.read(number).data

    def steps(self, number: int) -> list[tuple[str, str]]:
        """Names and states of the steps in rows."""
        return [
            (step.name, step.state) for step in Step.select().where(Step.deployment == number).order_by(Step.position)
        ]

    def clear(self) -> None:
        """End all dispatchers and all that they started."""
        for dispatcher in self.dispatchers:
            self.stop(dispatcher)
        clear([RunFolder(str(path)) for path in self.settings.runs_dir.iterdir()])


@pytest.fixture
def bot(home: Path, database: str) -> Iterator[Bot]:
    """A bot of its own for each test."""
    assert database
    made = Bot(home)
    yield made
    made.clear()


def pid_of_child(folder: RunFolder) -> int:
    """The child's process id, as soon as it has claimed the run."""
    pid = eventually(lambda: (folder.claimed() or {}).get("pid"), "the claim")
    assert isinstance(pid, int)
    return pid


def waits_for(path: Path) -> str:
    """A shell command that ends when the file is there."""
    return f"until [ -e {path} ]; do sleep 0.02; done"


def says(name: str, state: str) -> str:
    """A shell command that tells a step by file."""
    return f"""echo '{{"name": "{name}", "state": "{state}"}}' >> $FASTDEPLOY_STEPS_FILE"""


# --- from the queue into rows ---


def test_what_moved_on_since_the_look_is_passed_by(bot: Bot, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a run folder: in a burst of pushes most of what was seen is superseded, and others wait behind it."""
    bot.service("shop", "true")
    bot.service("blog", "true")
    gone, next_one = bot.order("shop"), bot.order("blog")
    seen, made = queue.next_up(), list[int]()
    deployments.cancel(gone, by=ANNA, now=clock.now())
    create = RunFolder.create

    def count_and_create(folder: RunFolder, number: int) -> None:
        made.append(number)
        create(folder, number)

    monkeypatch.setattr(queue, "next_up", lambda: seen)
    monkeypatch.setattr(RunFolder, "create", count_and_create)

    bot.until(bot.dispatcher(), next_one)

    assert [next_one] == made


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


def test_deployment_runs_and_leaves_outcome_log_and_steps_in_rows(bot: Bot) -> None:
    """Queue, script, rows: the whole way; the run folder is gone at its end."""
    bot.service("shop", f"echo deploying $FASTDEPLOY_SHA; {says('Build', 'success')}", steps=["Build", "Restart"])
    number = bot.order("shop")

    row = bot.until(bot.dispatcher(), number)

    assert ("success", 0, "", HOST) == (row.state, row.exit_status, row.reason, row.host)
    assert row.started is not None
    assert row.finished is not None
    assert row.created <= row.started <= row.finished
    assert b"deploying " + b"1" * 40 + b"\n" == bot.log(number)
    assert [("Build", "success"), ("Restart", "skipped")] == bot.steps(number)
    eventually(lambda: bot.folders() == [], "the removal of the run folder")


def test_failure_keeps_its_exit_status_and_ends_the_step_that_ran(bot: Bot) -> None:
    """A step still running at the end takes the outcome."""
    bot.service("shop", f"{says('Build', 'running')}; exit 3")
    number = bot.order("shop")

    row = bot.until(bot.dispatcher(), number)

    assert ("failure", 3, "exit status 3") == (row.state, row.exit_status, row.reason)
    assert [("Build", "failure")] == bot.steps(number)


def test_script_that_is_missing_fails_with_the_reason_in_its_log(bot: Bot) -> None:
    """The reason stands in the row and in the log."""
    (bot.service("shop", "") / "deploy.sh").unlink()
    number = bot.order("shop")

    row = bot.until(bot.dispatcher(), number)

    assert ("failure", 127) == (row.state, row.exit_status)
    assert f"fastdeploy: {row.reason}\n".encode() == bot.log(number)


def test_secret_that_is_missing_fails_with_the_reason_in_its_log(bot: Bot) -> None:
    """Nothing is started without it, and the next deployment can have it."""
    bot.service("shop", 'echo "$DB_PASSWORD" | wc -c', secrets=["DB_PASSWORD"])
    dispatcher = bot.dispatcher()
    first, second = bot.order("shop"), bot.order("shop")

    row = bot.until(dispatcher, first)
    secrets.put(bot.settings.secrets_dir, "shop", "DB_PASSWORD", "hunter2!")
    bot.until(dispatcher, second)

    assert "failure" == row.state
    assert "fastdeploy secret set shop DB_PASSWORD" in row.reason
    assert row.reason.encode() in bot.log(first)
    assert b"9\n" == bot.log(second)


def test_log_beyond_the_limit_keeps_head_and_tail_in_rows(bot: Bot) -> None:
    """What lies between is a gap that says its bounds, however fast the output came."""
    limit, size = 400_000, 50_000_000
    bot.service("shop", f"head -c {size} /dev/urandom | tee data")
    number = bot.order("shop")

    bot.until(bot.dispatcher(log_limit=limit), number)

    data = (bot.settings.services_dir / "shop" / "data").read_bytes()
    kept = logs.read(number)
    assert kept.gap is not None
    head, tail = kept.data[: kept.gap[0]], kept.data[kept.gap[0] :]
    assert (limit // 2, size) == (kept.gap[0], kept.end)
    assert data[: limit // 2] == head
    assert data[kept.gap[1] :] == tail
    assert limit // 2 <= len(tail) <= limit // 2 + logs.CHUNK


def test_many_runs_leave_neither_processes_nor_open_files(bot: Bot) -> None:
    """A bot runs for months."""
    bot.service("shop", "exit 0")
    dispatcher = bot.dispatcher()
    bot.until(dispatcher, bot.order("shop"))
    bot.stop(dispatcher)
    before = os.listdir("/proc/self/fd")

    dispatcher = bot.dispatcher()
    for _ in range(5):
        bot.until(dispatcher, bot.order("shop"))
    bot.stop(dispatcher)

    # Fewer there may be: what an earlier test left to be closed.
    assert len(before) >= len(os.listdir("/proc/self/fd"))
    eventually(no_child_left, "the last child's end")


# --- when and where it was written ---


def when(marks: Sequence[Mark], end: int) -> list[int | None]:
    """The time of each byte before `end`."""
    found: list[int | None] = [None] * end
    for place, at in marks:
        found[place:] = [at] * (end - place)
    return found


def grown(bot: Bot, number: int, size: int) -> bool:
    """Whether there is more log than that by now, or nothing more to come."""
    return len(bot.log(number)) > size or deployments.find(number).finished is not None


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run folders stay after the end, to be compared with the rows; the test's own end takes them away."""
    monkeypatch.setattr(RunFolder, "remove", lambda _: None)


def test_rows_know_when_each_byte_was_written(bot: Bot, kept: None) -> None:
    """The same as the child noted, whichever of several supervisors took a byte over, and however often they change."""
    assert kept is None
    bot.service("shop", "for each in $(seq 60); do echo $each; sleep 0.02; done")
    number = bot.order("shop")

    while not DeploymentState(deployments.find(number).state).final:
        dispatcher, size = bot.dispatcher(), len(bot.log(number))
        dispatcher.tick(now=clock.now())
        eventually(partial(grown, bot, number, size), "some more output")
        bot.stop(dispatcher)

    log, noted = bot.log(number), bot.folder(number).read_times(0)[0]
    assert b"".join(b"%d\n" % each for each in range(1, 61)) == log
    assert when(noted, len(log)) == when(logs.marks(number), len(log))
    assert noted == logs.marks(number)


def test_what_is_left_of_a_long_log_knows_when_it_was_written(bot: Bot, kept: None) -> None:
    """Also where the marks of its beginning were told long before it, and of bytes that are gone."""
    assert kept is None
    bot.service("shop", "seq 300000")
    number = bot.order("shop")

    bot.until(bot.dispatcher(log_limit=200_000), number)

    log, noted = logs.read(number), bot.folder(number).read_times(0)[0]
    assert log.gap is not None
    told, true = when(logs.marks(number), log.end), when(noted, log.end)
    assert true[: log.gap[0]] == told[: log.gap[0]]
    assert true[log.gap[1] :] == told[log.gap[1] :]


@pytest.mark.parametrize("make", ["mkdir", "mkfifo", "ln -s /dev/full"])
def test_run_whose_times_nobody_could_note_is_followed_all_the_same(bot: Bot, make: str) -> None:
    """A script is in the way; or the child was of an earlier version, and was adopted."""
    bot.service("shop", f"{make} ${{FASTDEPLOY_STEPS_FILE%steps}}times; echo hello; {says('Build', 'running')}")
    number = bot.order("shop")

    row = bot.until(bot.dispatcher(), number)

    assert ("success", b"hello\n", [("Build", "success")]) == (row.state, bot.log(number), bot.steps(number))
    assert [] == logs.marks(number)


NONSENSE = ("[9]", "[]", "null", "{}", "[-1, 5]", f"[0, {10**30}]", "[true, 1]", '["0", 1]', "[" * 9_000, "[7, 5", "[3")


def test_nonsense_among_the_times_does_not_stop_the_supervisor(bot: Bot) -> None:
    """A script that finds them and writes there harms its own log's times only."""
    lines = "\n".join([*NONSENSE, "[500, 1000]", "[200, 2000]"])
    folder = bot.service("shop", "cat junk >> ${FASTDEPLOY_STEPS_FILE%steps}times; seq 1000")
    (folder / "junk").write_text(f"{lines}\n")
    number = bot.order("shop")

    row = bot.until(bot.dispatcher(), number)

    assert "success" == row.state
    assert b"".join(b"%d\n" % each for each in range(1, 1_001)) == bot.log(number)
    assert (500, 1_000) in logs.marks(number)


def test_steps_know_their_place_in_the_log(bot: Bot) -> None:
    """Where they began, where they ended; one that the end ended has all that came after its beginning."""
    bot.service("shop", "echo before; fastdeploy step Build -- echo built; echo between; " + says("Last", "running"))
    number = bot.order("shop")
    process.write_shim(bot.settings.bin_dir)

    bot.until(bot.dispatcher(), number)

    build, last = steps.spans(number)
    assert ("Build", 7, 13) == (build.name, build.log_from, build.log_to)
    assert last.log_from is not None
    assert (13 <= last.log_from <= 21, None, True) == (True, last.log_to, last.finished is not None)
    parts = logparts.parts([build], logs.marks(number), 21)
    assert [(None, 7), ("Build", 13), (None, 21)] == [(part.name, part.end) for part in parts]


def test_line_of_the_bots_own_knows_its_time(bot: Bot) -> None:
    """Also where there was no child to note it."""
    bot.service("shop", "true", secrets=["MISSING"])
    number = bot.order("shop")

    row = bot.until(bot.dispatcher(), number)

    assert [(0, row.finished)] == logs.marks(number)


# --- who may begin ---


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
        RunFolder, "create", lambda self, number: (_no_space if number == bad else create)(self, number)
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


# --- requests ---


def test_running_deployment_is_cancelled_by_name(bot: Bot) -> None:
    """Whoever cancelled it stands in the reason."""
    bot.service("shop", "echo ready; exec sleep 60")
    number = bot.order("shop")
    dispatcher = bot.dispatcher()
    bot.until(dispatcher, number, DeploymentState.RUNNING)
    eventually(lambda: bot.log(number), "the script's first line")

    deployments.cancel(number, by=ANNA, now=clock.now())

    row = bot.until(dispatcher, number)
    assert ("cancelled", "cancelled by anna", signal.SIGTERM) == (row.state, row.reason, row.signal)


def test_deployment_cancelled_at_its_very_start_is_cancelled(bot: Bot) -> None:
    """At no moment is the request lost, or the child that should pass it on killed by it."""
    bot.service("shop", "exec sleep 60")
    dispatcher = bot.dispatcher()

    for _ in range(5):
        number = bot.order("shop")
        dispatcher.tick(now=clock.now())
        deployments.cancel(number, by=ANNA, now=clock.now())

        row = bot.until(dispatcher, number)
        assert ("cancelled", signal.SIGTERM) == (row.state, row.signal)


class Endless(RunFolder):
    """A folder whose script prints faster than anybody can read."""

    __slots__ = ()

    def read_log(self, offset: int, most: int) -> tuple[int, bytes]:
        """Always more."""
        return offset, bytes(min(most, 10))


def test_endless_output_does_not_keep_the_supervisor_from_its_other_duties(bot: Bot) -> None:
    """A look ends, however much there is to take over."""
    bot.service("shop", "exec sleep 60")
    number = bot.order("shop")
    dispatcher = bot.dispatcher()
    bot.until(dispatcher, number, DeploymentState.RUNNING)
    bot.stop(dispatcher)
    follower = Supervisor(deployments.find(number), Endless(bot.folder(number).path), bot.frugal(1000))

    ended = follower.tick(now=clock.now())

    assert not ended
    assert bot.log(number)


def test_script_that_floods_its_log_can_be_cancelled(bot: Bot) -> None:
    """Taking over output, however much there is, leaves time for everything else."""
    bot.service("shop", "exec yes")
    number = bot.order("shop")
    dispatcher = bot.dispatcher(log_limit=100_000)
    bot.until(dispatcher, number, DeploymentState.RUNNING)
    eventually(lambda: bot.log(number), "the script's first line")

    deployments.cancel(number, by=ANNA, now=clock.now())

    assert "cancelled" == bot.until(dispatcher, number).state


@pytest.mark.parametrize(
    ("state", "message", "reason"),
    [("success", "", ""), ("failure", "smoke test failed", "smoke test failed")],
)
def test_reported_end_is_the_end(bot: Bot, state: str, message: str, reason: str) -> None:
    """With finish = "report" the script's own word counts."""
    bot.service("shop", "exit 0", finish="report")
    number = bot.order("shop")
    dispatcher = bot.dispatcher()
    bot.until(dispatcher, number, DeploymentState.RUNNING)

    deployments.report_end(number, DeploymentState(state), message, Masker([]))

    row = bot.until(dispatcher, number)
    assert (state, reason) == (row.state, row.reason)


# --- engines come and go ---


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
    deployments.report_step(number, StepReport(name="One", state=StepState.SUCCESS), Masker([]), at=clock.now())
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
    [spare] = tree.descendants(os.getpid())
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


def test_disk_that_takes_no_run_folder_leaves_the_queue_as_it_was(bot: Bot, monkeypatch: pytest.MonkeyPatch) -> None:
    """The deployment begins when there is room again, and no half-made folder stays behind."""
    bot.service("shop", "exit 0")
    number = bot.order("shop")
    dispatcher = bot.dispatcher()
    with monkeypatch.context() as full:
        full.setattr(os, "posix_fallocate", _no_space)
        dispatcher.tick(now=clock.now())

    assert "queued" == deployments.find(number).state
    assert [] == bot.folders()
    assert "success" == bot.until(dispatcher, number).state


def _no_space(*_: object) -> None:
    raise OSError(28, "No space left on device")


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
    assert "success" == bot.until(dispatcher, number).state


def _unavailable(*_: object, **__: object) -> None:
    raise StoreUnavailable("the database cannot be written: disk I/O error")


def test_nonsense_in_the_step_journal_does_not_stop_the_supervisor(bot: Bot) -> None:
    """A script that finds the journal and writes into it harms its own steps only."""
    nonsense = '{"name": 7}\\n[]\\nhello\\n{"name": "x", "state": "done", "message": "", "at": 1}\\n'
    bot.service("shop", f"printf '{nonsense}' >> $FASTDEPLOY_STEPS_FILE.log; {says('Build', 'success')}")
    number = bot.order("shop")

    row = bot.until(bot.dispatcher(), number)

    assert "success" == row.state
    assert [("Build", "success")] == bot.steps(number)


def test_request_that_the_disk_refuses_does_not_stop_the_supervisor(bot: Bot, monkeypatch: pytest.MonkeyPatch) -> None:
    """Output and end still come into rows; the request is tried again at the next look."""
    go = bot.settings.home / "go"
    bot.service("shop", f"echo ready; {waits_for(go)}; echo done")
    number = bot.order("shop")
    dispatcher = bot.dispatcher()
    monkeypatch.setattr(RunFolder, "request", _no_space)
    bot.until(dispatcher, number, DeploymentState.RUNNING)

    deployments.cancel(number, by=ANNA, now=clock.now())
    go.touch()

    assert "success" == bot.until(dispatcher, number).state
    assert b"ready\ndone\n" == bot.log(number)
