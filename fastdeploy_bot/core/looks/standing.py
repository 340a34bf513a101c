"""Standing: how the services stand, for one look at all of them, in a number of queries that does not grow with them.

What is answered holds only what the reader may see; times are Unix milliseconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import IntEnum, StrEnum
from typing import Any, Final, NamedTuple

import msgspec
from peewee import ModelSelect

from fastdeploy_bot.core import locks
from fastdeploy_bot.core.deploying import services
from fastdeploy_bot.core.files.catalogue import Entry
from fastdeploy_bot.core.files.servicefile import Visibility
from fastdeploy_bot.core.locks import Lock
from fastdeploy_bot.core.people import access
from fastdeploy_bot.core.people.access import Action
from fastdeploy_bot.core.pushes import lag
from fastdeploy_bot.core.pushes.lag import Lag
from fastdeploy_bot.core.telling import forecast, history, steplists
from fastdeploy_bot.core.telling.forecast import Habit, Outlook
from fastdeploy_bot.core.telling.history import Past
from fastdeploy_bot.store.models import Deployment, Service, Step
from fastdeploy_bot.words import OPEN_STATES, UNDER_WAY, DeploymentState, Origin, Principal, StepState

RECENT: Final = 20


class Sight(StrEnum):
    """How much of a service somebody sees."""

    STATE = "state"
    """State and age."""
    COMMITS = "commits"
    """Also commits, steps and logs; no names of people, hosts or reasons."""
    ALL = "all"


class Need(IntEnum):
    """How much a service needs somebody to look at it; the least number first."""

    FAILED = 1
    RUNNING = 2
    WAITING = 3
    FINE = 4
    NEVER = 5
    BROKEN = 6


class Seen(NamedTuple):
    """A service that somebody may see, and how much of it."""

    service: Service
    sight: Sight


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """A deployment as it is seen; what the reader may not see is empty."""

    id: int
    service: str
    state: DeploymentState
    created: int
    started: int | None
    finished: int | None
    sha: str = ""
    ref: str = ""
    before: str = ""
    repository: str = ""
    title: str = ""
    exit_status: int | None = None
    signal: int | None = None
    actor: str = ""
    origin: Origin | None = None
    reason: str = ""
    host: str = ""
    parent: int | None = None
    taken_over_by: int | None = None
    cancelled_by: str = ""
    cancelling: bool = False
    """Asked to stop, and still running."""
    sight: Sight

    @property
    def since(self) -> int:
        """When its present state began, or what is known of that."""
        return self.finished or self.started or self.created

    @property
    def took(self) -> float | None:
        """Seconds from beginning to end; None where it has not had both, or where that is not theirs to see."""
        if self.sight is Sight.STATE or not self.finished or not self.started:
            return None
        return (self.finished - self.started) / 1_000

    def elapsed(self, now: int) -> float:
        """Seconds since it began."""
        return max(0, now - (self.started or now)) / 1_000


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """How one service stands."""

    name: str
    need: Need
    run: Run | None
    """What is told of it first: what runs, else how the last one ended, else what waits."""
    live: Run | None
    """The last success."""
    waiting: Sequence[Run]
    """What has not begun, oldest first."""
    step: str
    """The step at which `run` is or failed."""
    outlook: Outlook
    past: Sequence[Past]
    """The last runs that have ended, oldest first; none for those who see no more than its state."""
    usual: float | None
    """How many seconds its deployments usually take; None where that is not known, or not theirs to see."""
    problem: str
    """Why its file cannot be used."""
    lock: Lock | None
    sight: Sight
    startable: bool
    """Whether its file lets deployments start."""
    lag: Lag | None
    """How far what is live is behind the newest push; None where no push came."""

    def newer(self, run: Run) -> Run | None:
        """What came after one of its deployments and decides what is live in the end; None where that is its commit."""
        running = self.run if self.run is not None and self.run.state is DeploymentState.RUNNING else None
        last = max(filter(None, (self.live, running, *self.waiting)), key=lambda each: each.id, default=None)
        return last if last is not None and last.id > run.id and last.sha != run.sha else None


def sight(who: Principal, visibility: Visibility) -> Sight | None:
    """How much of a service of that visibility somebody sees; None where it does not exist for them."""
    if access.may(who, Action.BROWSE):
        return Sight.ALL
    if access.may(who, Action.READ, visibility=visibility):
        return Sight.COMMITS
    return Sight.STATE if access.may(who, Action.GLANCE, visibility=visibility) else None


def seen(who: Principal, entries: Mapping[str, Entry]) -> list[Seen]:
    """Every living service that somebody may see, by name."""
    found = ((row, sight(who, visibility_of(row.name, entries))) for row in services.everything(entries))
    return [Seen(row, much) for row, much in found if much is not None]


def visibility_of(name: str, entries: Mapping[str, Entry]) -> Visibility:
    """A service's visibility by its file."""
    entry = entries.get(name)
    return Visibility.PRIVATE if entry is None else entry.visibility


