"""The spare: a child that waits for a job does what a fresh one does, once, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import runs
from callers import on_sqlite
from fastdeploy_bot.bell import Bell
from fastdeploy_bot.core.files.catalogue import Catalogue
from fastdeploy_bot.engine.engine import Engine
from fastdeploy_bot.runner import process, spare, tree
from fastdeploy_bot.settings import Settings
from runs import Run, Stage, children, eventually, gone

FACTS = """
import os, time
def lasting(pid):
    looks = []
    for _ in range(4):  # a child opens the steps file for a moment, ten times a second
        looks.append(set(map(int, os.listdir(f"/proc/{pid}/fd"))))
        time.sleep(0.03)
    return set.intersection(*looks)
def facts(pid):
    status = dict(line.split(":", 1) for line in open(f"/proc/{pid}/status").read().splitlines())
    numbers = open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()
    print(sorted(open(f"/proc/{pid}/environ").read().split(chr(0))), os.readlink(f"/proc/{pid}/cwd"))
    print(open(f"/proc/{pid}/cmdline").read().split(chr(0)), open(f"/proc/{pid}/limits").read())
    print({name: status[name].strip() for name in ("Umask", "SigBlk", "SigIgn", "SigCgt", "Uid", "Gid", "NoNewPrivs")})
    print("leads its session:", numbers[3] == str(pid), "leads its group:", numbers[2] == str(pid), "tty:", numbers[4])
    for number in sorted(lasting(pid) - closed):
        target = os.readlink(f"/proc/{pid}/fd/{number}")
        print(number, target.split(":")[0] if ":" in target else target)
closed = set()
facts(os.getppid())
closed = {max(map(int, os.listdir("/proc/self/fd")))}  # the one by which they are listed
facts(os.getpid())
"""
"""What a script can see of its child and of itself."""


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """A service's folder, whose runs are ended with the test."""
    yield from runs.stage(tmp_path)


def waiting() -> list[int]:
    """The children of this process that have no job."""
    return [pid for pid in children() if complains_to(pid) == os.devnull]


def complains_to(pid: int) -> str:
    """Where a process's standard error goes."""
    try:
        return str(Path(f"/proc/{pid}/fd/2").readlink())
    except (FileNotFoundError, PermissionError):
        return ""


def command(pid: int) -> str:
    """What a process was started with."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def keep() -> int:
    """Have a child wait; its process id."""
    process.keep_spare()
    [pid] = waiting()
    return pid


def play(stage: Stage, **changes: Any) -> tuple[Run, dict[str, Any]]:
    """Run the stage's script; the run, and its exit record."""
    return stage.play(None, **changes)


# --- the same as a fresh one ---


def test_run_by_the_spare_is_as_one_by_a_fresh_child(stage: Stage) -> None:
    """Environment, folder, umask, signals, limits, session and open files, of the child and of its script."""
    stage.script(FACTS, first=f"#!{sys.executable}")
    fresh, _ = play(stage)
    pid = keep()

    run, record = play(stage)

    assert (pid, "success") == (run.child, record["outcome"])
    told = [each.log.decode().replace(each.folder.name, "RUN") for each in (fresh, run)]
    assert 20 < len(told[0].splitlines())
    assert told[0] == told[1]


def test_complaints_of_the_spare_go_to_its_run(stage: Stage) -> None:
    """Nobody else would know what they are about."""
    keep()
    stage.script("exit 0")
    run = stage.folder()

    process.start(stage.job(run, limits=None))  # what no child expects

    complaints = Path(run.folder.file("child.err"))
    eventually(lambda: complaints.exists() and "TypeError" in complaints.read_text(), "the child's complaint")


def test_spare_takes_one_job(stage: Stage) -> None:
    """The next job goes to another child."""
    pid = keep()
    stage.script("echo $FASTDEPLOY_RUN")

    first, second = stage.begin(), stage.begin()

    assert ["success", "success"] == [run.end()["outcome"] for run in (first, second)]
    assert first.child == pid != second.child
    assert [f"{run.folder.name}\n".encode() for run in (first, second)] == [first.log, second.log]


