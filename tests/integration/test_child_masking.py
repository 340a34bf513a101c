"""What a real child hides of what its script says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

import runs
from fastdeploy_bot.masking import Masker
from fastdeploy_bot.runner.child import Complaints
from runs import Stage, eventually

SECRET = 'hunter2 "&" more'


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """A service's folder, whose runs are ended with the test."""
    yield from runs.stage(tmp_path)


def test_secret_is_hidden_and_offsets_number_what_is_left(stage: Stage) -> None:
    """Nobody who reads on from an offset knows how long the secret is."""
    run, record = stage.play("printf 'it is hunter2! now'", secrets=["hunter2!"])

    assert b"it is ******** now" == run.log
    assert len(run.log) == record["log_end"]


def test_prompt_that_begins_like_a_secret_shows_without_its_end(stage: Stage) -> None:
    """Bytes wait for a moment only, and a script may wait for ever."""
    go = stage.service / "go"

    run = stage.begin(
        f"printf 'hunter'; until [ -e {go} ]; do sleep 0.02; done; printf '2! over'", secrets=["hunter2!"]
    )

    eventually(lambda: run.log == b"hunter", "the prompt")
    go.touch()
    run.end()
    assert b"hunter******** over" == run.log


def test_reason_shows_no_secret(stage: Stage) -> None:
    """Neither in the exit record nor in the log."""
    run, record = stage.play("", argv=["./hunter2!/deploy.sh"], secrets=["hunter2!"])

    assert record["reason"].startswith("cannot run ./********/deploy.sh: ")
    assert f"fastdeploy: {record['reason']}\n".encode() == run.log


def test_steps_in_the_output_are_read_as_they_were_printed_and_kept_without_secrets(stage: Stage) -> None:
    """Masked lines would be no JSON any more; and a secret in JSON is not written as its value."""
    step = {"name": f"Log in with {SECRET}", "state": "failure", "error_message": f"no {SECRET}"}
    stage.script(f"cat <<'END'\n{json.dumps(step)}\nEND")

    run, _ = stage.play(step_source="stdout", secrets=[SECRET, '"state"'])

    assert [("Log in with ********", "failure", "no ********")] == run.steps
    assert b'{"name": "Log in with ********", ********: "failure", "error_message": "no ********"}\n' == run.log


def test_what_the_child_itself_complains_of_shows_no_secret(capfd: pytest.CaptureFixture[str]) -> None:
    """A traceback may hold anything."""
    print("KeyError: 'hunter2!'", file=Complaints(Masker(["hunter2!"])), flush=True)

    assert ("", "KeyError: '********'\n") == tuple(capfd.readouterr())