def board(services: Sequence[Seen], entries: Mapping[str, Entry], *, now: int) -> list[Standing]:
    """How these services stand, those that need somebody most first."""
    ids = [row.id for row, _ in services]
    under_way = _by_service(rows(ids).where(Deployment.state.in_(UNDER_WAY)))
    pasts = history.by_service(ids)
    ended, live = _newest(pasts)
    told = [history.foremost(under_way.get(number, []), ended.get(number)) for number in ids]
    steps = _steps(row for row in told if row is not None)
    lags = lag.of([row for row, _ in services], {number: row.sha for number, row in live.items()}, entries)
    running = [row.service_id for row in told if row is not None and row.state == DeploymentState.RUNNING]
    habits = forecast.habits(pasts, stepped=running)
    standings = [
        _standing(
            each,
            entries.get(each.service.name),
            told=row,
            live=live.get(each.service.id),
            waiting=[one for one in under_way.get(each.service.id, []) if one.state in OPEN_STATES],
            steps=steps.get(row.id, []) if row is not None else [],
            behind=lags.get(each.service.id),
            past=pasts[each.service.id],
            habit=habits[each.service.id],
            now=now,
        )
        for each, row in zip(services, told, strict=True)
    ]
    return sorted(standings, key=_urgency)


def runs(services: Sequence[Seen], *, before: int, limit: int = RECENT) -> list[Run]:
    """The deployments of these services before that id, newest first."""
    much = {row.id: how for row, how in services}
    found = rows(list(much)).where(Deployment.id < before).order_by(Deployment.id.desc()).limit(limit)
    return [run(row, much[row.service_id]) for row in found]


def ended(service: Seen, *, limit: int) -> list[Run]:
    """The last deployments of a service that have ended, however that was, newest first."""
    final = [state for state in DeploymentState if state.final]
    found = rows([service.service.id]).where(Deployment.state.in_(final))
    return [run(row, service.sight) for row in found.order_by(Deployment.id.desc()).limit(limit)]


def rows(services: Sequence[int]) -> ModelSelect[Deployment]:
    """Deployments with their services, without what pages never show and may be large."""
    shown = [field for name, field in Deployment._meta.fields.items() if name not in {"context", "definition"}]
    query = Deployment.select(*shown, Service).join(Service)
    return query.where(Deployment.service.in_(list(services))).order_by(Deployment.id)


def run(row: Deployment, sight: Sight) -> Run:
    """A deployment from its row, as somebody with that sight sees it."""
    state = DeploymentState(row.state)
    facts: dict[str, Any] = {  # keywords of Run, each of its own type
        "id": row.id,
        "service": row.service.name,
        "state": state,
        "created": row.created,
        "started": row.started,
        "finished": row.finished,
        "sight": sight,
    }
    if sight is not Sight.STATE:
        facts |= {name: getattr(row, name) for name in ("sha", "ref", "before", "repository", "title")}
        facts |= {"exit_status": row.exit_status, "signal": row.signal}
    if sight is Sight.ALL:
        facts |= {
            "actor": row.actor,
            "origin": Origin(row.origin),
            "reason": row.reason,
            "host": row.host or "",
            "parent": row.parent_id,
            "taken_over_by": row.taken_over_by_id,
            "cancelled_by": row.cancelled_by or "",
            "cancelling": state is DeploymentState.RUNNING and row.cancelled_by is not None,
        }
    return Run(**facts)


