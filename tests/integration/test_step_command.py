"""`fastdeploy step`: a command as a step, as scripts start it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fastdeploy_bot.runner import process, step
from runs import eventually


@pytest.fixture
def shim(tmp_path: Path) -> Path:
    """The `fastdeploy` that a script finds first in its PATH."""
    process.write_shim(tmp_path / "bin")
    return tmp_path / "bin" / "fastdeploy"


@pytest.fixture
def steps_file(tmp_path: Path) -> Path:
    """What FASTDEPLOY_STEPS_FILE names."""
    path = tmp_path / "steps"
    path.touch()
    return path


def run(shim: Path, *words: str, steps_file: Path | None = None, **more: Any) -> subprocess.CompletedProcess[str]:
    """Start the command as a script would."""
    return subprocess.run([shim, *words], env=environment(steps_file), capture_output=True, text=True, **more)


def environment(steps_file: Path | None) -> dict[str, str]:
    """A script's environment, in a deployment or outside of one."""
    inside = {} if steps_file is None else {"FASTDEPLOY_STEPS_FILE": str(steps_file)}
    return {"PATH": "/usr/bin:/bin", **inside}


def told(steps_file: Path) -> list[tuple[str, str, str]]:
    """Name, state and message of what was reported."""
    steps = [json.loads(line) for line in steps_file.read_text().splitlines()]
    return [(each["name"], each["state"], each["message"]) for each in steps]


def test_step_is_reported_as_running_and_as_done(shim: Path, steps_file: Path) -> None:
    """Beginning and end are told, in that order; input and output pass through."""
    done = run(shim, "step", "Migrate", "--", "tr", "a", "b", steps_file=steps_file, input="banana")

    assert (0, "bbnbnb", "") == (done.returncode, done.stdout, done.stderr)
    assert [("Migrate", "running", ""), ("Migrate", "success", "")] == told(steps_file)


def test_exit_status_of_the_command_is_kept(shim: Path, steps_file: Path) -> None:
    """A script with `set -e` stops exactly as it would without us."""
    done = run(shim, "step", "Migrate", "--", "sh", "-c", "exit 42", steps_file=steps_file)

    assert 42 == done.returncode
    assert ("Migrate", "failure", "exit status 42") == told(steps_file)[-1]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGSEGV])
def test_command_killed_by_a_signal_ends_the_step_by_the_same(
    shim: Path, steps_file: Path, number: signal.Signals
) -> None:
    """Whoever waits sees what happened to the command."""
    done = run(shim, "step", "Migrate", "--", "sh", "-c", f"ulimit -c 0; kill -{number} $$", steps_file=steps_file)

    assert -number == done.returncode
    assert "" == done.stderr
    assert ("Migrate", "failure", f"killed by {number.name}") == told(steps_file)[-1]


def test_command_killed_by_a_signal_without_a_name_is_told_by_its_number(shim: Path, steps_file: Path) -> None:
    """Real-time signals have numbers only."""
    done = run(shim, "step", "Migrate", "--", "sh", "-c", "kill -40 $$", steps_file=steps_file)

    assert -40 == done.returncode
    assert ("Migrate", "failure", "killed by signal 40") == told(steps_file)[-1]


def test_command_that_is_missing_ends_with_127(shim: Path, steps_file: Path) -> None:
    """As in a shell, and the step says why it failed."""
    done = run(shim, "step", "Migrate", "--", "no-such-command", steps_file=steps_file)

    assert 127 == done.returncode
    assert "no-such-command: no such program" in done.stderr
    assert ("Migrate", "failure", "no-such-command: no such program") == told(steps_file)[-1]


def test_command_that_is_not_executable_ends_with_126(shim: Path, steps_file: Path) -> None:
    """As in a shell."""
    done = run(shim, "step", "Migrate", "--", str(steps_file), steps_file=steps_file)

    assert 126 == done.returncode
    assert ("Migrate", "failure", f"{steps_file}: Permission denied") == told(steps_file)[-1]


@pytest.mark.parametrize("words", [[], ["Migrate"], ["Migrate", "--"], ["Migrate", "true"], [" ", "--", "true"]])
def test_wrong_usage_runs_nothing_and_shows_an_example(shim: Path, steps_file: Path, words: list[str]) -> None:
    """Exit status 2, and what to write instead."""
    done = run(shim, "step", *words, steps_file=steps_file)

    assert 2 == done.returncode
    assert 'fastdeploy step "Migrate" -- ./manage.py migrate' in done.stderr
    assert [] == told(steps_file)


