"""Steps on their way from a real script to the journal."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import runs
from fastdeploy_bot.runner import process
from runs import Stage, eventually


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """A service's folder, whose runs are ended with the test."""
    yield from runs.stage(tmp_path)


def told(name: str, state: str) -> str:
    """A shell command that tells a step."""
    return f"echo '{json.dumps({'name': name, 'state': state})}' >> $FASTDEPLOY_STEPS_FILE"


def test_step_is_journalled_while_the_script_runs(stage: Stage) -> None:
    """Whoever watches sees a step when it begins, not when all is over."""
    run = stage.begin(f"{told('Build', 'running')}; sleep 60")

    eventually(lambda: run.steps, "the step")

    assert [("Build", "running", "")] == run.steps
    assert run.folder.alive()


def test_steps_told_in_the_last_moment_are_journalled(stage: Stage) -> None:
    """Nothing that was written before the end is missing from the journal after it, newline or not."""
    last = told("Last", "success").replace("echo ", "printf %s ")

    run, _ = stage.play(f"{told('Build', 'success')}; {last}")

    assert [("Build", "success", ""), ("Last", "success", "")] == run.steps


def test_ordinary_output_is_never_taken_for_a_step(stage: Stage) -> None:
    """A commit message could fake one."""
    run, _ = stage.play("""echo '{"name": "Fake", "state": "success"}'""")

    assert [] == run.steps


def test_steps_in_the_output_count_where_the_service_says_so(stage: Stage) -> None:
    """ephes/fastdeploy scripts print their steps; the lines stay in the log."""
    text = (
        """echo '{"name": "one", "state": "success"}'; echo noise; """
        """printf '{"name": "two", "state": "failure", "error_message": "no space"}'; exit 1"""
    )

    run, record = stage.play(text, step_source="stdout")

    assert [("one", "success", ""), ("two", "failure", "no space")] == run.steps
    assert b'{"name": "one", "state": "success"}\nnoise\n' in run.log
    assert "exit status 1" == record["reason"]


def test_flood_of_steps_neither_stops_the_child_nor_fills_the_disk(stage: Stage) -> None:
    """A script in a loop is bounded, and still runs to its own end."""
    code = (
        "import json, os\n"
        "with open(os.environ['FASTDEPLOY_STEPS_FILE'], 'a') as steps:\n"
        "    for number in range(100_000):\n"
        "        steps.write(json.dumps({'name': str(number), 'state': 'running'}) + '\\n')\n"
    )
    stage.script(code, first=f"#!{sys.executable} -IS")

    run, record = stage.play()

    assert "success" == record["outcome"]
    assert Path(run.folder.file("steps.log")).stat().st_size < 2_000_000


def test_fastdeploy_step_reports_through_the_steps_file(stage: Stage, tmp_path: Path) -> None:
    """The command that scripts find in their PATH speaks the same protocol."""
    process.write_shim(tmp_path / "bin")
    run = stage.folder()
    stage.script('fastdeploy step "Migrate" -- sh -c "echo migrating; exit 3"')
    env = {"PATH": f"{tmp_path}/bin:/usr/bin:/bin", "FASTDEPLOY_STEPS_FILE": run.folder.file("steps")}

    process.start(stage.job(run, env=env))

    record = run.end()
    assert [("Migrate", "running", ""), ("Migrate", "failure", "exit status 3")] == run.steps
    assert ("exit status 3", b"migrating\n") == (record["reason"], run.log)
