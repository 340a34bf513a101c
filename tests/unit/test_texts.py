"""Texts: every state of a deployment as GitHub is told it."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastdeploy_bot.forge.github import texts
from fastdeploy_bot.forge.github.texts import Facts, Status, StatusState, Successor
from fastdeploy_bot.words import DeploymentState

PENDING, SUCCESS, FAILURE, ERROR = StatusState.PENDING, StatusState.SUCCESS, StatusState.FAILURE, StatusState.ERROR
QUEUED, RUNNING = DeploymentState.QUEUED, DeploymentState.RUNNING
SUCCESSOR_SHA = "77ab01" + "c" * 34


@pytest.mark.parametrize(
    ("expected", "facts"),
    [
        (Status(PENDING, "Queued"), Facts(state=QUEUED)),
        (Status(PENDING, "Queued · waits for its file"), Facts(state=QUEUED, reason="waits for its file")),
        (Status(PENDING, "Waiting · locked by ben"), Facts(state=DeploymentState.WAITING, reason="locked by ben")),
        (Status(PENDING, "Running"), Facts(state=RUNNING)),
        (Status(PENDING, "Migrate"), Facts(state=RUNNING, step="Migrate")),
        (Status(PENDING, "Migrate · ≈ 40 s left"), Facts(state=RUNNING, step="Migrate", left=40.2)),
        (Status(PENDING, "Migrate · ≈ 1 s left"), Facts(state=RUNNING, step="Migrate", left=0.0)),
        (Status(PENDING, "Running · ≈ 3 min left"), Facts(state=RUNNING, left=170.0)),
        (Status(PENDING, "Migrate · longer than usual"), Facts(state=RUNNING, step="Migrate", left=0.0, overdue=True)),
        (Status(PENDING, "Migrate · is being cancelled"), Facts(state=RUNNING, step="Migrate", cancelling=True)),
        (Status(SUCCESS, "Deployed"), Facts(state=DeploymentState.SUCCESS)),
        (Status(SUCCESS, "Deployed in 1m 12s"), Facts(state=DeploymentState.SUCCESS, took=72.0)),
        (
            Status(FAILURE, "Failed at Migrate · exit status 1"),
            Facts(state=DeploymentState.FAILURE, step="Migrate", reason="exit status 1"),
        ),
        (Status(FAILURE, "Failed · exit status 1"), Facts(state=DeploymentState.FAILURE, reason="exit status 1")),
        (Status(ERROR, "Cancelled · by mona"), Facts(state=DeploymentState.CANCELLED, reason="by mona")),
        (Status(ERROR, "Lost · its host died"), Facts(state=DeploymentState.LOST, reason="its host died")),
        (Status(PENDING, "Superseded"), Facts(state=DeploymentState.SUPERSEDED)),
    ],
)
def test_each_state_is_told_in_githubs_words(expected: Status, facts: Facts) -> None:
    """GitHub has four states; the description says the rest."""
    assert expected == texts.status(facts)


@pytest.mark.parametrize(
    ("expected", "facts"),
    [
        (Status(PENDING, "ships with 77ab01c"), Facts(state=QUEUED)),
        (Status(PENDING, "ships with 77ab01c"), Facts(state=RUNNING, step="Migrate")),
        (Status(SUCCESS, "shipped with 77ab01c: Deployed in 9s"), Facts(state=DeploymentState.SUCCESS, took=9.0)),
        (
            Status(FAILURE, "shipped with 77ab01c: Failed at Migrate · exit status 1"),
            Facts(state=DeploymentState.FAILURE, step="Migrate", reason="exit status 1"),
        ),
        (Status(ERROR, "shipped with 77ab01c: Cancelled"), Facts(state=DeploymentState.CANCELLED)),
        (Status(ERROR, "shipped with 77ab01c: Lost"), Facts(state=DeploymentState.LOST)),
    ],
)
def test_what_was_superseded_has_the_state_of_what_took_its_place(expected: Status, facts: Facts) -> None:
    """Pending until that has ended."""
    told = texts.status(Facts(state=DeploymentState.SUPERSEDED), Successor(SUCCESSOR_SHA, facts))

    assert expected == told


def test_every_state_has_one_of_githubs() -> None:
    """None is forgotten."""
    assert set(DeploymentState) == texts.STATES.keys()


@pytest.mark.parametrize(
    ("fitting", "text"),
    [
        ("two words", " two\r\n\twords\x00 "),
        ("red", "\x1b\u202ered\u2066"),
        ("a b", "a\u2028b"),
        ("bug \N{REPLACEMENT CHARACTER}", "bug \N{BUG}"),
        ("half", "ha\ud83dlf"),
        ("x" * 140, "x" * 140),
        ("x" * 139 + "…", "x" * 141),
        ("x" * 138 + "…", "x" * 138 + " " + "y" * 9),
    ],
)
def test_a_description_is_one_visible_line_that_github_takes(fitting: str, text: str) -> None:
    """No control characters, none past U+FFFF, 140 at most."""
    assert fitting == texts.fitting(text)


@given(st.text(alphabet=st.characters(exclude_categories=()), max_size=400))
def test_no_text_makes_a_description_that_github_refuses(text: str) -> None:
    """Names of steps and reasons come from scripts."""
    told = texts.status(Facts(state=DeploymentState.FAILURE, step=text, reason=text)).description

    assert len(told) <= 140
    assert not any(unicodedata.category(each) in {"Cc", "Cf", "Cs", "Zl", "Zp"} or each > "\uffff" for each in told)
    assert told == " ".join(told.split())


@pytest.mark.parametrize(
    ("words", "seconds"),
    [
        ("0s", 0.2),
        ("0s", -1.0),
        ("59s", 59.4),
        ("1m 0s", 59.6),
        ("1m 12s", 72.0),
        ("1h 0m", 3_600.0),
        ("26h 3m", 93_800.0),
    ],
)
def test_durations_are_short(words: str, seconds: float) -> None:
    """Two units at most."""
    assert words == texts.duration(seconds)