def test_outside_a_deployment_the_command_just_runs(shim: Path, tmp_path: Path) -> None:
    """A script can be tried by hand."""
    done = run(shim, "step", "Migrate", "--", "sh", "-c", "echo migrated; exit 3", cwd=tmp_path)

    assert (3, "migrated\n", "") == (done.returncode, done.stdout, done.stderr)
    assert ["bin"] == [path.name for path in tmp_path.iterdir()]


def test_step_that_cannot_be_told_still_runs(shim: Path, tmp_path: Path) -> None:
    """Telling is the lesser matter."""
    done = run(shim, "step", "Migrate", "--", "echo", "migrated", steps_file=tmp_path / "gone" / "steps")

    assert (0, "migrated\n") == (done.returncode, done.stdout)
    assert "cannot report 'Migrate'" in done.stderr


def test_command_finds_ordinary_signals(shim: Path, steps_file: Path) -> None:
    """Python ignores SIGPIPE for itself; a command must not inherit that, nor anything blocked."""
    done = run(shim, "step", "Look", "--", "grep", "-E", "Sig(Ign|Blk)", "/proc/self/status", steps_file=steps_file)

    masks = {name: int(mask, 16) for name, mask in (line.split(":") for line in done.stdout.splitlines())}
    assert 0 == masks["SigBlk"]
    assert ignored_from_outside() == [each for each in signal.Signals if masks["SigIgn"] >> (each - 1) & 1]


def ignored_from_outside() -> list[signal.Signals]:
    """What whoever runs the tests has them ignore, as shells do for what they start in the background."""
    by_python = {signal.SIGPIPE, signal.SIGXFSZ}
    return [each for each in signal.Signals if each not in by_python and signal.getsignal(each) is signal.SIG_IGN]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signal_to_the_step_reaches_the_command(shim: Path, steps_file: Path, number: signal.Signals) -> None:
    """The command may tidy up; its exit status counts."""
    name = number.name.removeprefix("SIG")
    text = f'trap "exit 9" {name}; echo ready >&2; while :; do sleep 0.02; done'
    with subprocess.Popen(
        [shim, "step", "Serve", "--", "sh", "-c", text], env=environment(steps_file), stderr=subprocess.PIPE
    ) as started:
        assert started.stderr is not None
        assert b"ready\n" == started.stderr.readline()

        started.send_signal(number)

        assert 9 == started.wait(40)


def test_signal_that_comes_with_the_start_is_not_lost(shim: Path, steps_file: Path) -> None:
    """There is no moment at which a signal ends the step and leaves its command running."""
    for _ in range(10):
        with subprocess.Popen([shim, "step", "Serve", "--", "sleep", "600"], env=environment(steps_file)) as started:
            eventually(lambda: steps_file.stat().st_size, "the first report")

            started.terminate()

            assert -signal.SIGTERM == started.wait(40)
        assert ("Serve", "failure", "killed by SIGTERM") == told(steps_file)[-1]
        os.truncate(steps_file, 0)


def test_main_is_the_same_for_the_ordinary_command_line(steps_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`python -m fastdeploy_bot step` calls the same function."""
    monkeypatch.setenv("FASTDEPLOY_STEPS_FILE", str(steps_file))

    status = step.main(["Check", "--", sys.executable, "-c", "raise SystemExit(5)"])

    assert 5 == status
    assert [("Check", "running", ""), ("Check", "failure", "exit status 5")] == told(steps_file)


def test_shim_is_written_once_and_executable(tmp_path: Path) -> None:
    """A script may be reading it: an unchanged shim is left alone."""
    process.write_shim(tmp_path / "bin")
    before = (tmp_path / "bin" / "fastdeploy").stat()

    process.write_shim(tmp_path / "bin")

    after = (tmp_path / "bin" / "fastdeploy").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    assert 0o755 == after.st_mode & 0o777
    assert ["fastdeploy"] == [path.name for path in (tmp_path / "bin").iterdir()]


def test_shim_of_an_older_version_is_replaced(tmp_path: Path, steps_file: Path) -> None:
    """After an upgrade it names the new interpreter and package."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "fastdeploy").write_text("#!/bin/sh\nexit 99\n")

    process.write_shim(tmp_path / "bin")

    assert 0 == run(tmp_path / "bin" / "fastdeploy", "step", "a", "--", "true", steps_file=steps_file).returncode
