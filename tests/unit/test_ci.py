"""CI: what GitHub's check runs, suites and statuses say, in the bot's own words."""

from __future__ import annotations

from typing import Any

import pytest

from fastdeploy_bot.forge.github import ci
from fastdeploy_bot.forge.github.api.checks import App, ListedRun, ListedSuite, Output, SuiteId
from fastdeploy_bot.forge.github.api.statuses import ListedStatus
from fastdeploy_bot.words import CheckState, StatusCheck

PASSED, FAILED, PENDING = CheckState.PASSED, CheckState.FAILED, CheckState.PENDING
ACTIONS = App(id=15368, slug="github-actions", name="GitHub Actions")
OTHER = App(id=8, slug="scanner", name="Scanner")
OURS = App(id=1234, client_id="Iv23fakehub", slug="shipper")


def run(conclusion: str | None = "success", **fields: Any) -> ListedRun:
    """A check run named test of GitHub Actions, in suite 1."""
    status = "in_progress" if conclusion is None else "completed"
    told: dict[str, Any] = {
        "id": 1,
        "name": "test",
        "status": status,
        "check_suite": SuiteId(1),
        "app": ACTIONS,
    } | fields
    return ListedRun(conclusion=conclusion, **told)


def suite(conclusion: str | None = "success", **fields: Any) -> ListedSuite:
    """Suite 1, of GitHub Actions."""
    status = "in_progress" if conclusion is None else "completed"
    told: dict[str, Any] = {"id": 1, "status": status, "latest_check_runs_count": 1, "app": ACTIONS} | fields
    return ListedSuite(conclusion=conclusion, **told)


def read(*found: ListedRun | ListedSuite | ListedStatus) -> list[StatusCheck]:
    """What all that says, to a bot whose App is OURS."""
    return ci.checks(
        [each for each in found if isinstance(each, ListedRun)],
        [each for each in found if isinstance(each, ListedSuite)],
        [each for each in found if isinstance(each, ListedStatus)],
        ours=OURS.names,
    )


@pytest.mark.parametrize(
    ("conclusion", "state", "told"),
    [
        ("success", PASSED, "succeeded"),
        ("neutral", PASSED, "succeeded"),
        ("skipped", PASSED, "succeeded"),
        ("failure", FAILED, "failed"),
        ("cancelled", FAILED, "was cancelled"),
        ("timed_out", FAILED, "timed out"),
        ("action_required", FAILED, "needs somebody to act"),
        ("stale", FAILED, "is stale"),
        ("startup_failure", FAILED, "could not be started"),
        ("something_new", FAILED, "did not succeed"),
        (None, PENDING, "is in progress"),
    ],
)
def test_a_check_run_passes_where_github_lets_a_required_one_pass(
    conclusion: str | None, state: CheckState, told: str
) -> None:
    """And what nobody knows yet is no success."""
    assert [StatusCheck(name="test", state=state, told=told)] == read(run(conclusion))


@pytest.mark.parametrize("status", ["queued", "waiting", "requested", "pending", "in_progress", "something_new"])
def test_a_check_run_that_has_not_completed_is_pending(status: str) -> None:
    """Whatever is said of its conclusion."""
    assert [PENDING] == [each.state for each in read(run("success", status=status))]


@pytest.mark.parametrize(
    ("state", "found"), [("success", PASSED), ("failure", FAILED), ("error", FAILED), ("pending", PENDING)]
)
def test_a_status_is_as_its_state(state: str, found: CheckState) -> None:
    """An error is none of our matters, and no success."""
    [told] = read(ListedStatus("ci/circleci", state, "Your tests\nran"))

    assert ("ci/circleci", found, "Your tests ran", False) == (told.name, told.state, told.said, told.own)


def test_of_several_runs_of_one_name_in_a_suite_the_newest_counts() -> None:
    """A job that was run again may have mended it, or broken it."""
    assert [PASSED] == [each.state for each in read(run("failure", id=1), run("success", id=2))]
    assert [FAILED] == [each.state for each in read(run("failure", id=2), run("success", id=1))]


def test_runs_of_one_name_in_two_suites_both_count() -> None:
    """Two workflows may have jobs of the same name."""
    assert [FAILED, PASSED] == [each.state for each in read(run("failure"), run(id=2, check_suite=SuiteId(2)))]


@pytest.mark.parametrize(
    "found",
    [
        run(app=OURS),
        run(app=App(client_id="Iv23fakehub")),
        run(name="fastdeploy / shop", app=OTHER),
        ListedStatus("fastdeploy/shop", "pending"),
        ListedStatus("Fastdeploy/Shop", "pending"),
    ],
)
def test_what_the_bot_or_its_like_reported_is_its_own(found: ListedRun | ListedStatus) -> None:
    """By its App, or by how its names begin: two bots that waited for each other would wait for ever."""
    assert [True] == [each.own for each in read(found)]


@pytest.mark.parametrize(
    ("found", "state"),
    [
        (suite(None), PENDING),
        (suite(None, status="queued"), PENDING),
        (suite("failure"), None),
        (suite(), None),
    ],
)
def test_a_suite_with_runs_counts_until_it_has_completed(found: ListedSuite, state: CheckState | None) -> None:
    """Jobs that wait for others have no runs yet. How it ended, its runs tell, of which some may be newer."""
    told = [each for each in read(run(), found) if each.suite]

    assert ([] if state is None else [state]) == [each.state for each in told]


@pytest.mark.parametrize(
    ("found", "state"),
    [
        (suite(None, status="queued", app=ACTIONS), PENDING),
        (suite(None, status="queued", app=OTHER), None),
        (suite(None, status="queued", app=None), None),
        (suite("startup_failure", app=ACTIONS), FAILED),
        (suite("failure", app=OTHER), FAILED),
        (suite(app=OTHER), None),
    ],
)
def test_a_suite_without_runs_counts_where_something_is_to_come_of_it(
    found: ListedSuite, state: CheckState | None
) -> None:
    """Apps have a suite of each push, and most never run anything; GitHub Actions makes none in vain."""
    empty = ListedSuite(found.id, found.status, found.conclusion, 0, found.app)

    assert ([] if state is None else [state]) == [each.state for each in read(empty)]


@pytest.mark.parametrize("app", [OURS, OTHER])
def test_the_suite_of_our_own_runs_does_not_count(app: App) -> None:
    """It cannot complete before the deployment has ended."""
    mine = run(None, name="fastdeploy / shop", app=app)

    assert [] == [each for each in read(mine, suite(None, app=app)) if each.suite]


def test_texts_from_outside_are_one_short_line() -> None:
    """Nothing in them turns or breaks what they stand in."""
    [told] = read(run("failure", name="te\u202est\n", output=Output(title="x" * 500)))

    assert ("te st", 100) == (told.name, len(told.said))
