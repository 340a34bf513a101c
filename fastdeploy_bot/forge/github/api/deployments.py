"""Deployments and their statuses.

Source: https://docs.github.com/en/rest/deployments
"""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any, Final

from fastdeploy_bot.forge.github import deployment_texts
from fastdeploy_bot.forge.github.client import Client, Numbered, not_understood, repository_path, understood
from fastdeploy_bot.forge.github.deployment_texts import Status, Subject
from fastdeploy_bot.forge.github.permissions import Needs

WRITES: Final = Needs(deployments="write")


def create(client: Client, token: str, repository: str, subject: Subject) -> int:
    """A new deployment; answers GitHub's id of it."""
    path, body = f"{repository_path(repository)}/deployments", deployment_texts.new(subject)
    data = client.call("POST", path, token, expected={HTTPStatus.CREATED}, body=body).data
    return understood(data, Numbered, "id of a deployment").id


def find(client: Client, token: str, repository: str, subject: Subject) -> int | None:
    """GitHub's id of a deployment that may have been created; None where it was not."""
    query: dict[str, str | int] = {"sha": subject.sha, "task": deployment_texts.TASK, "per_page": 100}
    data = client.call("GET", f"{repository_path(repository)}/deployments", token, query=query).data
    if not isinstance(data, list):
        raise not_understood("no list of deployments")
    ours = deployment_texts.payload(subject)
    numbers = [each.get("id") for each in data if isinstance(each, dict) and _payload(each) == ours]
    return next((number for number in numbers if isinstance(number, int)), None)


def tell(client: Client, token: str, repository: str, number: int, status: Status) -> None:
    """Let a deployment have this status."""
    body = {
        "state": status.state,
        "description": status.description,
        "log_url": status.log_url,
        "environment_url": status.environment_url,
        "auto_inactive": status.auto_inactive,
    }
    path = f"{repository_path(repository)}/deployments/{number}/statuses"
    client.call("POST", path, token, expected={HTTPStatus.CREATED}, body=body)


def _payload(deployment: dict[str, Any]) -> object:
    """A deployment's payload: GitHub gives it back as an object, or as a text of it."""
    payload = deployment.get("payload")
    try:
        return json.loads(payload) if isinstance(payload, str) else payload
    except ValueError:
        return None
