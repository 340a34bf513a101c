"""Where in the output a step was told, and when the output came: what the child notes of both."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import runs
from fastdeploy_bot.core.output import logparts
from fastdeploy_bot.core.output.logparts import Span
from fastdeploy_bot.runner import output, process
from runs import Run, Stage, eventually, number_in

TELL = """
tell() {
    echo "{\\"name\\": \\"$1\\", \\"state\\": \\"$2\\"}" >> $FASTDEPLOY_STEPS_FILE
    until grep -q "\\"name\\": \\"$1\\", \\"state\\": \\"$2\\"" $FASTDEPLOY_STEPS_FILE.log; do sleep 0.01; done
}
"""
"""Tells a step by file, and waits until the child has seen it."""
READ = "until [ -s ${FASTDEPLOY_STEPS_FILE%steps}times ]; do sleep 0.01; done"
"""Waits until the child has read what was printed first."""
PYTHON = f"#!{sys.executable} -IS"


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """A service's folder, whose runs are ended with the test."""
    process.write_shim(tmp_path / "bin")
    yield from runs.stage(tmp_path)


def play(stage: Stage, text: str, *, first: str = "#!/bin/sh", **changes: Any) -> Run:
    """A run of that script, which finds `fastdeploy` in its path, to its end."""
    stage.script(text, first=first)
    run = stage.folder()
    path = f"{stage.service.parent}/bin:/usr/bin:/bin"
    env = {"PATH": path, "FASTDEPLOY_STEPS_FILE": run.folder.file("steps")}
    process.start(stage.job(run, env=env, **changes))
    run.end()
    return run


def parts(run: Run) -> list[tuple[str | None, bytes]]:
    """What was written in which step."""
    log = run.log
    found = logparts.parts(spans(run), times(run), len(log))
    return [(part.name, log[part.start : part.end]) for part in found]


def spans(run: Run) -> list[Span]:
    """The steps in the journal."""
    told: dict[str, dict[str, Any]] = {}
    for entry in run.folder.read_steps(0)[0]:
        name, begin, end = str(entry["name"]), ("started", "log_from"), ("finished", "log_to")
        at, since = (entry["at"], entry["place"]), (entry["started"], entry["begun"])
        step = told.setdefault(name, {"name": name})
        if entry["state"] == "running":
            step |= dict(zip(begin, at, strict=True))
        else:
            step |= dict(zip(end, at, strict=True))
            if "started" not in step:
                step |= dict(zip(begin, since, strict=True))
    return [Span(**step) for step in told.values()]


def times(run: Run) -> list[tuple[int, int]]:
    """What the child noted of when output came."""
    return run.folder.read_times(0)[0]


# --- where steps were told ---


def test_fastdeploy_step_has_what_its_command_printed_and_nothing_else(stage: Stage) -> None:
    """However short it was, and whatever is printed right before and after it."""
    run = play(
        stage,
        "echo before; fastdeploy step Build -- echo building; echo after; "
        "fastdeploy step One -- sh -c 'echo one; echo more >&2'; fastdeploy step Two -- echo two; echo end",
    )

    assert [
        (None, b"before\n"),
        ("Build", b"building\n"),
        (None, b"after\n"),
        ("One", b"one\nmore\n"),
        ("Two", b"two\n"),
        (None, b"end\n"),
    ] == parts(run)


def test_fastdeploy_step_knows_its_place_though_the_child_is_late(stage: Stage) -> None:
    """It counts what waits in the pipe: nothing depends on how soon the child looks."""
    run = stage.folder()
    ready, go, done = (stage.service / name for name in ("ready", "go", "done"))
    stage.script(
        f"echo $$ > {ready}; until [ -e {go} ]; do sleep 0.01; done; "
        f"echo before; fastdeploy step Build -- seq 20000; echo after; fastdeploy step Two -- echo two; touch {done}"
    )
    path = f"{stage.service.parent}/bin:/usr/bin:/bin"
    process.start(stage.job(run, env={"PATH": path, "FASTDEPLOY_STEPS_FILE": run.folder.file("steps")}))
    number_in(ready)

    os.kill(run.child, signal.SIGSTOP)
    go.touch()
    eventually(done.exists, "the last words")
    os.kill(run.child, signal.SIGCONT)
    run.end()

    numbers = b"".join(b"%d\n" % number for number in range(1, 20_001))
    assert [(None, b"before\n"), ("Build", numbers), (None, b"after\n"), ("Two", b"two\n")] == parts(run)


@pytest.mark.parametrize("to", ["> elsewhere 2>&1", "2>&1 | cat", ">&- 2>&-"])
def test_fastdeploy_step_whose_output_goes_elsewhere_is_a_step_all_the_same(stage: Stage, to: str) -> None:
    """Its place is then what the child sees, like that of a step told by file."""
    run = play(stage, f"echo before; fastdeploy step Build -- true {to}")

    assert [("Build", "running", ""), ("Build", "success", "")] == run.steps
    assert b"before\n" == run.log
    assert all(entry["place"] in (0, 7) for entry in run.folder.read_steps(0)[0])


