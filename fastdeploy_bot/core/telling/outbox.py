"""The outbox: what GitHub is owed, marked in the transaction of each change.

Of commit statuses there is one row a commit and context, of all else one a deployment. A row counts changes; what is to
be told is read from the deployments when it is told, so it is always the newest.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
from peewee import Case, Expression, ModelSelect, fn

from fastdeploy_bot import store
from fastdeploy_bot.core import clock
from fastdeploy_bot.store.models import Deployment, Report, Service
from fastdeploy_bot.words import DeploymentState, ReportKind

FURTHEST: Final = 15 * 60 * clock.SECOND
"""How long nothing is put off for, whatever goes wrong."""
UNKNOWN: Final = 0
"""In the place of GitHub's id, while nobody knows whether GitHub has made what it was asked to."""
ORDER: Final = (ReportKind.STATUS, ReportKind.DEPLOYMENT, ReportKind.CHECK)
"""In which GitHub is told of a change."""
_COMMIT_CHANGED: Final = store.Prepared[Report](
    lambda number, repository, sha, name: _changed(number, *_of_commit(repository, sha, name))
)
_DEPLOYMENT_CHANGED: Final = store.Prepared[Report](
    lambda number, kind: _changed(number, Report.kind == kind, Report.deployment == number)
)
_OWE: Final = store.Insert(Report, "kind", "repository", "sha", "context", "deployment", "due")
_ENDED: Final = frozenset(state for state in DeploymentState if state.final) - {DeploymentState.SUPERSEDED}
_kinds = msgspec.json.Decoder(frozenset[str])


def context(service: str) -> str:
    """The name under which a service's commit statuses stand."""
    return f"fastdeploy/{service}"


def check(service: str) -> str:
    """The name of a service's check runs."""
    return f"fastdeploy / {service}"


def environment(deployment: Deployment) -> str:
    """The environment that one which has begun is deployed to; by the service's own name where its file names none."""
    return json.loads(deployment.definition or "{}").get("environment") or deployment.service.name


def mark(deployment: Deployment, *, now: int) -> None:
    """GitHub is owed news of this deployment, and of those that it took over when it ends. Inside a write.

    One that is taken over itself has not ended for those: they ship with it, and with what took it over.
    """
    _mark(deployment, now)
    if deployment.state in _ENDED:
        for each in _taken_over_by(deployment):
            _mark(each, now)


def mark_step(deployment: Deployment, *, now: int) -> None:
    """GitHub is owed news of a step of this deployment, where it is told of steps. Inside a write."""
    _mark(deployment, now, without=ReportKind.DEPLOYMENT)


def owed(*, now: int) -> list[Report]:
    """What is to be told by now, in the order in which it came to be so."""
    return list(_due(now).order_by(Report.due, Report.id))


def any_due(*, now: int) -> bool:
    """Whether something is to be told by now."""
    return _due(now).limit(1).first() is not None


def told_since(moment: int) -> list[int]:
    """When GitHub was told each thing last, of all that it was told since then."""
    rows = Report.select(Report.told_at).where(Report.told_at > moment)
    return [row.told_at for row in rows if row.told_at is not None]


def _due(now: int) -> ModelSelect[Report]:
    """The rows that are due. Nothing is put off beyond `FURTHEST`: that was a clock which was set back since."""
    due = (Report.due <= now) | (Report.due > now + FURTHEST)
    return Report.select().where(Report.changes > Report.told, due)


def of(deployment: Deployment) -> Report | None:
    """What was told, or is owed, of a deployment's commit; None where it is not told to anybody."""
    name = context(deployment.service.name)
    found: Report | None = Report.get_or_none(*_of_commit(deployment.repository, deployment.sha, name))
    return found


def all_of(deployments: Sequence[Deployment]) -> dict[int, list[Report]]:
    """All that was told, or is owed, of deployments and their commits, by the deployments' ids, in two queries."""
    ids, shas = [row.id for row in deployments], {row.sha for row in deployments}
    others = Report.select().where(Report.deployment.in_(ids), Report.kind != ReportKind.STATUS)
    found = {(each.deployment_id, ReportKind(each.kind)): each for each in others}
    of_commits = Report.select().where(
        Report.kind == ReportKind.STATUS,
        Report.repository.in_({row.repository for row in deployments}),
        Report.sha.in_(shas),
    )
    statuses = {(each.repository, each.sha, each.context): each for each in of_commits}
    for row in deployments:
        status = statuses.get((row.repository, row.sha, context(row.service.name)))
        if status is not None:
            found[row.id, ReportKind.STATUS] = status
    return {number: [found[number, kind] for kind in ORDER if (number, kind) in found] for number in ids}


