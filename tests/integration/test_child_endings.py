"""How a run ends before its time, or against the child's will: limits, cancels, claims and deaths."""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

import runs
from fastdeploy_bot.runner import folder as run_folder
from fastdeploy_bot.runner import launch, process, tree
from runs import PATIENCE, Run, Stage, eventually, gone, no_child_left, number_in


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """A service's folder, whose runs are ended with the test."""
    yield from runs.stage(tmp_path)


OBEDIENT = 'trap "echo asked; exit 7" TERM; echo ready; while :; do sleep 0.05; done'
STUBBORN = 'trap "" TERM; echo ready; while :; do sleep 0.05; done'
ESCAPING = (
    "import os, signal, sys, time\n"
    "if os.fork(): os._exit(0)\n"
    "os.setsid()\n"
    "if os.fork(): os._exit(0)\n"
    "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    "null = os.open(os.devnull, os.O_RDWR)\n"
    "for fd in range(3): os.dup2(null, fd)\n"
    "open(sys.argv[1], 'w').write(str(os.getpid()))\n"
    "time.sleep(600)\n"
)
"""A daemon by the book: its own session, its parent gone, all streams closed, deaf to SIGTERM."""


def says_ready(run: Run) -> Run:
    """Wait until the script has got as far as that."""
    eventually(lambda: b"ready\n" in run.log, "the script's first line")
    return run


# --- limits ---


def test_script_over_its_timeout_is_a_failure_that_says_how_long_it_had(stage: Stage) -> None:
    """A timeout is a failure with the reason, also in the log."""
    run, record = stage.play(OBEDIENT, timeout=1.5)

    assert ("failure", "timeout", "no end after 1.5s (timeout)") == (
        record["outcome"],
        record["ended_by"],
        record["reason"],
    )
    assert b"fastdeploy: no end after 1.5s (timeout)\n" in run.log
    assert run.log.endswith(b"asked\n")


def test_script_that_says_nothing_for_long_is_ended(stage: Stage) -> None:
    """The silence is measured from the last output, not from the start."""
    _, record = stage.play("for i in 1 2 3 4 5; do echo $i; sleep 0.5; done; exec sleep 60", silence_timeout=2)

    assert ("failure", "silence") == (record["outcome"], record["ended_by"])
    assert "no output and no step for 2s (silence_timeout)" == record["reason"]
    assert record["finished"] - record["started"] >= 4_000


def test_step_breaks_the_silence(stage: Stage) -> None:
    """A script that tells its steps in the steps file is not silent."""
    step = '{"name": "Build", "state": "running"}'

    _, record = stage.play(
        f"for i in 1 2 3 4 5; do echo '{step}' >> $FASTDEPLOY_STEPS_FILE; sleep 0.5; done", silence_timeout=2
    )

    assert "success" == record["outcome"]


# --- cancel ---


def test_cancelled_script_may_tidy_up_and_stays_cancelled(stage: Stage) -> None:
    """After the signal, the exit status no longer matters; who cancelled does."""
    run = says_ready(stage.begin(OBEDIENT))

    run.ask("cancel", by="anna")

    record = run.end()
    assert ("cancelled", "cancelled by anna", 7) == (record["outcome"], record["reason"], record["exit_status"])
    assert run.log.endswith(b"asked\n")


def test_script_that_ignores_the_request_is_killed_after_the_grace(stage: Stage) -> None:
    """SIGTERM is a request; SIGKILL after the grace is not."""
    run = says_ready(stage.begin(STUBBORN, kill_grace=0.5))

    run.ask("cancel", by="anna")

    record = run.end()
    assert ("cancelled", 9) == (record["outcome"], record["signal"])


def test_cancel_is_seen_without_a_signal(stage: Stage) -> None:
    """The bot may die between the file and the signal: the child looks for itself."""
    run = says_ready(stage.begin(OBEDIENT))

    run.folder.request("cancel", {"by": "anna"})

    assert "cancelled" == run.end()["outcome"]


