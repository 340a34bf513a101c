"""Views: how services, deployments, steps, tokens and deliveries look from outside.

The API, the command line and the pages show these and nothing else; secrets, contexts and run folders are not in them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from fastdeploy_bot import store
from fastdeploy_bot.core import clock, locks
from fastdeploy_bot.core.commits import deliveries
from fastdeploy_bot.core.commits.deliveries import ToldVerdict
from fastdeploy_bot.core.telling import forecast, steplists
from fastdeploy_bot.core.telling.forecast import Habit
from fastdeploy_bot.store.models import Delivery, Deployment, Report, Service, Step, Token, User
from fastdeploy_bot.words import (
    DeploymentState,
    Origin,
    ReportKind,
    Role,
    StepState,
    WaitsFor,
)

Moment = Annotated[str, Meta(description="RFC 3339, UTC, with milliseconds", extra_json_schema={"format": "date-time"})]
"""A moment as it is shown."""


class StepView(msgspec.Struct, frozen=True):
    """A step; times are RFC 3339."""

    name: str
    state: StepState
    position: int
    started: Moment | None
    finished: Moment | None
    message: str


class ForetoldStep(StepView, frozen=True):
    """A step, and how long it usually takes."""

    usual: float | None
    """Seconds; None where too few runs are known."""


class ToldStep(StepView, frozen=True):
    """A step as the feed tells it."""

    deployment: int


class DeploymentFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A deployment as the feed tells it; times are RFC 3339, `eta` is in seconds."""

    id: int
    service: str
    state: DeploymentState
    sha: str
    ref: str
    before: str
    repository: str
    title: str
    actor: str
    origin: Origin
    created: Moment | None
    started: Moment | None
    finished: Moment | None
    exit_status: int | None
    signal: int | None
    reason: str
    waits_for: WaitsFor | None
    """What it waits for while it is `waiting`."""
    eta: float | None
    parent: int | None
    taken_over_by: int | None
    delivery: str | None
    cancelling: bool
    """Asked to stop, and still running."""
    progress: float | None
    """How far it has come, from 0 to 1; None where that cannot be said."""
    longer: bool
    """Whether it takes longer than usual."""


class ReportView(msgspec.Struct, frozen=True, kw_only=True):
    """What GitHub was told of a deployment, or of its commit for its service."""

    kind: ReportKind
    context: str
    """Under which name: that of the commit status, of the environment, or of the check run."""
    state: str | None
    description: str | None
    """As it was told last; null before the first time."""
    told: Moment | None
    owed: bool
    """Whether there is news that GitHub was not told yet."""
    problem: str
    """Why the last try to tell it was in vain; empty when it was not."""


class DeploymentView(DeploymentFacts, frozen=True, kw_only=True):
    """A deployment with its steps, and where its page is."""

    steps: list[ForetoldStep]
    report: ReportView | None
    """The commit's status; null where GitHub is not told of it."""
    reports: list[ReportView]
    """All that GitHub is told: the commit's status, its own deployment, and the check run."""
    url: str


class LiveView(msgspec.Struct, frozen=True):
    """The commit that is live: that of the last success."""

    sha: str
    ref: str
    deployment: int
    since: Moment | None


class LockView(msgspec.Struct, frozen=True, kw_only=True):
    """What keeps a service from being deployed."""

    by: str
    reason: str
    since: Moment | None
    until: Moment | None
    """When it ends by itself; null where somebody has to end it."""


class HeldBackView(msgspec.Struct, frozen=True, kw_only=True):
    """The commit that a service was rolled back from: no push brings it back, until a newer one comes."""

    sha: str
    by: str


class ServiceView(msgspec.Struct, frozen=True, kw_only=True):
    """A service as it stands."""

    name: str
    description: str
    repository: str
    environment: str
    url: str
    """Where the service itself is reached."""
    state: DeploymentState | None
    """How it stands: what runs, else how the last run ended if badly, else what waits, else how the last run ended."""
    live: LiveView | None
    behind: int | None
    """How many commits of the newest push what is live lacks; null where that is not known, or nothing is live."""
    last: DeploymentView | None
    lock: LockView | None
    held_back: HeldBackView | None
    queue: list[int]
    """The deployments that have not begun, oldest first."""
    problem: str
    """Why its service file cannot be used; empty when it can."""
    removed: Moment | None


class ServiceFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A service as the feed tells it."""

    name: str
    repository: str
    problem: str
    lock: LockView | None
    held_back: HeldBackView | None
    removed: Moment | None


class DeliveryFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery and its verdicts, as the feed tells it."""

    guid: str
    event: str
    action: str | None
    repository: str | None
    ref: str | None
    before: str | None
    after: str | None
    received: Moment | None
    duplicate_of: str | None
    reconciled: bool
    """Whether no webhook told of it: it was seen at the repository."""
    reason: str
    verdicts: list[ToldVerdict]


class DeliveryView(DeliveryFacts, frozen=True, kw_only=True):
    """A delivery with what came with it."""

    peer: str
    headers: dict[str, str]
    replayable: bool
    """Whether its body is still kept."""