def subject(report: Report) -> Deployment:
    """The deployment that a report tells of.

    Of a commit's status, the one whose state is the commit's: that which is under way, or else that which ended last.
    """
    if report.kind != ReportKind.STATUS:
        told_of: Deployment = report.deployment
        return told_of
    service = report.deployment.service_id
    rows = list(Deployment.select().where(Deployment.service == service, Deployment.sha == report.sha))
    under_way = [row for row in rows if not DeploymentState(row.state).final]
    if under_way:
        return max(under_way, key=lambda row: (row.state == DeploymentState.RUNNING, row.id))
    return max(rows, key=lambda row: (row.finished or 0, row.id))


def successor(deployment: Deployment) -> Deployment | None:
    """The last one of those that took a deployment's place; None where nothing did."""
    last = None
    while deployment.taken_over_by_id is not None:
        last = deployment = deployment.taken_over_by
    return last


def is_alone(report: Report) -> bool:
    """Whether no other service of the repository was ever deployed to the same environment."""
    mine = report.deployment.service
    same = Service.repository == mine.repository
    if mine.repository_id is not None:
        same |= Service.repository_id == mine.repository_id
    others = Service.select(Service.id).where(same, Service.id != mine.id)
    theirs = Report.select().join(Deployment).where(Deployment.service.in_(others), *_to_environment(report))
    return not theirs.exists()


def has_heir(report: Report, *, told: tuple[str, ...]) -> bool:
    """Whether GitHub was told so of a later deployment of the service to the same environment."""
    mine = report.deployment
    later = (Deployment.finished > mine.finished) | ((Deployment.finished == mine.finished) & (Deployment.id > mine.id))
    return bool(_others(report).where(later, Report.state.in_(told)).exists())


def is_past(report: Report) -> bool:
    """Whether GitHub has a check run of a later deployment of the commit: the newest that is made is shown."""
    same = (Report.repository == report.repository, Report.sha == report.sha, Report.context == report.context)
    newer = Report.select().where(*same, Report.kind == report.kind, Report.deployment > report.deployment_id)
    return bool(newer.where(Report.external > UNKNOWN).exists())


def note_told(
    report: Report, state: str, description: str, *, now: int, also: Callable[[], object] | None = None
) -> None:
    """GitHub knows all of the changes that `report` was read with; `also` is done in the same write."""
    _settle(report, also, state=state, description=description, told_at=now, problem="", refused=None)


def note_known(report: Report) -> None:
    """GitHub knew already what the changes amount to."""
    _settle(report, problem="")


def note_refused(report: Report, state: str, problem: str) -> None:
    """GitHub will not hear of that state; the next one is another matter."""
    _settle(report, problem=problem, refused=state)


def note_still_refused(report: Report) -> None:
    """What GitHub did not want to hear of has not changed."""
    _settle(report)


def owe_again(account: str, *, since: int, now: int) -> None:
    """Tell GitHub what it did not want to hear of an account's repositories: it may do so now. Inside a write.

    But only of deployments that were asked for since then.
    """
    recent = Deployment.select(Deployment.id).where(Deployment.created >= since)
    theirs = fn.LOWER(Report.repository).startswith(f"{account.lower()}/")
    owed = {"changes": Report.changes + 1, "refused": None, "attempts": 0, "due": now}
    Report.update(owed).where(Report.refused.is_null(False), theirs, Report.deployment.in_(recent)).execute()


def owe_anew(numbers: Sequence[int], *, now: int) -> None:
    """Tell GitHub once more what became of these deployments' check runs: it has put them back. Inside a write."""
    made = (Report.kind == ReportKind.CHECK) & (Report.external > UNKNOWN) & Report.deployment.in_(list(numbers))
    Report.update(changes=Report.changes + 1, state=None, attempts=0, due=now).where(made).execute()


def note_making(report: Report) -> None:
    """GitHub is about to be asked to make what may be there once only."""
    _update(report, external=UNKNOWN)


def note_not_made(report: Report) -> None:
    """GitHub has not made it."""
    _update(report, external=None)


def note_found(report: Report, external: int) -> None:
    """GitHub had made it; what it was told is not known."""
    _update(report, external=external, state=None)


def note_begun(report: Report, external: int, state: str, *, now: int) -> None:
    """GitHub has made it, and is still to be told what became of it."""
    _update(report, external=external, state=state, told_at=now, attempts=0, problem="", refused=None)


