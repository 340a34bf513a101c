"""The child: one script from its first line to its exit record, with real processes."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import runs
from fastdeploy_bot.runner import process
from runs import Stage, eventually, gone, number_in


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """A service's folder, whose runs are ended with the test."""
    yield from runs.stage(tmp_path)


# --- outcomes ---


def test_script_that_exits_with_0_is_a_success(stage: Stage) -> None:
    """The exit record of a good end says success, gives no reason, and counts the output."""
    _, record = stage.play("echo done")

    assert ("success", "", 0, None) == (
        record["outcome"],
        record["reason"],
        record["exit_status"],
        record["signal"],
    )
    assert len("done\n") == record["log_end"]
    assert record["started"] <= record["finished"]


def test_script_that_exits_with_3_is_a_failure_that_says_so(stage: Stage) -> None:
    """Any other exit status is a failure, with the status in the reason."""
    _, record = stage.play("exit 3")

    assert ("failure", "exit status 3", 3, None) == (
        record["outcome"],
        record["reason"],
        record["exit_status"],
        record["signal"],
    )


def test_script_killed_by_a_signal_is_a_failure_that_names_it(stage: Stage) -> None:
    """A death by signal has no exit status, but a signal and its name."""
    _, record = stage.play("kill -KILL $$")

    assert ("failure", "killed by SIGKILL", None, 9) == (
        record["outcome"],
        record["reason"],
        record["exit_status"],
        record["signal"],
    )


def test_script_that_is_missing_fails_with_the_reason_in_its_log(stage: Stage) -> None:
    """A command that is not there ends with 127 and says where it was looked for."""
    run, record = stage.play()

    assert ("failure", 127) == (record["outcome"], record["exit_status"])
    assert f"no such file in {stage.service}" in record["reason"]
    assert f"fastdeploy: {record['reason']}\n".encode() == run.log


def test_program_that_is_not_in_path_fails(stage: Stage) -> None:
    """A bare name is looked up in the script's own PATH."""
    _, record = stage.play(argv=["no-such-program"])

    assert ("failure", 127) == (record["outcome"], record["exit_status"])
    assert "no such program in PATH" in record["reason"]


def test_script_that_is_not_executable_fails_with_advice(stage: Stage) -> None:
    """A file without the x bit ends with 126, whatever its name is."""
    stage.script("echo no", name="no such.sh").chmod(0o644)

    run, record = stage.play(argv=["./no such.sh"])

    assert ("failure", 126) == (record["outcome"], record["exit_status"])
    assert "chmod +x" in record["reason"]
    assert f"fastdeploy: {record['reason']}\n".encode() == run.log


def test_folder_in_the_place_of_the_script_is_named(stage: Stage) -> None:
    """A folder cannot be made executable; the reason does not advise it."""
    (stage.service / "deploy.sh").mkdir()

    _, record = stage.play()

    assert ("failure", 126) == (record["outcome"], record["exit_status"])
    assert "it is a folder" in record["reason"]


def test_interpreter_that_is_missing_is_named_as_the_fault(stage: Stage) -> None:
    """The script is there, so the reason speaks of its first line."""
    stage.script("echo no", first="#!/no/such/interpreter")

    _, record = stage.play()

    assert ("failure", 126) == (record["outcome"], record["exit_status"])
    assert "the interpreter that its first line names is not there" in record["reason"]


def test_script_without_a_first_line_is_no_program(stage: Stage) -> None:
    """No shell guesses at it; the reason says which line is missing."""
    path = stage.service / "deploy.sh"
    path.write_text("echo no\n")
    path.chmod(0o755)

    _, record = stage.play()

    assert ("failure", 126) == (record["outcome"], record["exit_status"])
    assert "#!/bin/sh" in record["reason"]


def test_service_folder_that_is_gone_is_named_as_the_fault(stage: Stage) -> None:
    """The working directory is looked at before the script."""
    _, record = stage.play(cwd=str(stage.service / "gone"))

    assert "failure" == record["outcome"]
    assert f"its folder {stage.service}/gone is not there" in record["reason"]


def test_script_still_open_for_writing_is_waited_for(stage: Stage) -> None:
    """A script that was just written may be busy for a moment: that is no failure."""
    path = stage.script("", name="true")
    path.write_bytes(Path("/bin/true").read_bytes())
    with path.open("ab"):
        run = stage.begin(argv=["./true"])
        eventually(lambda: run.folder.claimed(), "the claim")

    assert "success" == run.end()["outcome"]


# --- what the script finds ---


def test_script_finds_exactly_the_environment_of_its_job(stage: Stage) -> None:
    """Nothing of the bot's own environment comes through; the run's cookie is added."""
    env = {"PATH": "/usr/bin:/bin", "GREETING": "hällo wörld\n2"}

    run, _ = stage.play(argv=["/usr/bin/env", "-0"], env=env)

    found = dict(pair.split("=", 1) for pair in run.log.decode().rstrip("\0").split("\0"))
    assert {**env, "FASTDEPLOY_RUN": run.folder.name} == found


