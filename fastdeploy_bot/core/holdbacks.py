"""Held back: the commit that a service was rolled back from. No push brings it back, until a newer one comes."""

from __future__ import annotations

from fastdeploy_bot.core import changes
from fastdeploy_bot.store.models import Service
from fastdeploy_bot.words import PUSH_ORIGINS, Origin


def why(service: Service) -> str:
    """Why pushes of the commit that is held back are not deployed; empty where none is."""
    if service.held_back is None:
        return ""
    return f"{service.held_back[:7]} was rolled back by {service.held_back_by}; a newer push ends this"


def put(service: Service, sha: str, *, by: str) -> None:
    """Hold a commit back from now on. To be called inside a write."""
    _note(service, sha, by)


def settle(service: Service, origin: Origin, sha: str) -> None:
    """Let go of the commit where what is queued ends that: a newer push, or that very commit by somebody's own wish.

    To be called inside a write.
    """
    if service.held_back is not None and (origin in PUSH_ORIGINS or sha == service.held_back):
        _note(service, None, None)


def _note(service: Service, sha: str | None, by: str | None) -> None:
    service.held_back, service.held_back_by = sha, by
    Service.update(held_back=sha, held_back_by=by).where(Service.id == service.id).execute()
    changes.of_service(service.id)