def note_made(report: Report, external: int, state: str, description: str, *, now: int) -> None:
    """GitHub has made it, and knows all of the changes that `report` was read with."""
    _settle(report, external=external, state=state, description=description, told_at=now, problem="", refused=None)


def outlived(report: Report, *, was: str, became: str) -> None:
    """What was so of the service's other deployments to the same environment GitHub has made that. Inside a write."""
    numbers = [row.id for row in _others(report).where(Report.state == was)]
    Report.update(state=became).where(Report.id.in_(numbers)).execute()


def mark_outlived(report: Report, *, was: str, now: int) -> None:
    """GitHub is owed that of the service's other deployments to the same environment none is so. Inside a write."""
    numbers = [row.id for row in _others(report).where(Report.state == was)]
    Report.update(changes=Report.changes + 1, due=now).where(Report.id.in_(numbers)).execute()


def postpone(report: Report, problem: str, *, due: int) -> None:
    """This try was in vain; the next one is due then."""
    _update(report, attempts=Report.attempts + 1, due=due, problem=problem)


def _settle(report: Report, also: Callable[[], object] | None = None, **fields: Any) -> None:
    """Nothing is owed of the changes that were seen; of later ones it still is."""
    seen = {"told": report.changes, "attempts": 0} | fields
    older = (Report.id == report.id) & (Report.told < report.changes)

    def settle() -> None:
        Report.update(seen).where(older).execute()
        if also is not None:
            also()

    store.write(settle)


def _update(report: Report, **fields: Any) -> None:
    store.write(lambda: Report.update(fields).where(Report.id == report.id).execute())


def _others(report: Report) -> ModelSelect[Report]:
    """What GitHub is told of the service's other deployments to the same environment."""
    service = report.deployment.service_id
    mine = Report.select().join(Deployment).where(Deployment.service == service, Report.id != report.id)
    return mine.where(*_to_environment(report))


def _to_environment(report: Report) -> tuple[Expression, ...]:
    """GitHub does not tell `Production` from `production`."""
    same = fn.LOWER(Report.context) == report.context.lower()
    return Report.kind == ReportKind.DEPLOYMENT, Report.external.is_null(False), same


def _taken_over_by(deployment: Deployment) -> list[Deployment]:
    """The deployments whose commits ship with this one, directly or by way of others."""
    older = Deployment.alias()
    direct = Deployment.select(Deployment.id).where(Deployment.taken_over_by == deployment.id)
    chain = direct.cte("chain", recursive=True, columns=("id",))
    further = older.select(older.id).join(chain, on=(older.taken_over_by == chain.c.id))
    whole = chain.union_all(further)
    return list(Deployment.select().join(whole, on=(Deployment.id == whole.c.id)).with_cte(whole))


def _mark(deployment: Deployment, now: int, *, without: ReportKind | None = None) -> None:
    wanted = _kinds.decode(deployment.report)
    for kind in ORDER if wanted else ():
        never_began = kind is ReportKind.DEPLOYMENT and deployment.started is None
        if kind in wanted and kind is not without and not never_began:
            _mark_kind(deployment, kind, now)


def _mark_kind(deployment: Deployment, kind: ReportKind, now: int) -> None:
    if kind is ReportKind.STATUS:
        name = context(deployment.service.name)
        changed = _COMMIT_CHANGED.run(deployment.id, deployment.repository, deployment.sha, name)
    else:
        changed = _DEPLOYMENT_CHANGED.run(deployment.id, kind)
    if not changed:
        _OWE.number(
            kind=kind,
            repository=deployment.repository,
            sha=deployment.sha,
            context=_context(deployment, kind),
            deployment=deployment.id,
            due=now,
        )


def _context(deployment: Deployment, kind: ReportKind) -> str:
    match kind:
        case ReportKind.STATUS:
            return context(deployment.service.name)
        case ReportKind.DEPLOYMENT:
            return environment(deployment)
        case ReportKind.CHECK:
            return check(deployment.service.name)


def _of_commit(repository: Any, sha: Any, name: Any) -> tuple[Any, ...]:
    """Which row tells of a commit under that name. Any: values or places for them, and peewee's expressions."""
    same = (Report.repository == repository, Report.sha == sha, Report.context == name)
    return Report.kind == ReportKind.STATUS, *same


def _changed(number: Any, *where: Any) -> Any:
    """The query that notes one more change, where a row tells of it: of that deployment from now on. Any: as above."""
    same = Case(None, [(Report.deployment == number, Report.refused)], None)  # another one is another matter
    return Report.update(changes=Report.changes + 1, deployment=number, refused=same).where(*where)