def test_script_runs_in_its_folder_with_empty_input_and_a_session_of_its_own(stage: Stage) -> None:
    """Working directory, standard input, session and umask are what the contract says."""
    run, _ = stage.play('pwd; cat; umask; ps -o sid= -p $$ | tr -d " "; echo $$')

    cwd, mask, session, pid = run.log.decode().split()
    assert str(stage.service) == cwd
    assert 0o022 == int(mask, 8)
    assert pid == session


def test_script_has_three_open_files_and_ordinary_signals(stage: Stage) -> None:
    """Neither locks nor pipes leak into the script, and no signal is ignored or blocked."""
    code = (
        "import os, pathlib\n"
        "print(sorted(os.listdir('/proc/self/fd'), key=int)[:-1])\n"
        "print([line for line in pathlib.Path('/proc/self/status').read_text().splitlines() if line[:6] == 'SigBlk'])\n"
    )
    stage.script(code, first=f"#!{sys.executable} -IS")
    run, _ = stage.play()
    ignored, _ = stage.play("grep SigIgn /proc/self/status")

    assert ["['0', '1', '2']", "['SigBlk:\\t0000000000000000']"] == run.log.decode().splitlines()
    mask = int(ignored.log.split()[1], 16)
    assert [] == [each for each in signal.Signals if mask >> (each - 1) & 1]


def test_job_larger_than_a_pipe_arrives_whole(stage: Stage) -> None:
    """A context may be larger than the 64 KiB that a pipe takes at once."""
    big = "x" * 100_000

    run, _ = stage.play('printf %s "$BIG" | wc -c', env={"PATH": "/usr/bin:/bin", "BIG": big})

    assert b"100000\n" == run.log


def test_config_is_there_for_the_script_alone_and_gone_afterwards(stage: Stage) -> None:
    """What ephes/fastdeploy scripts read holds a token: mode 0600, removed at the end."""
    run = stage.folder()
    config = Path(run.folder.file("config.json"))
    stage.script(f"stat -c %a {config}; cat {config}")

    process.start(stage.job(run, config={"access_token": "t0ken"}))
    run.end()

    mode, content = run.log.decode().split("\n", 1)
    assert "600" == mode
    assert {"access_token": "t0ken"} == json.loads(content)
    assert not config.exists()


# --- output ---


def test_both_streams_come_in_the_order_of_their_writing(stage: Stage) -> None:
    """Standard output and error are one pipe, so the log reads as a terminal would."""
    run, _ = stage.play("echo 1; echo 2 >&2; echo 3; echo 4 >&2")

    assert b"1\n2\n3\n4\n" == run.log


def test_output_is_kept_byte_for_byte(stage: Stage) -> None:
    """Binary output without a newline at its end is not touched."""
    data = os.urandom(3_000_000)
    (stage.service / "data").write_bytes(data)

    run, record = stage.play("cat data")

    assert len(data) == record["log_end"]
    assert data == run.log


def test_output_beyond_the_limit_keeps_its_head_and_its_tail(stage: Stage) -> None:
    """The first and the last half of the limit are kept whole, each byte at its own offset, on bounded disk."""
    limit = 1 << 20
    data = os.urandom(50 << 20)
    (stage.service / "data").write_bytes(data)

    run, record = stage.play("cat data", log_limit=limit)

    (zero, head), (start, tail) = run.pieces()
    kept = sum(Path(run.folder.segment(offset)).stat().st_size for offset in run.folder.segments())
    assert len(data) == record["log_end"]
    assert (0, data[: limit // 2]) == (zero, head)
    assert data[start:] == tail
    assert limit // 2 <= len(tail)
    assert kept <= 1.25 * limit


def test_output_goes_through_the_same_memory_however_much_it_is(stage: Stage) -> None:
    """Pages that are given back to the kernel are cleared before they come again, which takes longer than masking."""
    size = 100_000_000
    go = stage.service / "go"
    run = stage.begin(f"head -c {size} /dev/zero; until [ -e {go} ]; do sleep 0.02; done", log_limit=300_000)
    eventually(lambda: run.folder.read_log(size - 1, 1)[1], "the last byte")

    faults = int(Path(f"/proc/{run.child}/stat").read_text().rpartition(")")[2].split()[7])
    go.touch()
    run.end()

    assert size // os.sysconf("SC_PAGE_SIZE") // 3 > faults


def test_script_that_closes_its_streams_is_still_followed(stage: Stage) -> None:
    """The end of the output is not the end of the script."""
    _, record = stage.play("echo bye; exec >&- 2>&-; sleep 0.3; exit 4")

    assert 4 == record["exit_status"]


def test_daemon_that_keeps_the_output_open_holds_the_end_back_for_a_moment_only(stage: Stage) -> None:
    """A script may well start a daemon: it lives on, and the deployment ends."""
    pid_file = stage.service / "pid"

    run, record = stage.play(f"sleep 60 & echo $! > {pid_file}; echo started")

    assert "success" == record["outcome"]
    assert record["finished"] - record["started"] < 20_000
    assert b"started\n" == run.log
    assert not gone(number_in(pid_file))