def test_cancel_that_comes_with_the_start_neither_kills_the_child_nor_gets_lost(stage: Stage) -> None:
    """From its claim on the child withstands the signal, and the script hears it as soon as there is a script."""
    for _ in range(8):
        run = stage.folder()
        stage.script(STUBBORN.replace('trap "" TERM', ":"))
        run.folder.request("cancel", {"by": "anna"})
        process.start(stage.job(run))

        eventually(run.folder.claimed, "the claim")
        while run.folder.alive() and run.folder.exit_record() is None:
            process.nudge(run.folder)

        record = run.end()
        assert ("cancelled", 15) == (record["outcome"], record["signal"])


def test_a_signal_that_is_ahead_of_the_script_reaches_it() -> None:
    """Sent while the process that becomes the script has yet to read what it is to become, and that it may."""
    standby = launch.stand_by()
    os.kill(standby.pid, signal.SIGSTOP)
    os.waitpid(standby.pid, os.WUNTRACED)

    launch.tell(standby, ["/bin/sleep", "60"], "/", {})
    os.kill(standby.pid, signal.SIGTERM)
    launch.launch(standby)
    os.kill(standby.pid, signal.SIGCONT)

    assert signal.SIGTERM == os.WTERMSIG(os.waitpid(standby.pid, 0)[1])
    for each in (standby.output, standby.errors):
        os.close(each)


def test_cancel_ends_a_daemon_that_has_left_the_session(stage: Stage) -> None:
    """setsid, a double fork and closed streams do not help: the whole tree ends."""
    pid_file = stage.service / "pid"
    stage.script(ESCAPING, name="daemon", first=f"#!{sys.executable} -IS")
    run = stage.begin(f"./daemon {pid_file}; {OBEDIENT}", kill_grace=0.5)
    daemon = number_in(pid_file)

    run.ask("cancel", by="anna")

    assert "cancelled" == run.end()["outcome"]
    assert gone(daemon)


def test_cancel_gives_processes_that_want_to_tidy_up_their_time(stage: Stage) -> None:
    """The tree has the whole grace, and not only until the script itself has gone."""
    done = stage.service / "done"
    tidies_up = f'trap "sleep 0.5; echo yes > {done}; exit" TERM; echo ready; while :; do sleep 0.05; done'
    stage.script(tidies_up, name="slow")
    run = says_ready(stage.begin("./slow & wait"))

    run.ask("cancel", by="anna")

    assert "cancelled" == run.end()["outcome"]
    assert "yes\n" == done.read_text()


def test_script_that_had_ended_before_the_cancel_keeps_its_outcome(stage: Stage) -> None:
    """While a daemon still holds the output open, the script's end is already decided."""
    run = stage.begin("sleep 60 & echo ready; exit 5")
    says_ready(run)
    eventually(lambda: len(tree.descendants(run.child)) == 1, "the script's end")

    run.ask("cancel", by="anna")

    record = run.end()
    assert ("failure", 5, None) == (record["outcome"], record["exit_status"], record["ended_by"])


def test_signal_without_a_request_changes_nothing(stage: Stage) -> None:
    """A host that shuts down signals everybody, a script all that are called like its own; it is ended by word only."""
    run = says_ready(stage.begin("echo ready; sleep 0.6; exit 3"))
    others = [signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM, signal.SIGTSTP, signal.SIGRTMIN]

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, *others):
        os.kill(run.child, number)

    assert "exit status 3" == run.end()["reason"]


# --- the end is reported ---


def test_reported_end_comes_after_the_script(stage: Stage) -> None:
    """With finish = "report" an exit with 0 leaves the deployment running until the word comes."""
    run = stage.begin("echo ready", finish="report")
    says_ready(run)
    eventually(lambda: not tree.descendants(run.child), "the script's end")
    judged = run.folder.judge()

    run.ask("finish", state="failure", message="the smoke test failed")

    record = run.end()
    assert run_folder.ALIVE == judged
    assert ("failure", "the smoke test failed", 0) == (record["outcome"], record["reason"], record["exit_status"])


def test_reported_failure_without_a_message_still_has_a_reason(stage: Stage) -> None:
    """Nobody should have to guess why a deployment failed."""
    run = stage.begin("exit 0", finish="report")

    run.ask("finish", state="failure", message="")

    assert "its script reported failure" == run.end()["reason"]


