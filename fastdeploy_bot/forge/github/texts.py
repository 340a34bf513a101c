"""Texts: what a deployment is on GitHub, as the state and the description of a commit status. Pure.

Source: https://docs.github.com/en/rest/commits/statuses#create-a-commit-status
"""

from __future__ import annotations

import unicodedata
from enum import StrEnum
from typing import Final

import msgspec

from fastdeploy_bot.words import DeploymentState

LONGEST_DESCRIPTION: Final = 140
BEYOND: Final = "\N{REPLACEMENT CHARACTER}"
"""Stands for characters past U+FFFF: GitHub refuses a description with any (`doesn't accept 4-byte Unicode`)."""


class StatusState(StrEnum):
    """The states that a commit status can have."""

    ERROR = "error"
    FAILURE = "failure"
    PENDING = "pending"
    SUCCESS = "success"


class Status(msgspec.Struct, frozen=True):
    """A commit status, without its context."""

    state: StatusState
    description: str
    """One line of at most 140 characters."""


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What is told of a deployment."""

    state: DeploymentState
    reason: str = ""
    step: str = ""
    """The step that runs, or the one at which it ended; empty where there is none."""
    left: float | None = None
    """Seconds until the end, by earlier runs; None where nobody knows."""
    overdue: bool = False
    """Whether it takes longer than nearly all earlier runs did."""
    took: float | None = None
    """Seconds from begin to end."""
    cancelling: bool = False


class Successor(msgspec.Struct, frozen=True):
    """What took a superseded deployment's place."""

    sha: str
    facts: Facts


STATES: Final = {
    DeploymentState.QUEUED: StatusState.PENDING,
    DeploymentState.WAITING: StatusState.PENDING,
    DeploymentState.RUNNING: StatusState.PENDING,
    DeploymentState.SUCCESS: StatusState.SUCCESS,
    DeploymentState.FAILURE: StatusState.FAILURE,
    DeploymentState.CANCELLED: StatusState.ERROR,
    DeploymentState.LOST: StatusState.ERROR,
    DeploymentState.SUPERSEDED: StatusState.PENDING,
}
"""A superseded one stays pending until what took its place has ended."""


def status(facts: Facts, successor: Successor | None = None) -> Status:
    """What GitHub is told of a deployment; `successor` is the last one of those that took its place."""
    if facts.state is not DeploymentState.SUPERSEDED or successor is None:
        return Status(STATES[facts.state], fitting(_told(facts)))
    short, then = successor.sha[:7], successor.facts
    if not then.state.final:
        return Status(StatusState.PENDING, f"ships with {short}")
    return Status(STATES[then.state], fitting(f"shipped with {short}: {_told(then)}"))


def duration(seconds: float) -> str:
    """A length of time in words as short as `1m 12s`."""
    whole = max(0, round(seconds))
    if whole >= 3_600:
        return f"{whole // 3_600}h {whole // 60 % 60}m"
    return f"{whole // 60}m {whole % 60}s" if whole >= 60 else f"{whole}s"


def fitting(text: str) -> str:
    """The text as GitHub takes a description: one line, nothing invisible, cut with `…` where it is too long."""
    line = " ".join("".join(map(_visible, text)).split())
    return line if len(line) <= LONGEST_DESCRIPTION else f"{line[: LONGEST_DESCRIPTION - 1].rstrip()}…"


def _visible(character: str) -> str:
    category = unicodedata.category(character)
    if category in {"Cc", "Zl", "Zp"}:
        return " "
    if category in {"Cf", "Cs", "Cn"}:  # marks that turn the direction of writing, halves of characters, nothing at all
        return ""
    return character if character <= "\uffff" else BEYOND


def _told(facts: Facts) -> str:
    match facts.state:
        case DeploymentState.QUEUED:
            return _with_reason("Queued", facts)
        case DeploymentState.WAITING:
            return _with_reason("Waiting", facts)
        case DeploymentState.RUNNING:
            return _progress(facts)
        case DeploymentState.SUCCESS:
            return "Deployed" if facts.took is None else f"Deployed in {duration(facts.took)}"
        case DeploymentState.FAILURE:
            return _with_reason(f"Failed at {facts.step}" if facts.step else "Failed", facts)
        case DeploymentState.CANCELLED:
            return _with_reason("Cancelled", facts)
        case DeploymentState.LOST:
            return _with_reason("Lost", facts)
        case DeploymentState.SUPERSEDED:
            return facts.reason or "Superseded"


def _progress(facts: Facts) -> str:
    what = facts.step or "Running"
    if facts.cancelling:
        return f"{what} · is being cancelled"
    if facts.overdue:
        return f"{what} · longer than usual"
    return what if facts.left is None else f"{what} · ≈ {_left(facts.left)} left"


def _left(seconds: float) -> str:
    """About so long: nobody reads the seconds of an estimate in minutes."""
    if seconds >= 90:
        return f"{round(seconds / 60)} min"
    return f"{max(1, round(seconds))} s"


def _with_reason(word: str, facts: Facts) -> str:
    return f"{word} · {facts.reason}" if facts.reason else word