def test_job_that_is_larger_than_a_pipe_reaches_the_spare(stage: Stage) -> None:
    """It reads to the end before it does anything."""
    pid = keep()
    large = "x" * 100_000

    run, record = stage.play("echo ${#LARGE}", env={"PATH": "/usr/bin:/bin", "LARGE": large})

    assert (pid, "success") == (run.child, record["outcome"])
    assert b"100000\n" == run.log


# --- between the job and the word to begin ---


def standby(child: int) -> int:
    """The process that becomes the child's script."""
    [pid] = eventually(lambda: tree.descendants(child), "the process that waits")
    return pid


def test_child_gets_ready_and_runs_nothing_before_it_may(stage: Stage) -> None:
    """What becomes the script stands in its folder by then."""
    marks = stage.service / "marks"
    pid = keep()
    stage.script(f"echo ran >> {marks}")
    run = stage.folder()
    job = stage.job(run)

    process.tell(job)
    eventually(lambda: Path(f"/proc/{standby(pid)}/cwd").readlink() == stage.service, "the child's getting ready")
    early = (run.folder.claimed(), run.folder.alive(), marks.exists())
    process.start(job)

    assert (None, False, False) == early
    assert ("success", pid) == (run.end()["outcome"], run.child)
    assert "ran\n" == marks.read_text()


def test_job_that_is_withdrawn_ends_its_child_without_a_trace(stage: Stage) -> None:
    """Somebody else was faster; the folder is taken away meanwhile."""
    pid = keep()
    waiting_beside = standby(pid)
    stage.script("exit 0")
    run = stage.folder()
    made = sorted(os.listdir(run.folder.path))

    process.tell(stage.job(run))
    process.withdraw(run.folder)

    eventually(lambda: gone(pid) and gone(waiting_beside), "their end")
    assert made == sorted(os.listdir(run.folder.path))
    assert "" == run.complaints()


def test_job_that_was_begun_is_not_withdrawn(stage: Stage) -> None:
    """Where its follower cannot be made, another one finds it running."""
    run = stage.begin("echo ran")

    process.withdraw(run.folder)

    assert ("success", b"ran\n") == (run.end()["outcome"], run.log)


def test_signal_that_came_before_the_job_does_not_end_its_script(stage: Stage) -> None:
    """It was meant for somebody else: whoever ends a whole control group, perhaps."""
    pid = keep()
    for each in (pid, standby(pid)):
        os.kill(each, signal.SIGTERM)

    run, record = stage.play("echo ran")

    assert (pid, "success", b"ran\n") == (run.child, record["outcome"], run.log)


# --- how many, and how old ---


@pytest.mark.usefixtures("stage")
def test_there_is_never_more_than_one() -> None:
    """However often and from wherever it is asked for."""
    start = threading.Barrier(4)

    def ask() -> None:
        start.wait()
        for _ in range(5):
            process.keep_spare()

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert 1 == len(waiting())


@pytest.mark.parametrize("change", ["write", "replace", "add", "remove"])
def test_spare_is_replaced_when_its_code_has_changed(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    """However an upgrade does that; and until there is another, a job goes to a fresh child."""
    room = tmp_path / "package" / "runner"
    room.mkdir(parents=True)
    for name in ("folder.py", "output.py"):
        (room / name).write_text("old = 1\n")
    monkeypatch.setattr(spare, "ROOM", room)
    old = keep()
    assert old == keep()

    match change:
        case "write":
            (room / "folder.py").write_text("new = 2\n")
        case "replace":
            (tmp_path / "new").write_text("old = 1\n")
            (tmp_path / "new").rename(room / "folder.py")
        case "add":
            (room.parent / "masking.py").write_text("")
        case _:
            (room / "output.py").unlink()

    run, _ = stage.play("exit 0")
    assert run.child != old
    assert gone(old)
    assert old != keep()


def test_all_that_a_child_loads_of_ours_is_watched() -> None:
    """A module that it needs one day is not to be forgotten here."""
    text = (
        f"import runpy, sys; runpy.run_path({str(process.CHILD)!r}, run_name='child');"
        "print('\\n'.join(str(getattr(each, '__file__', '')) for each in sys.modules.values()))"
    )

    told = subprocess.run([sys.executable, "-I", "-S", "-c", text], capture_output=True, text=True, check=True).stdout

    ours = {line for line in told.splitlines() if line.startswith(str(spare.ROOM.parent))}
    watched = {str(stamp[0]) for stamp in spare.code()}
    assert str(spare.ROOM / "folder.py") in ours
    assert ours | {str(process.CHILD)} <= watched


# --- deaths ---


def test_spare_that_died_is_noticed_before_it_gets_a_job(stage: Stage) -> None:
    """A fresh child takes it."""
    pid = keep()
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: gone(pid), "its end")

    run, record = stage.play("echo ran")

    assert ("success", b"ran\n") == (record["outcome"], run.log)


