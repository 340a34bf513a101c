"""Access: the one place that decides who may do what."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from fastdeploy_bot.errors import Forbidden
from fastdeploy_bot.words import Principal, PrincipalKind, Role


class Action(StrEnum):
    """What somebody wants to do."""

    READ = "read"
    """See a service, its deployments, steps and logs."""
    BROWSE = "browse"
    """See what belongs to no single service: deliveries, the feed."""
    START = "start"
    """Start a deployment."""
    STEER = "steer"
    """Cancel, retry, replay."""
    MANAGE = "manage"
    """Tokens, users, sync."""
    REPORT = "report"
    """Report the steps and the end of a deployment."""


_LEAST_ROLE: Final = {
    Action.READ: Role.VIEWER,
    Action.BROWSE: Role.VIEWER,
    Action.START: Role.DEPLOYER,
    Action.STEER: Role.DEPLOYER,
    Action.MANAGE: Role.ADMIN,
}
_RANKS: Final = {role: rank for rank, role in enumerate(Role)}
_OF_SERVICE_TOKEN: Final = frozenset({Action.READ, Action.START})


def authorize(
    principal: Principal, action: Action, *, service: str | None = None, deployment: int | None = None
) -> None:
    """Raise Forbidden unless `principal` may do `action` to that service or deployment.

    The answer does not depend on whether the object exists, so that it tells nobody what does.
    """
    if not _may(principal, action, service, deployment):
        raise Forbidden(f"a {_described(principal)} may not {action} this")


def _may(principal: Principal, action: Action, service: str | None, deployment: int | None) -> bool:
    match principal.kind:
        case PrincipalKind.USER:
            least = _LEAST_ROLE.get(action)
            return least is not None and principal.role is not None and _RANKS[principal.role] >= _RANKS[least]
        case PrincipalKind.SERVICE:
            return action in _OF_SERVICE_TOKEN and service is not None and service == principal.service
        case PrincipalKind.DEPLOYMENT:
            return action is Action.REPORT and principal.running and deployment == principal.deployment


def _described(principal: Principal) -> str:
    if principal.kind is PrincipalKind.USER:
        return str(principal.role)
    if principal.kind is PrincipalKind.DEPLOYMENT and not principal.running:
        return "token of a finished deployment"
    return f"{principal.kind} token"
