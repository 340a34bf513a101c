"""Rollbacks: a commit that was live before is deployed again, and the one that was live until then is held back."""

from __future__ import annotations

from collections.abc import Mapping

from fastdeploy_bot.core.commits import successes
from fastdeploy_bot.core.deploying import deployments, holdbacks, services
from fastdeploy_bot.core.files.catalogue import Entry
from fastdeploy_bot.core.people import audit
from fastdeploy_bot.errors import Conflict, Invalid, UnderWay
from fastdeploy_bot.store.models import Deployment, Service
from fastdeploy_bot.words import OPEN_STATES, PUSH_ORIGINS, UNDER_WAY, DeploymentState, Origin, Principal


def roll_back(name: str, entries: Mapping[str, Entry], *, to: int | None = None, by: Principal, now: int) -> Deployment:
    """Deploy the last good commit before the live one again, or that of deployment `to`. To be called inside a write.

    Pushes that have not begun are cancelled; what runs goes on, and this comes after it. Raises NotFound, Conflict
    where there is nothing to roll back to, Invalid where `to` is no deployment of the service; UnderWay where the same
    rollback is under way, and nothing was asked for since.
    """
    service = services.named(name, entries, now=now)
    live = _live(service)
    goal = _before(service, live) if to is None else _chosen(service, live, to)
    _require_other(service, goal)
    return _go_back(service, live.sha, goal, entries, by=by, now=now)


def undo(number: int, entries: Mapping[str, Entry], *, by: Principal, now: int) -> Deployment:
    """Roll back from a deployment: where it is live, to what was before it; where it failed, to what still is live.

    To be called inside a write. Raises NotFound, Conflict where it is neither, as something else has begun since, or
    where its service is being rolled back already; UnderWay where that is to the same commit.
    """
    left = deployments.find(number)
    if not DeploymentState(left.state).final:
        raise Conflict(f"deployment {number} is {left.state}: cancel it first")
    service = left.service
    live = _live(service)
    goal = _before(service, live) if live.sha == left.sha else live
    if (back := _rollback_of(service)) is not None:
        raise _under_way(back) if back.sha == goal.sha else Conflict(_told(back))
    if live.sha != left.sha:
        _require_last(left)
    return _go_back(service, left.sha, goal, entries, by=by, now=now)


def ask_anew(called_off: Deployment, entries: Mapping[str, Entry], *, by: Principal, now: int) -> Deployment | None:
    """Ask once more for a rollback that never began: it repeats what that was to repeat, and holds back what it leaves.

    To be called inside a write. None where it is no such rollback, or leaves nothing any more: then it is a deployment
    like any other. Raises UnderWay where the same rollback is under way, and nothing was asked for since.
    """
    goal = called_off.parent
    if called_off.origin != Origin.ROLLBACK or called_off.started is not None or goal is None:
        return None
    _require_other(called_off.service, goal)
    left = holdbacks.left_by(called_off.service, goal.sha, at=now)
    return None if left is None else _go_back(called_off.service, left, goal, entries, by=by, now=now)


def offer(service: Service) -> Deployment | None:
    """The deployment whose commit a rollback deploys again; None where there is none."""
    try:
        return _before(service, _live(service))
    except Conflict:
        return None


def way_back(left: Deployment) -> Deployment | None:
    """What `undo` of a deployment that failed deploys again; None where it would refuse, or a retry does the same."""
    try:
        live = _live(left.service)
        _require_last(left)
    except Conflict:
        return None
    undone = _rollback_of(left.service) is not None
    return live if DeploymentState(left.state).final and live.sha != left.sha and not undone else None


def _go_back(
    service: Service, left: str, goal: Deployment, entries: Mapping[str, Entry], *, by: Principal, now: int
) -> Deployment:
    _step_back(service, goal, by=by, now=now)
    row = deployments.repeat(goal, Origin.ROLLBACK, entries, by=by, now=now)
    holdbacks.put(service, left, by=by.name)
    detail = f"from {left[:7]} to {goal.sha[:7]}, as deployment {row.id}"
    audit.note(by, "rollback", f"service {service.name}", now=now, detail=detail)
    return row


