"""Commit statuses.

Source: https://docs.github.com/en/rest/commits/statuses
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Final
from urllib.parse import quote

import msgspec

from fastdeploy_bot.forge.github.api.pages import Page, read
from fastdeploy_bot.forge.github.client import Client, repository_path
from fastdeploy_bot.forge.github.permissions import Needs
from fastdeploy_bot.forge.github.texts import Status

WRITES: Final = Needs(statuses="write")
READS: Final = Needs(statuses="read")


class ListedStatus(msgspec.Struct, frozen=True):
    """A commit status, the newest of its context."""

    context: str
    state: str
    description: str | None = None


class _Combined(msgspec.Struct):
    statuses: list[ListedStatus]
    total_count: int = 0


def create(client: Client, token: str, repository: str, sha: str, status: Status, *, context: str, url: str) -> None:
    """Let a commit have this status under that context, with a link to `url`."""
    body = {"state": status.state, "description": status.description, "context": context, "target_url": url}
    path = f"{repository_path(repository)}/statuses/{quote(sha, safe='')}"
    client.call("POST", path, token, expected={HTTPStatus.CREATED}, body=body)


def latest(
    client: Client, token: str, repository: str, sha: str, *, page: int, etag: str | None
) -> Page[ListedStatus] | None:
    """A page of a commit's statuses, the newest of each context; None where `etag` still holds."""
    path = f"{repository_path(repository)}/commits/{quote(sha, safe='')}/status"
    told = read(client, token, path, _Combined, page=page, etag=etag)
    return None if told is None else Page(told.body.statuses, told.body.total_count, told.etag)