def test_another_one_is_kept_in_place_of_a_dead_one(stage: Stage) -> None:
    """At the next look."""
    pid = keep()
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: gone(pid), "its end")

    assert stage.play("exit 0")[0].child != pid
    assert pid != keep()


def test_run_whose_spare_died_over_its_job_is_begun_by_a_fresh_child(stage: Stage) -> None:
    """It was handed over, so only its follower can see that; the run begins once, however often that one looks."""
    marks = stage.service / "marks"
    pid = keep()
    os.kill(pid, signal.SIGSTOP)
    run = stage.begin(f"echo ran >> {marks}")
    process.stand_in(run.folder)
    assert run.folder.claimed() is None

    os.kill(pid, signal.SIGKILL)
    eventually(lambda: gone(pid), "its end")
    for _ in range(3):
        process.stand_in(run.folder)

    assert "success" == run.end()["outcome"]
    process.stand_in(run.folder)
    assert "ran\n" == marks.read_text()


def test_run_whose_fresh_child_died_before_its_claim_is_begun_by_another_one(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with the spare; one whose second child dies as well is given up in time."""
    stuck = stage.service / "stuck.py"
    stuck.write_text("import time; time.sleep(60)\n")
    with monkeypatch.context() as first:
        first.setattr(process, "CHILD", stuck)
        run = stage.begin("echo ran")
    [pid] = eventually(lambda: [each for each in children() if "stuck.py" in command(each)], "the child")
    process.stand_in(run.folder)

    os.kill(pid, signal.SIGKILL)
    eventually(lambda: gone(pid), "its end")
    process.stand_in(run.folder)

    assert ("success", b"ran\n") == (run.end()["outcome"], run.log)


def test_run_whose_spare_died_after_its_claim_is_not_begun_again(stage: Stage) -> None:
    """The script may have run: it is lost."""
    marks = stage.service / "marks"
    pid = keep()
    run = stage.begin(f"echo ran >> {marks}; exec sleep 60")
    eventually(marks.exists, "the script's first line")

    os.kill(pid, signal.SIGKILL)
    eventually(lambda: gone(pid), "its end")
    eventually(lambda: not children(), "that nobody is left")
    process.stand_in(run.folder)

    assert [] == children()
    assert "lost" == run.folder.judge()
    assert "ran\n" == marks.read_text()


def test_job_is_kept_no_longer_than_until_the_claim(stage: Stage) -> None:
    """It holds the secrets of a service."""
    keep()
    run = stage.begin("exec sleep 60")
    assert 0 < run.child

    process.reap()

    assert not process._told


@on_sqlite
@pytest.mark.usefixtures("database")
def test_spare_ends_with_its_engine(home: Path) -> None:
    """Before the process does."""
    settings = Settings(home=home, secret_key="k" * 64)
    engine = Engine(settings, Catalogue(settings.services_dir), Bell(settings.bell_dir))
    engine.start()
    [pid] = eventually(waiting, "the spare")

    engine.stop()

    assert gone(pid)
    assert [] == waiting()