def test_report_that_comes_first_waits_for_the_script(stage: Stage) -> None:
    """The log is whole before the deployment ends."""
    run = says_ready(stage.begin("echo ready; sleep 0.5; echo last words", finish="report"))

    run.ask("finish", state="success", message="")

    assert "success" == run.end()["outcome"]
    assert run.log.endswith(b"last words\n")


def test_non_zero_exit_fails_without_waiting_for_a_report(stage: Stage) -> None:
    """A script that fails will hardly report."""
    _, record = stage.play("exit 2", finish="report")

    assert ("failure", "exit status 2") == (record["outcome"], record["reason"])


def test_report_that_never_comes_is_a_timeout(stage: Stage) -> None:
    """The timeout covers the wait for the word as well."""
    _, record = stage.play("exit 0", finish="report", timeout=1.0)

    assert ("failure", "timeout") == (record["outcome"], record["ended_by"])


def test_cancel_after_the_report_comes_too_late(stage: Stage) -> None:
    """The script has ended and said how: that is the outcome, though a daemon still holds its output."""
    run = says_ready(stage.begin("sleep 60 & echo ready", finish="report"))
    eventually(lambda: len(tree.descendants(run.child)) == 1, "the script's end")

    run.folder.request("finish", {"state": "success", "message": ""})
    run.ask("cancel", by="anna")

    assert "success" == run.end()["outcome"]


# --- claims ---


def test_script_runs_once_however_many_children_want_to(stage: Stage) -> None:
    """The claim inside the lock decides; the others go without a word."""
    marks = stage.service / "marks"
    stage.script(f"echo run >> {marks}")
    run = stage.folder()
    for _ in range(12):
        process.start(stage.job(run))

    record = run.end()
    eventually(no_child_left, "the other children's end")

    assert "success" == record["outcome"]
    assert "run\n" == marks.read_text()
    assert "" == run.complaints()


def test_late_child_refuses_a_claim_that_was_taken(stage: Stage) -> None:
    """Whoever judged the run as never started has made sure of it."""
    marks = stage.service / "marks"
    stage.script(f"echo run >> {marks}")
    run = stage.folder()
    assert run.folder.take_claim()

    process.start(stage.job(run))
    eventually(no_child_left, "the child's end")

    assert run_folder.NOT_STARTED == run.folder.judge()
    assert not marks.exists()


