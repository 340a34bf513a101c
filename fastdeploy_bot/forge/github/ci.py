"""CI: what check runs, check suites and commit statuses say of a commit, in the bot's own words. Pure.

Source: https://docs.github.com/en/pull-requests/how-tos/merge-and-close-pull-requests/troubleshooting-required-status-checks
(success, skipped and neutral are a success of what is required), and https://docs.github.com/en/rest/checks
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from fastdeploy_bot.forge.github.api.checks import App, ListedRun, ListedSuite
from fastdeploy_bot.forge.github.api.statuses import ListedStatus
from fastdeploy_bot.words import OWN_PREFIXES, CheckState, StatusCheck

ACTIONS: Final = "github-actions"
"""The App whose suites are each there because something is going to run."""
COMPLETED: Final = "completed"
PASSED: Final = frozenset({"success", "skipped", "neutral"})
FAILED: Final[Mapping[str, str]] = {
    "failure": "failed",
    "cancelled": "was cancelled",
    "timed_out": "timed out",
    "action_required": "needs somebody to act",
    "stale": "is stale",
    "startup_failure": "could not be started",
    "error": "failed",
}
"""What is no success, in words that go on from a name. What GitHub will think of next is none either."""
UNDER_WAY: Final[Mapping[str, str]] = {"in_progress": "is in progress", "pending": "is pending"}
LONGEST_SAID: Final = 100
LONGEST_NAME: Final = 255

_INVISIBLE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]+")


def checks(
    runs: Sequence[ListedRun],
    suites: Sequence[ListedSuite],
    statuses: Sequence[ListedStatus],
    *,
    ours: frozenset[str],
) -> list[StatusCheck]:
    """All that was reported of a commit; `ours` is what our own App is called, by its id, its client id, or both.

    Of several runs of one name in one suite the newest counts: a job that was run again may have mended it. A suite
    counts as long as something is still to come of it, for example a job that waits for another one.
    """
    newest: dict[tuple[int | None, str], ListedRun] = {}
    for run in sorted(runs, key=lambda run: run.id):
        newest[run.check_suite.id if run.check_suite else None, run.name.casefold()] = run
    theirs = {number for (number, _), run in newest.items() if number is not None and not _is_own(run, ours)}
    return [
        *(_run(run, ours) for run in newest.values()),
        *(_status(status) for status in statuses),
        *(found for suite in suites if (found := _suite(suite, theirs)) is not None),
    ]


def _run(run: ListedRun, ours: frozenset[str]) -> StatusCheck:
    state, told = _standing(run.status, run.conclusion)
    said = (run.output.title if run.output else None) or ""
    name = _line(run.name, LONGEST_NAME)
    return StatusCheck(name=name, state=state, told=told, said=_line(said, LONGEST_SAID), own=_is_own(run, ours))


def _status(status: ListedStatus) -> StatusCheck:
    under_way = status.state == "pending"
    state, told = _standing("pending" if under_way else COMPLETED, status.state)
    return StatusCheck(
        name=_line(status.context, LONGEST_NAME),
        state=state,
        told=told,
        said=_line(status.description or "", LONGEST_SAID),
        own=status.context.lower().startswith(OWN_PREFIXES),
    )


def _suite(suite: ListedSuite, theirs: set[int]) -> StatusCheck | None:
    """What a suite says beyond its runs; None where that is nothing.

    Every App that may write checks has a suite of each push, whether or not it will ever run anything.
    """
    state, told = _standing(suite.status, suite.conclusion)
    if suite.id in theirs:
        matters = state is CheckState.PENDING or suite.status != COMPLETED
    else:
        # Without runs: of GitHub Actions something is still to come; whatever has failed could not even begin.
        untouched = not suite.latest_check_runs_count
        matters = untouched and (state is CheckState.FAILED or (_is_actions(suite) and state is CheckState.PENDING))
    return StatusCheck(name=_suite_name(suite.app), state=state, told=told, suite=True) if matters else None


def _standing(status: str | None, conclusion: str | None) -> tuple[CheckState, str]:
    if status != COMPLETED:
        return CheckState.PENDING, UNDER_WAY.get(status or "", "has not begun")
    if conclusion in PASSED:
        return CheckState.PASSED, "succeeded"
    return CheckState.FAILED, FAILED.get(conclusion or "", "did not succeed")


def _is_own(run: ListedRun, ours: frozenset[str]) -> bool:
    return run.name.lower().startswith(OWN_PREFIXES) or (run.app is not None and bool(run.app.names & ours))


def _is_actions(suite: ListedSuite) -> bool:
    return suite.app is not None and suite.app.slug == ACTIONS


def _suite_name(app: App | None) -> str:
    name = "" if app is None else _line(app.name or app.slug or "", LONGEST_NAME)
    return f"a check suite of {name}" if name else "a check suite"


def _line(text: str, longest: int) -> str:
    """Text from outside as one line, without what could turn or break it."""
    line = " ".join(_INVISIBLE.sub(" ", text).split())
    return line if len(line) <= longest else f"{line[: longest - 1]}…"
