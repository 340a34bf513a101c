"""Deployment texts: what a deployment is on GitHub's own page of deployments. Pure.

Source: https://docs.github.com/en/rest/deployments/deployments
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Final

import msgspec

from fastdeploy_bot.forge.github import texts
from fastdeploy_bot.words import DeploymentState

TASK: Final = "deploy"


class Stage(StrEnum):
    """How far GitHub knows a deployment; all but the first are states of its statuses."""

    CREATED = "created"
    """It is there, without a status; GitHub shows it as pending."""
    IN_PROGRESS = "in_progress"
    SUCCESS = "success"
    FAILURE = "failure"
    ERROR = "error"
    INACTIVE = "inactive"
    """It succeeded, and another one has taken its place."""


STAGES: Final = {
    DeploymentState.RUNNING: Stage.IN_PROGRESS,
    DeploymentState.SUCCESS: Stage.SUCCESS,
    DeploymentState.FAILURE: Stage.FAILURE,
    DeploymentState.CANCELLED: Stage.ERROR,
    DeploymentState.LOST: Stage.ERROR,
}
"""Of the states of what has begun."""


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """What a deployment of GitHub's is made of."""

    number: int
    """Our id of it."""
    service: str
    sha: str
    environment: str
    title: str
    page: str
    """Where it is looked at."""


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """A status of a deployment."""

    state: Stage
    description: str
    """One line of at most 140 characters."""
    log_url: str
    environment_url: str
    """Where the service is reached; empty where nobody said."""
    auto_inactive: bool
    """Whether GitHub is to make the earlier successes in the environment inactive."""


def new(subject: Subject) -> dict[str, Any]:
    """The deployment, as GitHub is to create it.

    It is not called a production environment, whatever its name: of those GitHub leaves all successes active, as it
    says of `auto_inactive`. No status of the commit is required: our own is pending by then.
    """
    return {
        "ref": subject.sha,
        "task": TASK,
        "auto_merge": False,
        "required_contexts": [],
        "payload": payload(subject),
        "environment": subject.environment,
        "description": texts.fitting(f"{subject.service}: {subject.title}" if subject.title else subject.service),
        "transient_environment": False,
        "production_environment": False,
    }


def payload(subject: Subject) -> dict[str, Any]:
    """By what a deployment of GitHub's is known as ours."""
    return {"fastdeploy": subject.number, "service": subject.service, "url": subject.page}


def stage(state: DeploymentState, *, outlived: bool) -> Stage:
    """What GitHub is told of a deployment that has begun; `outlived`: a later one succeeded in its environment."""
    return Stage.INACTIVE if outlived and state is DeploymentState.SUCCESS else STAGES[state]