def test_step_told_by_file_begins_and_ends_where_the_child_saw_it(stage: Stage) -> None:
    """What was printed before it was seen is not the step's, and what comes afterwards is."""
    run = play(stage, f"{TELL}echo before; {READ}; tell Build running; echo building; tell Build success; echo after")

    assert [(None, b"before\n"), ("Build", b"building\n"), (None, b"after\n")] == parts(run)


def test_steps_in_the_output_end_behind_the_lines_that_tell_them(stage: Stage) -> None:
    """And each began where the one before it ended; the last one without a newline."""
    one, two, three = (f'{{"name": "{name}", "state": "success"}}' for name in ("one", "two", "three"))
    text = f"sys.stdout.write('a\\n{one}\\nb\\nc\\n{two}\\nd\\n{three}')"

    run = play(stage, f"import sys\n{text}", first=PYTHON, step_source="stdout")

    assert [
        ("one", f"a\n{one}\n".encode()),
        ("two", f"b\nc\n{two}\n".encode()),
        ("three", f"d\n{three}".encode()),
    ] == parts(run)


def test_places_are_those_of_the_masked_output(stage: Stage) -> None:
    """What is hidden has another length than what stands for it."""
    run = play(
        stage,
        "echo hunter2hunter2; fastdeploy step Build -- echo x hunter2hunter2 y; echo hunter2hunter2",
        secrets=["hunter2hunter2"],
    )

    assert [(None, b"********\n"), ("Build", b"x ******** y\n"), (None, b"********\n")] == parts(run)


def test_place_that_a_script_made_up_holds_up_no_step(stage: Stage) -> None:
    """Neither beyond all that comes, nor before all that was."""
    told = """echo '{"name": "%s", "state": "running", "output_bytes": %s}' >> $FASTDEPLOY_STEPS_FILE"""
    many = "; ".join(told % each for each in (("A", 10**30), ("B", -5), ("C", '"much"'), ("D", "true")))

    run = play(stage, f"echo before; {many}; until grep -q D $FASTDEPLOY_STEPS_FILE.log; do sleep 0.01; done; echo end")

    assert ["A", "B", "C", "D"] == [name for name, _, _ in run.steps]
    assert all(entry["place"] in (0, 7) for entry in run.folder.read_steps(0)[0])


def test_without_a_word_on_what_was_read_steps_are_told_all_the_same(stage: Stage) -> None:
    """The script took the file away: its own loss."""
    gone = "until rm ${FASTDEPLOY_STEPS_FILE%steps}pipe 2> /dev/null; do sleep 0.01; done"  # it comes beside the script

    run = play(stage, f"{gone}; fastdeploy step Build -- echo building")

    assert [("Build", "running", ""), ("Build", "success", "")] == run.steps
    assert b"building\n" == run.log


# --- when output came ---


def test_output_is_noted_with_the_time_at_which_it_came(stage: Stage) -> None:
    """Each line that comes by itself has a time of its own, between those of its neighbours."""
    clock = f"{PYTHON[2:]} -c 'import time; print(time.time_ns() // 1000000)'"
    run = play(stage, f"for each in 1 2 3; do {clock}; sleep 0.05; done")

    printed = [int(line) for line in run.log.splitlines()]
    assert [0, 14, 28] == [place for place, _ in times(run)]
    marks = [at for _, at in times(run)]
    assert all(told <= at for told, at in zip(printed, marks, strict=True))
    assert all(at < told for told, at in zip(printed[1:], marks, strict=False))


def test_lines_of_the_bots_own_have_their_time(stage: Stage) -> None:
    """They come when there is no output to be read."""
    before = output.now()

    run = play(stage, "sleep 60", silence_timeout=0.1)

    assert run.log.startswith(b"fastdeploy: ")
    ((place, at),) = times(run)
    assert (0, True) == (place, before <= at <= output.now())


def test_flood_of_output_is_noted_coarsely(stage: Stage) -> None:
    """A mark for each few hundredths of a second, whatever the script prints; in the order of the bytes."""
    run = play(stage, "seq 2000000", log_limit=200_000)

    record = run.folder.exit_record()
    assert record is not None
    milliseconds = int(str(record["finished"])) - int(str(record["started"]))
    marks = times(run)
    assert output.BURST + 2 + milliseconds / (1_000 * output.CLOSEST) >= len(marks) > 0
    assert sorted({place for place, _ in marks}) == [place for place, _ in marks]
    assert marks[-1][0] < int(str(record["log_end"]))
