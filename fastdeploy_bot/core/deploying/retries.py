"""Retries: a deployment that has ended is tried once more, with the same commit."""

from __future__ import annotations

from collections.abc import Mapping

from fastdeploy_bot.core.deploying import deployments, rollbacks
from fastdeploy_bot.core.files.catalogue import Entry
from fastdeploy_bot.core.people import audit
from fastdeploy_bot.errors import Conflict, UnderWay
from fastdeploy_bot.store.models import Deployment
from fastdeploy_bot.words import UNDER_WAY, DeploymentState, Origin, Principal


def retry(number: int, entries: Mapping[str, Entry], *, by: Principal, now: int) -> Deployment:
    """Deploy the same commit once more; a rollback that never began is asked for anew, with all that belongs to one.

    To be called inside a write. Raises NotFound, Conflict; UnderWay where it is being tried again already, and nothing
    was asked for since.
    """
    parent = deployments.find(number)
    if not DeploymentState(parent.state).final:
        raise Conflict(f"deployment {number} is {parent.state}: it can be tried again when it has ended")
    last = deployments.last_word(parent.service_id)
    if last is not None and last.parent_id == number:
        raise UnderWay(f"that is under way already, as deployment {last.id}", deployment=last.id)
    again = rollbacks.ask_anew(parent, entries, by=by, now=now)
    if again is None:
        again = deployments.repeat(parent, Origin.RETRY, entries, by=by, now=now)
    audit.note(by, "retry", f"deployment {number}", now=now, detail=f"as deployment {again.id}")
    return again


def newer(than: Deployment) -> Deployment | None:
    """What came after a deployment and decides what is live in the end; None where that is its commit."""
    counts = Deployment.state.in_((DeploymentState.SUCCESS, *UNDER_WAY))
    mine = Deployment.select().where(Deployment.service == than.service_id, Deployment.id > than.id, counts)
    last: Deployment | None = mine.order_by(Deployment.id.desc()).first()
    return last if last is not None and last.sha != than.sha else None
