"""Commit statuses.

Source: https://docs.github.com/en/rest/commits/statuses
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Final
from urllib.parse import quote

from fastdeploy_bot.forge.github.client import Client, repository_path
from fastdeploy_bot.forge.github.permissions import Needs
from fastdeploy_bot.forge.github.texts import Status

WRITES: Final = Needs(statuses="write")


def create(client: Client, token: str, repository: str, sha: str, status: Status, *, context: str, url: str) -> None:
    """Let a commit have this status under that context, with a link to `url`."""
    body = {"state": status.state, "description": status.description, "context": context, "target_url": url}
    path = f"{repository_path(repository)}/statuses/{quote(sha, safe='')}"
    client.call("POST", path, token, expected={HTTPStatus.CREATED}, body=body)
