"""Supervisor: from a queued row to a real script, and from its run folder back into rows."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import pytest

import engines
from engines import ANNA, HOST, Bot, no_space, says, waits_for
from fastdeploy_bot.core import clock
from fastdeploy_bot.core.deploying import deployments, steps
from fastdeploy_bot.core.files import secrets
from fastdeploy_bot.core.output import logparts, logs
from fastdeploy_bot.core.output.logs import Mark
from fastdeploy_bot.engine.supervisor import Supervisor
from fastdeploy_bot.masking import Masker
from fastdeploy_bot.runner import process
from fastdeploy_bot.runner.folder import RunFolder
from fastdeploy_bot.words import DeploymentState
from runs import eventually, no_child_left


@pytest.fixture
def bot(home: Path, database: str) -> Iterator[Bot]:
    """A bot of its own for each test."""
    assert database
    yield from engines.bot(home)


# --- from the queue into rows ---


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
    assert limit * 7 // 16 <= len(tail) <= limit // 2


def test_scripts_find_folders_of_their_own_where_the_bot_was_told_of_none(
    bot: Bot, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A unit's environment names neither; `systemctl --user` needs the second, where there is one."""
    monkeypatch.delenv("TMPDIR", raising=False)
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    bot.service("shop", 'echo "$TMPDIR ${XDG_RUNTIME_DIR-none}"')
    number = bot.order("shop")

    bot.until(bot.dispatcher(), number)

    runtime = Path(f"/run/user/{os.getuid()}")
    assert f"/tmp {runtime if runtime.is_dir() else 'none'}\n".encode() == bot.log(number)


def test_many_runs_leave_neither_processes_nor_open_files(bot: Bot) -> None:
    """A bot runs for months."""
    bot.service("shop", "exit 0")
    dispatcher = bot.dispatcher()
    bot.until(dispatcher, bot.order("shop"))
    bot.stop(dispatcher)
    process.dismiss_spare()
    before = open_files()

    dispatcher = bot.dispatcher()
    for _ in range(5):
        bot.until(dispatcher, bot.order("shop"))
    bot.stop(dispatcher)
    process.dismiss_spare()

    eventually(lambda: open_files() <= before, "the end of what the runs had opened")
    eventually(no_child_left, "the last child's end")


def open_files() -> int:
    """How many this process has open, without what waits to be collected."""
    gc.collect()
    return len(os.listdir("/proc/self/fd"))


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


class Flood(RunFolder):
    """A folder whose script prints so much that most of it is dropped between two looks."""

    __slots__ = ()

    def read_log(self, offset: int, most: int) -> tuple[int, bytes]:
        """Always more, behind a gap."""
        return offset + 10_000, bytes(min(most, 10))


def test_of_a_flood_nothing_is_taken_over_that_the_next_look_would_drop(bot: Bot) -> None:
    """While a script runs, a look ends behind a gap: much more will come that is worth as little."""
    bot.service("shop", "exec sleep 60")
    number = bot.order("shop")
    dispatcher = bot.dispatcher()
    bot.until(dispatcher, number, DeploymentState.RUNNING)
    bot.stop(dispatcher)
    follower = Supervisor(deployments.find(number), Flood(bot.folder(number).path), bot.frugal(1000))

    follower.tick(now=clock.now())
    first = logs.end(number)
    follower.tick(now=clock.now())

    assert (10_010, 20_020) == (first, logs.end(number))


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


# --- what does not stop it ---


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
    monkeypatch.setattr(RunFolder, "request", no_space)
    bot.until(dispatcher, number, DeploymentState.RUNNING)

    deployments.cancel(number, by=ANNA, now=clock.now())
    go.touch()

    assert "success" == bot.until(dispatcher, number).state
    assert b"ready\ndone\n" == bot.log(number)
