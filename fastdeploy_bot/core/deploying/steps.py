"""Steps: what a script says of its parts, and what becomes of them at the end."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from fastdeploy_bot import store
from fastdeploy_bot.core.commits import successes
from fastdeploy_bot.core.output.logparts import Span
from fastdeploy_bot.core.telling import changes, steplists
from fastdeploy_bot.errors import Conflict, Invalid
from fastdeploy_bot.masking import Masker
from fastdeploy_bot.store.models import Deployment, Step
from fastdeploy_bot.words import DeploymentState, StepReport, StepState

LONGEST_NAME: Final = 200
LONGEST_MESSAGE: Final = 4_096
MOST_STEPS: Final = 1_000

_FIND: Final = store.Prepared[Step](
    lambda deployment, name: Step.select().where(Step.deployment == deployment, Step.name == name)
)
_CHANGING: Final = ("state", "started", "finished", "message", "log_from", "log_to")
_MAKE: Final = store.Insert(Step, "deployment", "name", "position", *_CHANGING)
_CHANGE: Final = store.Prepared[Step](
    lambda number, *values: Step.update(dict(zip(_CHANGING, values, strict=True))).where(Step.id == number),
    places=1 + len(_CHANGING),
)
_LEARNED: Final = store.Prepared[Step](
    lambda service: (
        Step.select(Step.name)
        .where(
            Step.deployment.in_(successes.of(service, Deployment.id).limit(1)),
            Step.state != StepState.SKIPPED,
        )
        .order_by(Step.position)
    )
)


class Moment(msgspec.Struct, frozen=True):
    """When something was said of a step."""

    ms: int
    """Unix milliseconds."""
    place: int | None = None
    """How much output there was then; None where nobody can know."""


def expect(deployment: Deployment, names: Sequence[str]) -> None:
    """Note the steps that are expected, as pending. To be called inside a write."""
    known = list(dict.fromkeys([*names, *_learned(deployment)]))[:MOST_STEPS]
    for position, name in enumerate(known, start=1):
        step = Step(deployment=deployment.id, name=name, position=position, state=StepState.PENDING)
        changes.of_step(_kept(step))


def masked(told: StepReport, masker: Masker) -> StepReport:
    """What was said of a step, without secrets. Raises Invalid for a name that is too long, with or without them."""
    _check(told)
    name = masker.text(told.name)[:LONGEST_NAME]
    return msgspec.structs.replace(told, name=name, message=masker.text(told.message)[:LONGEST_MESSAGE])


def report(deployment: int, told: StepReport, *, at: Moment, since: Moment | None = None) -> Step:
    """Note what was said of a step at the moment `at`; the same name again is an update.

    `since` is when it began, where that was not said at the time. To be called inside a write. Raises Invalid for names
    and messages that cannot be kept.
    """
    _check(told)
    step = _FIND.first(deployment, told.name)
    if step is None:
        position = _next_position(deployment)
        step = Step(deployment=deployment, name=told.name, position=position, state=StepState.PENDING)
    _update(step, told, at, since)
    step = _kept(step)
    changes.of_step(step)
    return step


def spans(deployment: int) -> list[Span]:
    """When and where in the log each step began and ended, in the steps' order."""
    return [Span(row.name, row.started, row.finished, row.log_from, row.log_to) for row in steplists.of(deployment)]


def settle(deployment: int, outcome: DeploymentState, *, now: int) -> None:
    """At the end, a step still running takes the outcome, and one never reached is skipped. Inside a write."""
    ended = StepState.SUCCESS if outcome is DeploymentState.SUCCESS else StepState.FAILURE
    for step in steplists.of(deployment):
        if step.state == StepState.RUNNING:
            step.state, step.finished = ended, now
        elif step.state == StepState.PENDING:
            step.state = StepState.SKIPPED
        else:
            continue
        changes.of_step(_kept(step))


def _learned(deployment: Deployment) -> Iterable[str]:
    """The steps of the service's last success."""
    return [step.name for step in _LEARNED.all(deployment.service_id)]


def _check(told: StepReport) -> None:
    if not told.name.strip() or len(told.name) > LONGEST_NAME:
        raise Invalid(f"name: expected 1 to {LONGEST_NAME} characters, got {len(told.name)}")
    if "\0" in told.name or "\0" in told.message:
        raise Invalid("name and message: a NUL character cannot be kept")


def _kept(step: Step) -> Step:
    """The step as it is written down now."""
    values = {name: getattr(step, name) for name in _CHANGING}
    if not step.id:  # it is new
        return _MAKE.run(deployment=step.deployment_id, name=step.name, position=step.position, **values)
    _CHANGE.run(step.id, *values.values())
    return step


def _next_position(deployment: int) -> int:
    count = Step.select().where(Step.deployment == deployment).count()
    if count >= MOST_STEPS:
        raise Conflict(f"this deployment has {MOST_STEPS} steps already: more are not kept")
    return count + 1


def _update(step: Step, told: StepReport, at: Moment, since: Moment | None) -> None:
    changed = step.state != told.state
    if told.state is StepState.PENDING:
        _begin(step, None)
        _end(step, None)
    elif told.state is StepState.RUNNING:
        if changed or step.started is None:
            _begin(step, at)
        _end(step, None)
    elif told.state is StepState.SKIPPED:
        if changed:
            _end(step, at)
    elif changed or step.finished is None:
        if step.started is None:
            _begin(step, since or at)
        _end(step, at)
    if changed or told.message:
        step.message = told.message[:LONGEST_MESSAGE]
    step.state = told.state


def _begin(step: Step, at: Moment | None) -> None:
    step.started, step.log_from = (None, None) if at is None else (at.ms, at.place)


def _end(step: Step, at: Moment | None) -> None:
    step.finished, step.log_to = (None, None) if at is None else (at.ms, at.place)
