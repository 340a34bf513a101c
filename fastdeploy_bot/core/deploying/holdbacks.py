"""Held back: the commit that a service was rolled back from. No push brings it back, until a newer one comes."""

from __future__ import annotations

from fastdeploy_bot.core.commits import successes
from fastdeploy_bot.core.telling import changes
from fastdeploy_bot.store.models import Deployment, Service
from fastdeploy_bot.words import PUSH_ORIGINS, DeploymentState, Origin


def why(service: Service) -> str:
    """Why pushes of the commit that is held back are not deployed; empty where none is."""
    if service.held_back is None:
        return ""
    return f"{service.held_back[:7]} is held back by a rollback of {service.held_back_by}; a newer push ends this"


def put(service: Service, sha: str, *, by: str) -> None:
    """Hold a commit back from now on. To be called inside a write."""
    _note(service, sha, by)


def settle(service: Service, origin: Origin, sha: str) -> None:
    """Let go of the commit where what is queued ends that: a newer push, or that very commit by somebody's own wish.

    To be called inside a write.
    """
    if service.held_back is not None and (origin in PUSH_ORIGINS or sha == service.held_back):
        _note(service, None, None)


def recall(service: Service) -> None:
    """Hold back what the last rollback left that was not called off before it began; nothing where that has ended.

    To be called inside the write that calls one off: then it is as if nobody had asked for it.
    """
    if service.held_back is None:
        return
    back = _last_rollback(service)
    left = None if back is None else left_by(service, back.sha, at=back.created, before=back.id)
    if back is None or left is None or _has_ended(service, back, left):
        _note(service, None, None)
    elif (left, back.actor) != (service.held_back, service.held_back_by):
        _note(service, left, back.actor)


def left_by(service: Service, goal: str, *, at: int, before: int | None = None) -> str | None:
    """The commit that a rollback to `goal` leaves, asked for at that moment and before that deployment.

    What was live then, or where that is the goal itself, what began after it; None where there is neither.
    """
    earlier = (Deployment.id < before,) if before is not None else ()
    live = successes.of(service).where(Deployment.finished <= at, *earlier).first()
    begun = Deployment.select().where(Deployment.service == service, Deployment.started <= at, *earlier)
    last = begun.order_by(Deployment.id.desc()).first() if live is not None and live.sha == goal else live
    left: str | None = None if last is None or last.sha == goal else last.sha
    return left


def _last_rollback(service: Service) -> Deployment | None:
    """The last one that was not called off before it began."""
    called_off = (Deployment.state == DeploymentState.CANCELLED) & Deployment.started.is_null()
    mine = Deployment.select().where(Deployment.service == service, Deployment.origin == Origin.ROLLBACK, ~called_off)
    found: Deployment | None = mine.order_by(Deployment.id.desc()).first()
    return found


def _has_ended(service: Service, back: Deployment, left: str) -> bool:
    """Whether something was queued since that let go of what a rollback left, as `settle` does."""
    ends = Deployment.origin.in_(list(PUSH_ORIGINS)) | (Deployment.sha == left)
    return bool(Deployment.select().where(Deployment.service == service, Deployment.id > back.id, ends).exists())


def _note(service: Service, sha: str | None, by: str | None) -> None:
    service.held_back, service.held_back_by = sha, by
    Service.update(held_back=sha, held_back_by=by).where(Service.id == service.id).execute()
    changes.of_service(service.id)
