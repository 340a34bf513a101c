"""Access: the one place that decides who may do what."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from fastdeploy_bot.core.files.servicefile import Visibility
from fastdeploy_bot.errors import Forbidden
from fastdeploy_bot.words import Principal, PrincipalKind, Role


class Action(StrEnum):
    """What somebody wants to do."""

    GLANCE = "glance"
    """See the state of a service and its age."""
    READ = "read"
    """See a service, its deployments, steps and logs."""
    BROWSE = "browse"
    """See what belongs to no single service: deliveries, the feed."""
    START = "start"
    """Start a deployment."""
    STEER = "steer"
    """Cancel, retry, roll back, lock, replay."""
    MANAGE = "manage"
    """Tokens, users, sync."""
    REPORT = "report"
    """Report the steps and the end of a deployment."""


_LEAST_ROLE: Final = {
    Action.GLANCE: Role.VIEWER,
    Action.READ: Role.VIEWER,
    Action.BROWSE: Role.VIEWER,
    Action.START: Role.DEPLOYER,
    Action.STEER: Role.DEPLOYER,
    Action.MANAGE: Role.ADMIN,
}
_OF_SERVICE_TOKEN: Final = frozenset({Action.GLANCE, Action.READ, Action.START})
_OF_VISITORS: Final = {
    Visibility.PRIVATE: frozenset[Action](),
    Visibility.STATUS: frozenset({Action.GLANCE}),
    Visibility.PUBLIC: frozenset({Action.GLANCE, Action.READ}),
}


def authorize(
    principal: Principal,
    action: Action,
    *,
    service: str | None = None,
    deployment: int | None = None,
    visibility: Visibility = Visibility.PRIVATE,
) -> None:
    """Raise Forbidden unless `principal` may do `action` to that service or deployment.

    `visibility` is the service's. The answer does not depend on whether the object exists, so that it tells nobody
    what does.
    """
    if not may(principal, action, service=service, deployment=deployment, visibility=visibility):
        raise Forbidden(f"a {_described(principal)} may not {action} this")


def may(
    principal: Principal,
    action: Action,
    *,
    service: str | None = None,
    deployment: int | None = None,
    visibility: Visibility = Visibility.PRIVATE,
) -> bool:
    """Whether `authorize` lets it pass."""
    match principal.kind:
        case PrincipalKind.USER:
            least = _LEAST_ROLE.get(action)
            return least is not None and principal.role is not None and principal.role.rank >= least.rank
        case PrincipalKind.SERVICE:
            return action in _OF_SERVICE_TOKEN and service is not None and service == principal.service
        case PrincipalKind.DEPLOYMENT:
            return action is Action.REPORT and principal.running and deployment == principal.deployment
        case PrincipalKind.VISITOR:
            return action in _OF_VISITORS[visibility]


def _described(principal: Principal) -> str:
    if principal.kind is PrincipalKind.USER:
        return str(principal.role)
    if principal.kind is PrincipalKind.DEPLOYMENT and not principal.running:
        return "token of a finished deployment"
    if principal.kind is PrincipalKind.VISITOR:
        return "visitor"
    return f"{principal.kind} token"
