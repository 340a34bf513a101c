"""The forecast: how long a deployment still takes, judged by the service's last successes.

Durations are in seconds. Each step weighs as much as it usually takes; what a run usually takes beside its steps
weighs as one more.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from statistics import median
from typing import Final

import msgspec
from peewee import ModelSelect

from fastdeploy_bot import store
from fastdeploy_bot.core import clock
from fastdeploy_bot.core.telling import history
from fastdeploy_bot.core.telling.history import Past
from fastdeploy_bot.store.models import Deployment, Step
from fastdeploy_bot.words import DeploymentState, StepState

RUNS: Final = 10
"""How many of the last successes are looked at."""
FEWEST: Final = 3
"""With fewer, nothing is foretold."""
FULLEST: Final = 0.95
"""How far a deployment has come at most before it has ended."""

SLOWER: Final = 2.0
"""How many times as long as usual a step takes at least that is told to be slow,"""
LONGER: Final = 5.0
"""and how many seconds longer: of what takes an instant, twice as long is no news."""
NO_RUN: Final = 0
"""The id of no deployment."""


def _succeeded(*runs: int) -> ModelSelect[Step]:
    done = (Step.state == StepState.SUCCESS) & Step.started.is_null(False)
    return Step.select().where(Step.deployment.in_(runs), done)


_OF_ONE: Final = store.Prepared[Step](_succeeded, places=RUNS)
"""Of as many runs as count of one service."""


class Habit(msgspec.Struct, frozen=True, kw_only=True):
    """How long a service's deployments and their steps usually take."""

    usual: float | None = None
    """The median; None where too few runs are known."""
    slow: float | None = None
    """The 90th percentile: what takes longer takes longer than usual."""
    steps: Mapping[str, float] = {}
    """By name, the median of each step."""


class Outlook(msgspec.Struct, frozen=True, kw_only=True):
    """How far a running deployment has come."""

    eta: float | None = None
    """Seconds left; None where that cannot be said."""
    progress: float | None = None
    """From 0 to 0.95; None where that cannot be said."""
    longer: bool = False
    """Whether it takes longer than usual."""


class Slow(msgspec.Struct, frozen=True):
    """A step that takes, or took, much longer than usual; in seconds."""

    step: str
    usual: float
    took: float


def habit(service: int, *, before: int | None = None) -> Habit:
    """What the last successes of the service tell, by its row's id; with `before`, those before that deployment."""
    return habits({service: history.good(service, before=before)}, stepped=[service])[service]


def habits(pasts: Mapping[int, Sequence[Past]], *, stepped: Collection[int]) -> dict[int, Habit]:
    """The same of several services, from their last runs, newest first; steps only of those in `stepped`."""
    good = {
        service: [past for past in runs if past.state is DeploymentState.SUCCESS][:RUNS]
        for service, runs in pasts.items()
    }
    steps = _steps(past.id for service in stepped for past in good[service] if len(good[service]) >= FEWEST)
    return {service: _habit(runs, steps) for service, runs in good.items()}


def slow(habit: Habit, steps: Iterable[Step], *, now: int) -> list[Slow]:
    """The steps that take, or took, much longer than usual, by how much longer."""
    found = (_slow(habit, step, now) for step in steps)
    return sorted((each for each in found if each is not None), key=lambda each: each.usual - each.took)


def outlook(habit: Habit, deployment: Deployment, steps: Sequence[Step], *, now: int) -> Outlook:
    """How far a running deployment has come at the moment `now`; of one that does not run, nothing is said."""
    if deployment.state != DeploymentState.RUNNING or habit.usual is None or habit.slow is None:
        return Outlook()
    elapsed = _between(deployment.started, now)
    done = _done(habit, steps, now)
    known = sum(habit.steps.get(step.name, 0.0) for step in steps)
    beside = max(0.0, habit.usual - known)
    left = known - done + beside * (1 - done / known) if known else max(0.0, beside - elapsed)
    whole = known + beside
    longer = elapsed > habit.slow
    return Outlook(
        eta=None if longer else round(left, 1),
        progress=min(FULLEST, round(1 - left / whole, 3)) if whole else None,
        longer=longer,
    )


def _done(habit: Habit, steps: Sequence[Step], now: int) -> float:
    """The weight of what is behind: of steps that ended or were passed by, and of the running one's time so far."""
    furthest = max((step.position for step in steps if step.state != StepState.PENDING), default=0)
    return sum(_part(habit.steps.get(step.name, 0.0), step, furthest, now) for step in steps)


def _part(usual: float, step: Step, furthest: int, now: int) -> float:
    if step.state == StepState.RUNNING and step.position == furthest:
        return min(usual, _between(step.started, now))
    return usual if step.position <= furthest else 0.0


def _habit(runs: Sequence[Past], steps: Mapping[int, Sequence[Step]]) -> Habit:
    if len(runs) < FEWEST:
        return Habit()
    lengths = sorted(past.took for past in runs)
    taken: dict[str, list[float]] = {}
    for past in runs:
        for step in steps.get(past.id, []):
            taken.setdefault(step.name, []).append(_between(step.started, step.finished))
    return Habit(
        usual=median(lengths),
        slow=lengths[math.ceil(0.9 * len(lengths)) - 1],
        steps={name: median(times) for name, times in taken.items()},
    )


def _slow(habit: Habit, step: Step, now: int) -> Slow | None:
    usual = habit.steps.get(step.name)
    if usual is None or step.started is None:
        return None
    took = _between(step.started, now if step.state == StepState.RUNNING else step.finished)
    return Slow(step.name, usual, took) if took >= max(SLOWER * usual, usual + LONGER) else None


def _steps(runs: Iterable[int]) -> dict[int, list[Step]]:
    """The steps that succeeded, by run."""
    numbers, found = list(runs), dict[int, list[Step]]()
    missing = RUNS - len(numbers)
    for row in _OF_ONE.all(*numbers, *[NO_RUN] * missing) if missing >= 0 else _succeeded(*numbers):
        found.setdefault(row.deployment_id, []).append(row)
    return found


def _between(start: int | None, end: int | None) -> float:
    """Seconds; a clock that was set back makes none of them negative."""
    return 0.0 if start is None or end is None else max(0, end - start) / clock.SECOND
