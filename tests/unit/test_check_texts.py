"""Check texts: a deployment as a check run, whatever its script called its steps and wrote."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastdeploy_bot.forge.github import check_texts
from fastdeploy_bot.forge.github.check_texts import Stage, StepFacts, Subject
from fastdeploy_bot.forge.github.texts import Facts, Successor
from fastdeploy_bot.words import DeploymentState, StepState

RUNNING, SUCCESS, FAILURE = DeploymentState.RUNNING, DeploymentState.SUCCESS, DeploymentState.FAILURE


def subject(state: DeploymentState = RUNNING, **fields: Any) -> Subject:
    """A deployment of shop, in that state."""
    given: dict[str, Any] = {
        "number": 7,
        "name": "fastdeploy / shop",
        "sha": "a" * 40,
        "page": "https://deploy.example/deployments/7",
        "facts": Facts(state=state),
        "begun": 1_800_000_000_123,
        "ended": 1_800_000_072_000 if state.final else None,
    }
    return Subject(**given | fields)


@pytest.mark.parametrize(
    ("stage", "state"),
    [
        (Stage.QUEUED, DeploymentState.QUEUED),
        (Stage.QUEUED, DeploymentState.WAITING),
        (Stage.IN_PROGRESS, DeploymentState.RUNNING),
        (Stage.SUCCESS, DeploymentState.SUCCESS),
        (Stage.FAILURE, DeploymentState.FAILURE),
        (Stage.CANCELLED, DeploymentState.CANCELLED),
        (Stage.ACTION_REQUIRED, DeploymentState.LOST),
        (Stage.QUEUED, DeploymentState.SUPERSEDED),
    ],
)
def test_each_state_is_one_of_a_check_run(stage: Stage, state: DeploymentState) -> None:
    """None but success lets a required check pass: GitHub passes `neutral` and `skipped` as well."""
    assert stage is check_texts.stage(Facts(state=state), None)


@pytest.mark.parametrize(
    ("stage", "state"), [(Stage.QUEUED, RUNNING), (Stage.SUCCESS, SUCCESS), (Stage.FAILURE, FAILURE)]
)
def test_what_was_superseded_becomes_what_took_its_place(stage: Stage, state: DeploymentState) -> None:
    """When that has ended."""
    heir = Successor("77ab01c" + "d" * 33, Facts(state=state))

    run = check_texts.run(subject(DeploymentState.SUPERSEDED, successor=heir))

    assert (stage, stage.completed) == (run.stage, run.ended is not None)
    assert "with 77ab01c" in run.title


def test_the_title_says_the_step_the_time_left_and_how_many_are_done() -> None:
    """As a commit status does, and the count."""
    steps = [StepFacts("Build", StepState.SUCCESS, 12.0), StepFacts("Migrate", StepState.RUNNING, None)]

    run = check_texts.run(subject(facts=Facts(state=RUNNING, step="Migrate", left=40.0), steps=steps))

    assert "Migrate · ≈ 40 s left · 1 of 2 steps" == run.title


def test_the_summary_has_a_line_for_each_step() -> None:
    """With what became of it, and how long it took."""
    steps = [StepFacts("Build", StepState.SUCCESS, 72.0), StepFacts("Migrate", StepState.RUNNING, None)]

    summary = check_texts.run(subject(steps=steps)).summary

    assert (
        "<code>Running</code>\n\n[Deployment 7](https://deploy.example/deployments/7)\n\n"
        "| Step | State | Took |\n|---|---|---|\n"
        "| <code>Build</code> | success | 1m 12s |\n"
        "| <code>Migrate</code> | running |  |\n"
    ) == summary


@given(st.text(alphabet=st.characters(exclude_categories=()), min_size=1, max_size=200))
def test_no_name_of_a_step_breaks_out_of_its_cell(name: str) -> None:
    """Neither by Markdown nor by HTML, nor does it mention anybody."""
    summary = check_texts.run(subject(steps=[StepFacts(name, StepState.SUCCESS, None)])).summary

    row = summary.splitlines()[-1]
    cell = re.fullmatch(r"\| <code>(.*)</code> \| success \|  \|", row)
    assert cell is not None, row
    assert not re.search(r"[^\w &#;]", cell[1]), cell[1]
    assert not re.search(r"&(?!#\d+;)|#(?!\d+;)", cell[1]), cell[1]


def test_a_summary_of_a_thousand_long_names_is_cut() -> None:
    """GitHub takes 65,535 bytes, and is told how many are left out."""
    steps = [StepFacts("|" * 190, StepState.SUCCESS, None)] * 1_000

    summary = check_texts.run(subject(steps=steps)).summary

    assert len(summary.encode()) < 65_535
    assert re.search(r"\nand 9\d\d more steps\n$", summary)


def test_last_lines_stand_between_fences_that_they_cannot_end() -> None:
    """Without colours, and in the form that a terminal would show."""
    log = b"\x1b[1mone\x1b[0m\r\n 10%\r 99%\n```` <b>|</b>\n\n"

    text = check_texts.run(subject(FAILURE, log=log)).text

    assert "The last lines of its output:\n\n`````text\none\n 99%\n```` <b>|</b>\n\n`````\n" == text


@given(st.binary(max_size=60_000))
def test_last_lines_are_never_too_many(log: bytes) -> None:
    """Whatever a script wrote."""
    run = check_texts.run(subject(FAILURE, log=log * 4))

    assert len(run.text.encode()) < 65_535
    assert len(run.annotations) <= 50


def test_places_are_noted_of_a_failure_alone() -> None:
    """A run that was called off says nothing about the code."""
    log = b"api/views.py:12: no\n"

    assert 1 == len(check_texts.run(subject(FAILURE, log=log)).annotations)
    assert 0 == len(check_texts.run(subject(DeploymentState.CANCELLED, log=log)).annotations)


@pytest.mark.parametrize(
    ("buttons", "facts"),
    [
        (["cancel"], Facts(state=DeploymentState.QUEUED)),
        (["cancel"], Facts(state=RUNNING)),
        ([], Facts(state=RUNNING, cancelling=True)),
        ([], Facts(state=DeploymentState.SUPERSEDED)),
        (["retry", "rollback"], Facts(state=SUCCESS)),
        (["retry", "rollback"], Facts(state=FAILURE)),
    ],
)
def test_there_are_buttons_for_what_can_be_done(buttons: list[str], facts: Facts) -> None:
    """In as many characters as GitHub takes."""
    actions = check_texts.run(subject(facts.state, facts=facts)).actions

    assert buttons == [action.identifier for action in actions]
    assert all(len(each.label) <= 20 and len(each.description) <= 40 and len(each.identifier) <= 20 for each in actions)


def test_a_run_that_goes_on_has_no_conclusion() -> None:
    """One that was completed has one, and the time of its end."""
    going, ended = (check_texts.updated(check_texts.run(subject(state))) for state in (RUNNING, SUCCESS))

    assert ("in_progress", "2027-01-15T08:00:00Z") == (going["status"], going["started_at"])
    assert not {"conclusion", "completed_at"} & going.keys()
    assert ("completed", "success", "2027-01-15T08:01:12Z") == tuple(
        ended[key] for key in ("status", "conclusion", "completed_at")
    )


def test_a_check_run_is_created_for_a_commit_and_known_by_our_number() -> None:
    """Which a lost answer is looked for by."""
    body = check_texts.created(check_texts.run(subject()))

    assert ("fastdeploy / shop", "a" * 40, "7", "https://deploy.example/deployments/7") == tuple(
        body[key] for key in ("name", "head_sha", "external_id", "details_url")
    )