def _rollback_of(service: Service) -> Deployment | None:
    """The rollback of a service that is under way, if one is: buttons get pressed twice."""
    under_way = Deployment.state.in_(UNDER_WAY)
    mine = Deployment.select().where(Deployment.service == service, Deployment.origin == Origin.ROLLBACK, under_way)
    found: Deployment | None = mine.order_by(Deployment.id.desc()).first()
    return found


def _require_other(service: Service, goal: Deployment) -> None:
    """Raise UnderWay where a rollback to the goal's commit is under way, and nothing was asked for since."""
    last = deployments.last_word(service.id)
    if last is not None and last.origin == Origin.ROLLBACK and last.sha == goal.sha:
        raise _under_way(last)


def _under_way(back: Deployment) -> UnderWay:
    return UnderWay(_told(back), deployment=back.id)


def _told(back: Deployment) -> str:
    return f"deployment {back.id} rolls service {back.service.name} back already"


def _require_last(left: Deployment) -> None:
    """Raise Conflict unless it began, and nothing of its service did after it: then it is what is to be undone."""
    if left.started is None:
        raise Conflict(f"deployment {left.id} never began: there is nothing to roll back from")
    later = (Deployment.service == left.service_id) & (Deployment.id > left.id) & Deployment.started.is_null(False)
    newest = Deployment.select().where(later).order_by(Deployment.id.desc()).first()
    if newest is not None:
        raise Conflict(f"deployment {newest.id} has begun since deployment {left.id}: roll back from that")


def _live(service: Service) -> Deployment:
    """The last success."""
    live: Deployment | None = successes.of(service).first()
    if live is None:
        raise Conflict(f"nothing of service {service.name} is live yet: there is nothing to roll back from")
    return live


def _before(service: Service, live: Deployment) -> Deployment:
    """The last success with another commit than the live one, of those before it."""
    older = successes.of(service).where(Deployment.id < _place(live).id, Deployment.sha != live.sha)
    found: Deployment | None = older.first()
    if found is None:
        raise Conflict(
            f"service {service.name} has no success of another commit before {live.sha[:7]}, which is live: "
            "name the deployment to go back to, or deploy a commit by hand"
        )
    return found


def _place(live: Deployment) -> Deployment:
    """The deployment where what is live stands in the history: for a rollback, or a retry of one, what it repeats.

    So a second rollback goes on backwards, and not to the commit that the first one left.
    """
    place = each = live
    while each.parent_id is not None and each.origin in (Origin.ROLLBACK, Origin.RETRY):
        if each.origin == Origin.ROLLBACK:
            place = each.parent
        each = each.parent
    return place


def _chosen(service: Service, live: Deployment, number: int) -> Deployment:
    found = Deployment.get_or_none(Deployment.id == number, Deployment.service == service)
    if found is None:
        raise Invalid(f"to: service {service.name} has no deployment {number}: `fastdeploy status` lists the last ones")
    if found.state != DeploymentState.SUCCESS:
        raise Conflict(
            f"deployment {number} is no success but {found.state}: name one that was live; `retry` deploys any again"
        )
    if found.sha == live.sha:
        raise Conflict(f"{live.sha[:7]} is what is live: `retry` deploys it once more")
    return found


def _step_back(service: Service, goal: Deployment, *, by: Principal, now: int) -> None:
    """Cancel the pushes that have not begun: whoever rolls back does not want them next."""
    rows = Deployment.select().where(
        Deployment.service == service,
        Deployment.state.in_(OPEN_STATES),
        Deployment.origin.in_(list(PUSH_ORIGINS)),
    )
    for row in list(rows.order_by(Deployment.id)):
        deployments.stop(row, why=f"rolled back to {goal.sha[:7]} by {by.name}", now=now)
