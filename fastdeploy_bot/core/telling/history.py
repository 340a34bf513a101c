"""History: how the last runs of services ended and how long they took, for many services in one look."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, cast

import msgspec
from peewee import ModelSelect, Select, fn

from fastdeploy_bot import store
from fastdeploy_bot.core import clock
from fastdeploy_bot.core.commits import successes
from fastdeploy_bot.store.models import Deployment, Service
from fastdeploy_bot.words import DeploymentState

LAST: Final = 12
"""How many of a service's last runs are looked at."""
OUTCOMES: Final = (
    DeploymentState.SUCCESS,
    DeploymentState.FAILURE,
    DeploymentState.LOST,
    DeploymentState.CANCELLED,
)
"""How what has begun may end."""


BAD: Final = frozenset({DeploymentState.FAILURE, DeploymentState.LOST})
"""Those that somebody has to look at."""
BEYOND: Final = 2**63 - 1
"""The id of no deployment: all are before it."""
_GOOD: Final = store.Prepared[Deployment](
    lambda service, before: (
        successes.of(service, Deployment.id, Deployment.started, Deployment.finished)
        .where(Deployment.id < before, Deployment.started.is_null(False))
        .limit(LAST)
    )
)


class Past(msgspec.Struct, frozen=True):
    """A run that has ended; its times are Unix milliseconds."""

    id: int
    state: DeploymentState
    started: int
    finished: int

    @property
    def took(self) -> float:
        """Seconds; a clock that was set back makes none of them negative."""
        return max(0, self.finished - self.started) / clock.SECOND


def by_service(services: Sequence[int]) -> dict[int, list[Past]]:
    """Of each service, by its row's id, the last runs of each outcome, `LAST` of each at most, newest first.

    Two queries with two looks into an index for each service and outcome, however many deployments there are.
    """
    found: dict[int, list[Past]] = {number: [] for number in services}
    spans = _spans(services)
    if spans:
        facts = (Deployment.id, Deployment.service, Deployment.state, Deployment.started, Deployment.finished)
        query = Deployment.select(*facts).where(_any(spans), Deployment.started.is_null(False))
        for number, service, state, started, finished in sorted(_tuples(query), reverse=True):
            found[service].append(Past(number, DeploymentState(state), started, finished))
    return found


def good(service: int, *, before: int | None = None) -> list[Past]:
    """The last successes of one service, `LAST` at most, newest first; with `before`, those before that deployment."""
    rows = _GOOD.tuples(service, BEYOND if before is None else before)
    return [Past(number, DeploymentState.SUCCESS, started, finished) for number, started, finished in rows]


def newest(outcome: DeploymentState) -> Any:
    """The id of the last run of the service in question that ended so. Any: a query for others, typed as none."""
    mine = (Deployment.service == Service.id) & (Deployment.state == outcome) & Deployment.started.is_null(False)
    return Deployment.select(Deployment.id).where(mine).order_by(Deployment.id.desc()).limit(1)


def foremost(under_way: Sequence[Deployment], ended: Deployment | None) -> Deployment | None:
    """Which deployment tells how a service stands: what runs, else how the last run ended if badly, else what waits.

    Of those that have not ended, oldest first, and the last run that has. One that never began tells nothing.
    """
    running = next((row for row in under_way if row.state == DeploymentState.RUNNING), None)
    bad = ended if ended is not None and ended.state in BAD else None
    return running or bad or next(iter(under_way), ended)


def _spans(services: Sequence[int]) -> list[Any]:
    """Conditions, one for each service and outcome that there are runs of: those from its oldest on that counts."""
    columns = [_oldest(outcome).alias(outcome.value) for outcome in OUTCOMES]
    looked = _tuples(Service.select(Service.id, *columns).where(Service.id.in_(list(services))))
    return [
        (Deployment.service == service) & (Deployment.state == outcome) & (Deployment.id >= oldest)
        for service, *ids in looked
        for outcome, oldest in zip(OUTCOMES, ids, strict=True)
        if oldest is not None
    ]


def _oldest(outcome: DeploymentState) -> Select:
    """The oldest run of the service in question that ended so, of as many as count."""
    last = newest(outcome).limit(LAST).alias("newest")
    return Select([last], [fn.MIN(last.c.id)])


def _any(conditions: Sequence[Any]) -> Any:
    """All of them joined by OR, as a flat tree: SQL and Python bound how deep a condition may be."""
    if len(conditions) == 1:
        return conditions[0]
    half = len(conditions) // 2
    return _any(conditions[:half]) | _any(conditions[half:])


def _tuples(query: ModelSelect[Any]) -> list[tuple[Any, ...]]:
    return cast("list[tuple[Any, ...]]", list(query.tuples()))  # peewee's own types know only models