@pytest.mark.parametrize("key", ["secrets", "argv", "env", "finish", "step_source"])
def test_job_of_another_version_is_not_claimed(stage: Stage, monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    """The package was upgraded under a running bot: the script has not run, and can begin when the bot is restarted."""
    stage.script("touch marks")
    run = stage.folder()
    whole = msgspec.to_builtins(stage.job(run))
    del whole[key]
    monkeypatch.setattr(msgspec.json, "encode", lambda _: json.dumps(whole).encode())

    process.start(stage.job(run))
    eventually(no_child_left, "the child's end")

    assert run_folder.NOT_STARTED == run.folder.judge()
    assert f"KeyError: '{key}'" in run.complaints()
    assert not (stage.service / "marks").exists()


def test_child_without_a_job_does_nothing() -> None:
    """The end of input before a job means that nobody wants it any more."""
    read, write = os.pipe()
    os.close(write)

    child = os.posix_spawn(
        sys.executable,
        [sys.executable, "-I", "-S", str(process.CHILD)],
        {},
        file_actions=[(os.POSIX_SPAWN_DUP2, read, 0)],
    )
    os.close(read)

    assert 0 == os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


# --- deaths ---


def test_script_dies_with_its_child_and_the_run_is_lost(stage: Stage) -> None:
    """A script that nobody watches must not go on; its outcome cannot be known."""
    pid_file = stage.service / "pid"
    run = stage.begin(f"echo $$ > {pid_file}; exec sleep 60")
    script = number_in(pid_file)

    os.kill(run.child, signal.SIGKILL)

    eventually(lambda: gone(script), "the script's end")
    eventually(lambda: run_folder.LOST == run.folder.judge(), "the judgement")


def test_what_a_dead_child_leaves_is_found_by_its_cookie(stage: Stage) -> None:
    """A daemon has no parent to be known by, but it has the run's cookie."""
    pid_file = stage.service / "pid"
    stage.script(ESCAPING, name="daemon", first=f"#!{sys.executable} -IS")
    run = stage.begin(f"./daemon {pid_file}; exec sleep 60")
    daemon = number_in(pid_file)
    os.kill(run.child, signal.SIGKILL)
    eventually(lambda: not run.folder.alive(), "the child's end")

    swept = process.end_tree(run.folder.name)

    assert swept
    assert gone(daemon)


def test_no_zombie_is_left_while_the_script_runs(stage: Stage) -> None:
    """The child inherits every orphan of its script, and reaps it."""
    run = says_ready(stage.begin("for i in 1 2 3 4 5; do (sleep 0 &) ; done; echo ready; sleep 60"))

    def others() -> list[str]:
        """What the child has for children besides the script's shell."""
        found = Path(f"/proc/{run.child}/task/{run.child}/children").read_text().split()
        return found[1:]

    eventually(lambda: not others(), "the orphans' reaping")


def test_full_disk_costs_output_and_neither_script_nor_record(stage: Stage) -> None:
    """The script goes on, the record is written, and the log says how much is missing."""
    full, freed = stage.service / "full", stage.service / "freed"
    waits = "until [ -e {} ]; do sleep 0.02; done".format
    run = stage.begin(f"{waits(full)}; head -c 300000 /dev/zero; {waits(freed)}; exit 6")
    _, room = resource.prlimit(run.child, resource.RLIMIT_FSIZE)

    resource.prlimit(run.child, resource.RLIMIT_FSIZE, (1000, room))
    full.touch()
    eventually(lambda: b"\0" * 1000 == run.folder.read_log(0, 2000)[1], "the full disk")
    resource.prlimit(run.child, resource.RLIMIT_FSIZE, (room, room))
    freed.touch()

    record = run.end()
    last = run.pieces()[-1][1]
    assert ("failure", 6) == (record["outcome"], record["exit_status"])
    assert last.endswith(b"bytes of output were lost: no space left on the disk\n")
    assert record["log_end"] > 300_000


def test_disk_that_is_full_at_the_start_is_a_failure_that_says_so(stage: Stage) -> None:
    """A script that was never started is no lost deployment."""
    marks = stage.service / "marks"
    stage.script(f"echo run >> {marks}")
    run = stage.folder()
    Path(run.folder.file("config.json")).symlink_to("/dev/full")

    process.start(stage.job(run, config={"access_token": "t0ken"}))

    record = run.end()
    assert "failure" == record["outcome"]
    assert "No space left on device" in record["reason"]
    assert not marks.exists()


def test_run_folder_deleted_in_the_middle_ends_the_child_with_its_script(stage: Stage) -> None:
    """There is nowhere left to write to, but no process stays behind."""
    run = says_ready(stage.begin("echo ready; sleep 0.5; echo more"))
    child = run.child

    run.folder.remove()

    assert run_folder.LOST == run.folder.judge()
    eventually(lambda: gone(child), "the child's end")


# --- waiting for it ---


def test_whoever_waits_for_a_childs_end_is_told_of_it_at_once(stage: Stage) -> None:
    """And only of that: what is printed meanwhile is looked for from time to time."""
    go = stage.service / "go"
    run = says_ready(stage.begin(f"echo ready; until [ -e {go} ]; do sleep 0.02; done"))
    began = time.monotonic()

    early = process.await_end(run.folder, 0.01), run.folder.judge()
    go.touch()
    late = process.await_end(run.folder, 2 * PATIENCE), run.folder.judge()

    assert ((True, run_folder.ALIVE), (True, run_folder.ENDED)) == (early, late)
    assert time.monotonic() < began + PATIENCE
    assert not process.await_end(run.folder, PATIENCE)


def test_a_dead_childs_lock_that_a_script_holds_is_not_waited_for(stage: Stage) -> None:
    """The child's end would be told at once, again and again: whoever follows the run looks from time to time."""
    run = says_ready(stage.begin("echo ready; sleep 60"))
    os.kill(run.child, signal.SIGKILL)
    lock = eventually(lambda: run.folder.hold("lock"), "a free lock")

    try:
        eventually(lambda: not process.await_end(run.folder, PATIENCE), "the end of the waiting")
        assert run_folder.ALIVE == run.folder.judge()
    finally:
        os.close(lock)
