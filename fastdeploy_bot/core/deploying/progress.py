"""Progress: what a run's folder holds, taken over into rows, exactly once."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Annotated

import msgspec

from fastdeploy_bot import store
from fastdeploy_bot.core.deploying import deployments, locking, steps
from fastdeploy_bot.core.deploying.deployments import Ending
from fastdeploy_bot.core.deploying.steps import Moment
from fastdeploy_bot.core.output import logs
from fastdeploy_bot.core.output.logs import Mark
from fastdeploy_bot.core.telling import changes
from fastdeploy_bot.errors import FastdeployError
from fastdeploy_bot.masking import Masker
from fastdeploy_bot.store.models import Deployment
from fastdeploy_bot.words import DeploymentState, StepReport

log = logging.getLogger(__name__)

Millis = Annotated[int, msgspec.Meta(ge=0, lt=253_402_300_800_000)]
"""Unix milliseconds, before the year 10000."""
Place = Annotated[int, msgspec.Meta(ge=0, lt=1 << 62)]


class StepEntry(StepReport, frozen=True, kw_only=True):
    """A step as the child wrote it down; times are Unix milliseconds."""

    at: Millis
    place: Place | None = None
    """How much output there was then; None where nobody can know."""
    started: Millis | None = None
    begun: Place | None = None
    """How much output there was when it began."""


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """What has come since the last look."""

    offset: int
    """The place of the output's first byte in the whole stream."""
    output: bytes
    times: Sequence[Mark] = ()
    """When it was written, in order; the first may be of bytes before it."""
    steps: Sequence[StepEntry]
    steps_read: int
    """How much of the step journal has been read with this."""

    def __bool__(self) -> bool:
        return bool(self.output or self.steps)


def absorb(number: int, progress: Progress, *, log_limit: int) -> None:
    """Take progress over, all of it or nothing; what was taken over before is passed over."""
    if progress:
        store.write(lambda: _absorb(number, progress, log_limit))


def conclude(number: int, ending: Ending, *, now: int) -> None:
    """The run has ended and all of it is in rows; one that was lost may lock its service."""

    def end() -> None:
        deployments.finish(number, ending, now=now)
        if ending.state is DeploymentState.LOST:
            locking.after_loss(number, now=now)

    store.write(end)


def fail(number: int, why: str, masker: Masker, *, now: int, log_limit: int) -> None:
    """The run could not begin: say so in its log and end it."""
    masked = masker.text(why)

    def end() -> None:
        place = logs.end(number)
        logs.append(number, place, f"fastdeploy: {masked}\n".encode(), limit=log_limit, times=[(place, now)])
        deployments.finish(number, Ending(state=DeploymentState.FAILURE, reason=masked), now=now)

    store.write(end)


def _absorb(number: int, progress: Progress, log_limit: int) -> None:
    row = deployments.find(number)
    if progress.output:
        logs.append(number, progress.offset, progress.output, limit=log_limit, times=progress.times)
        changes.of_log(number)
    if progress.steps and progress.steps_read > row.steps_read:
        for entry in progress.steps:
            _take(number, entry)
        Deployment.update(steps_read=progress.steps_read).where(Deployment.id == number).execute()


def _take(number: int, entry: StepEntry) -> None:
    try:
        since = None if entry.started is None else Moment(entry.started, entry.begun)
        steps.report(number, entry, at=Moment(entry.at, entry.place), since=since)
    except FastdeployError as error:
        log.warning("step passed over", extra={"deployment": number, "why": str(error)})