def success_rate(service: int, *, last: int) -> tuple[int, int]:
    """Of the service's last deployments that ran to an end, how many succeeded, and of how many."""
    ended = (DeploymentState.SUCCESS, *history.BAD)
    rows = Deployment.select(Deployment.state).where(Deployment.service == service, Deployment.state.in_(ended))
    states = [row.state for row in rows.order_by(Deployment.id.desc()).limit(last)]
    return states.count(DeploymentState.SUCCESS), len(states)


def _standing(
    seen: Seen,
    entry: Entry | None,
    *,
    told: Deployment | None,
    live: Deployment | None,
    waiting: Sequence[Deployment],
    steps: Sequence[Step],
    behind: Lag | None,
    past: Sequence[Past],
    habit: Habit,
    now: int,
) -> Standing:
    service, sight = seen
    problem = service.problem if entry is None else entry.problem
    readable = sight is not Sight.STATE
    return Standing(
        name=service.name,
        need=_need(told, problem),
        run=None if told is None else run(told, sight),
        live=None if live is None else run(live, sight),
        waiting=[run(each, sight) for each in waiting],
        step=_step(steps) if readable else "",
        outlook=Outlook() if told is None else forecast.outlook(habit, told, steps, now=now),
        past=past[: history.LAST][::-1] if readable else [],
        usual=habit.usual if readable else None,
        problem=problem if sight is Sight.ALL else "",
        lock=locks.of(service) if sight is Sight.ALL else None,
        sight=sight,
        startable=entry is not None and entry.file is not None,
        lag=_seen_lag(behind, sight),
    )


def _seen_lag(found: Lag | None, sight: Sight) -> Lag | None:
    if found is None or sight is Sight.STATE:
        return None
    return found if sight is Sight.ALL else lag.public(found)


def _need(told: Deployment | None, problem: str) -> Need:
    state = None if told is None else DeploymentState(told.state)
    if state in history.BAD:
        return Need.FAILED
    if state is DeploymentState.RUNNING:
        return Need.RUNNING
    if state in OPEN_STATES:
        return Need.WAITING
    if problem:
        return Need.BROKEN
    return Need.NEVER if state is None else Need.FINE


def _step(steps: Iterable[Step]) -> str:
    """The step that failed, else the one that runs."""
    by_state = {step.state: step.name for step in steps}
    name: str = by_state.get(StepState.FAILURE) or by_state.get(StepState.RUNNING) or ""
    return name


def _urgency(standing: Standing) -> tuple[int, int, str]:
    newest_first = standing.need in (Need.FAILED, Need.RUNNING) and standing.run is not None
    return standing.need, -standing.run.since if newest_first and standing.run else 0, standing.name


def _by_service(query: Iterable[Deployment]) -> dict[int, list[Deployment]]:
    found: dict[int, list[Deployment]] = {}
    for row in query:
        found.setdefault(row.service_id, []).append(row)
    return found


def _newest(pasts: Mapping[int, Sequence[Past]]) -> tuple[dict[int, Deployment], dict[int, Deployment]]:
    """For each service its newest deployment that ran and has ended, and its newest success."""
    ended = {runs[0].id for runs in pasts.values() if runs}
    successes = (past for runs in pasts.values() if (past := next(filter(_is_success, runs), None)))
    live = {past.id for past in successes}
    found = list(rows(list(pasts)).where(Deployment.id.in_(list(ended | live))))
    return (
        {row.service_id: row for row in found if row.id in ended},
        {row.service_id: row for row in found if row.id in live},
    )


def _is_success(past: Past) -> bool:
    return past.state is DeploymentState.SUCCESS


def _steps(deployments: Iterable[Deployment]) -> dict[int, list[Step]]:
    told = {DeploymentState.RUNNING, *history.BAD}
    return steplists.by_deployment(row.id for row in deployments if row.state in told)
