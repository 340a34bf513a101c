"""Gates: what checks and statuses of a commit mean for a deployment that waits for them, case by case."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from fastdeploy_bot.core.deploying import gates
from fastdeploy_bot.core.deploying.gates import Gate
from fastdeploy_bot.words import CheckState, StatusCheck

PASSED, FAILED, PENDING = CheckState.PASSED, CheckState.FAILED, CheckState.PENDING
WORDS = {PASSED: "succeeded", FAILED: "failed", PENDING: "is in progress"}


def check(name: str = "test", state: CheckState = PASSED, **fields: Any) -> StatusCheck:
    """Something that was reported of the commit."""
    return StatusCheck(name=name, state=state, **({"told": WORDS[state]} | fields))


GREEN, RED, GREY = check(), check(state=FAILED), check(state=PENDING)
OWN, OWN_RED = check("fastdeploy/shop", PENDING, own=True), check("fastdeploy/shop", FAILED, own=True)
SUITE, LATE_SUITE = check("a check suite", FAILED, suite=True), check("a check suite", PENDING, suite=True)


@pytest.mark.parametrize(
    ("wanted", "found", "gate", "reason"),
    [
        (["test"], [GREEN], Gate.OPEN, ""),
        (["test"], [GREEN, check("lint", FAILED)], Gate.OPEN, ""),
        (["test"], [GREEN, SUITE, LATE_SUITE], Gate.OPEN, ""),
        (["TEST"], [GREEN], Gate.OPEN, ""),
        (["test"], [GREY], Gate.WAIT, "test is in progress"),
        (["test"], [RED], Gate.SHUT, "check test failed"),
        (["test"], [check(state=FAILED, said="3 of 80")], Gate.SHUT, "check test failed: 3 of 80"),
        (["test"], [], Gate.WAIT, "test has not been reported"),
        (["test"], [check("tests")], Gate.WAIT, "test has not been reported; there are: tests"),
        (["test", "lint"], [GREEN], Gate.WAIT, "lint has not been reported; there are: test"),
        (["test", "lint"], [], Gate.WAIT, "test, lint have not been reported"),
        (["test", "lint"], [GREEN, check("lint", PENDING)], Gate.WAIT, "lint is in progress"),
        (["test", "lint"], [RED], Gate.SHUT, "check test failed"),
        (["test", "lint"], [RED, check("lint", FAILED)], Gate.SHUT, "check test failed (and 1 more)"),
        (["test"], [GREEN, GREY], Gate.WAIT, "test is in progress"),
        (["test"], [GREEN, RED], Gate.SHUT, "check test failed"),
        (["*"], [], Gate.WAIT, "no check has been reported yet"),
        (["*"], [OWN], Gate.WAIT, "no check has been reported yet"),
        (["*"], [GREEN], Gate.OPEN, ""),
        (["*"], [GREEN, OWN, OWN_RED], Gate.OPEN, ""),
        (["*"], [GREEN, check("lint", PENDING)], Gate.WAIT, "lint is in progress"),
        (["*"], [GREEN, LATE_SUITE], Gate.WAIT, "a check suite is in progress"),
        (["*"], [SUITE], Gate.SHUT, "a check suite failed"),
        (["*"], [GREEN, check("lint", FAILED)], Gate.SHUT, "check lint failed"),
        (["*", "test"], [check("lint")], Gate.WAIT, "test has not been reported; there are: lint"),
        (["*", "test"], [check("lint"), GREEN], Gate.OPEN, ""),
        (["fastdeploy/shop"], [OWN], Gate.WAIT, "fastdeploy/shop is in progress"),
        (["fastdeploy/shop"], [OWN_RED], Gate.SHUT, "check fastdeploy/shop failed"),
        (["*", "fastdeploy/shop"], [GREEN, OWN], Gate.WAIT, "fastdeploy/shop is in progress"),
    ],
)
def test_a_judgement(wanted: Sequence[str], found: Sequence[StatusCheck], gate: Gate, reason: str) -> None:
    """Only where all that is wanted is there and has succeeded may it begin; what failed is told before what waits."""
    judged = gates.judge(wanted, found)

    assert (gate, reason) == (judged.gate, judged.reason)


def test_of_a_part_nothing_opens_the_gate() -> None:
    """What was not looked at may have failed; what is seen to have failed, has."""
    assert Gate.WAIT is gates.judge(["test"], [GREEN], whole=False).gate
    assert Gate.SHUT is gates.judge(["test"], [RED], whole=False).gate


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["CI / test"], "waits for checks: CI / test"),
        (["a", "b"], "waits for checks: a, b"),
        (list("abcdefgh"), "waits for checks: a, b, c, d, e and 3 more"),
        (["*"], "waits for all checks"),
        (["*", "a"], "waits for all checks, also a"),
    ],
)
def test_what_is_waited_for_is_one_sentence(names: Sequence[str], told: str) -> None:
    """However many names there are."""
    assert told == gates.told(names)