class TokenView(msgspec.Struct, frozen=True, kw_only=True):
    """A token, without its text: that was shown once."""

    id: int
    name: str
    created: Moment | None
    used: Moment | None
    """When it was shown last, give or take a minute; None while it never was."""
    expires: Moment | None
    revoked: Moment | None


class UserView(msgspec.Struct, frozen=True, kw_only=True):
    """A user."""

    username: str
    role: Role
    created: Moment | None
    password: bool
    """Whether they have one; without, they sign in by GitHub alone."""
    github: int | None
    """GitHub's number of the account that signs in as this user."""


def step(row: Step) -> StepView:
    """A step from its row."""
    state = StepState(row.state)
    return StepView(row.name, state, row.position, clock.text(row.started), clock.text(row.finished), row.message)


def told_step(row: Step) -> ToldStep:
    """A step from its row, as the feed tells it."""
    return ToldStep(**msgspec.structs.asdict(step(row)), deployment=row.deployment_id)


def deployment_facts(row: Deployment) -> DeploymentFacts:
    """A deployment from its row, as the feed tells it."""
    running = row.state == DeploymentState.RUNNING
    habit = forecast.habit(row.service_id) if running else Habit()
    steps = steplists.of(row.id) if running else []
    return facts(row, habit, steps, deliveries.guid_behind(row))


def facts(row: Deployment, habit: Habit, steps: Sequence[Step], guid: str | None) -> DeploymentFacts:
    """The same, where its service's habit, its steps and its delivery are known."""
    state = DeploymentState(row.state)
    outlook = forecast.outlook(habit, row, steps, now=clock.now())
    said = store.said(row)
    return DeploymentFacts(
        id=said("id"),
        service=row.service.name,
        state=state,
        sha=said("sha"),
        ref=said("ref"),
        before=said("before"),
        repository=said("repository"),
        title=said("title"),
        actor=said("actor"),
        origin=Origin(said("origin")),
        created=clock.text(said("created")),
        started=clock.text(said("started")),
        finished=clock.text(said("finished")),
        exit_status=said("exit_status"),
        signal=said("signal"),
        reason=said("reason"),
        waits_for=None if said("waits_for") is None else WaitsFor(said("waits_for")),
        eta=outlook.eta,
        parent=said("parent"),
        taken_over_by=said("taken_over_by"),
        delivery=guid,
        cancelling=state is DeploymentState.RUNNING and said("cancelled_by") is not None,
        progress=1.0 if state is DeploymentState.SUCCESS else outlook.progress,
        longer=outlook.longer,
    )


def report(told: Report) -> ReportView:
    """What GitHub was told, from its row."""
    return ReportView(
        kind=ReportKind(told.kind),
        context=told.context,
        state=told.state,
        description=told.description,
        told=clock.text(told.told_at),
        owed=told.changes > told.told,
        problem=told.problem,
    )


def service_facts(row: Service) -> ServiceFacts:
    """A service from its row, as the feed tells it."""
    return ServiceFacts(
        name=row.name,
        repository=row.repository,
        problem=row.problem,
        lock=lock(row),
        held_back=held_back(row),
        removed=clock.text(row.removed),
    )


def lock(row: Service) -> LockView | None:
    """A service's lock, from its row."""
    held = locks.of(row)
    if held is None:
        return None
    return LockView(by=held.by, reason=held.reason, since=clock.text(held.since), until=clock.text(held.until))


def held_back(row: Service) -> HeldBackView | None:
    """The commit that a service was rolled back from, from its row."""
    return None if row.held_back is None else HeldBackView(sha=row.held_back, by=row.held_back_by or "")


def delivery_facts(row: Delivery, verdicts: Sequence[ToldVerdict]) -> DeliveryFacts:
    """A delivery from its row, and all that was decided of it, as the feed tells it."""
    said = store.said(row)
    return DeliveryFacts(
        guid=said("guid"),
        event=said("event"),
        action=said("action"),
        repository=said("repository"),
        ref=said("ref"),
        before=said("before"),
        after=said("after"),
        received=clock.text(said("received")),
        duplicate_of=deliveries.guid_of(said("duplicate_of")),
        reconciled=said("reconciled"),
        reason=said("reason"),
        verdicts=list(verdicts),
    )


def delivery(row: Delivery) -> DeliveryView:
    """A delivery from its row."""
    headers: dict[str, Any] = json.loads(row.headers)
    return DeliveryView(
        **msgspec.structs.asdict(delivery_facts(row, deliveries.verdicts_of(row))),
        peer=row.peer,
        headers=headers,
        replayable=row.body is not None,
    )


def tokens(rows: Sequence[Token]) -> list[TokenView]:
    """Tokens from their rows."""
    return [
        TokenView(
            id=row.id,
            name=row.name,
            created=clock.text(row.created),
            used=clock.text(row.used),
            expires=clock.text(row.expires),
            revoked=clock.text(row.revoked),
        )
        for row in rows
    ]


def user(row: User) -> UserView:
    """A user from their row."""
    return UserView(
        username=row.username,
        role=Role(row.role),
        created=clock.text(row.created),
        password=bool(row.password),
        github=row.github_id,
    )
