"""Commit statuses.

Source: https://docs.github.com/en/rest/commits/statuses
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Final
from urllib.parse import quote

import msgspec

from fastdeploy_bot.forge.github.api import pages
from fastdeploy_bot.forge.github.api.conditional import Known
from fastdeploy_bot.forge.github.api.pages import Page
from fastdeploy_bot.forge.github.client import Answer, Client, repository_path, understood
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
    client: Client, token: str, repository: str, sha: str, *, page: int, before: Known[Page[ListedStatus]] | None
) -> Known[Page[ListedStatus]]:
    """A page of a commit's statuses, the newest of each context."""
    path = f"{repository_path(repository)}/commits/{quote(sha, safe='')}/status"
    return pages.get(client, token, path, _statuses, page=page, before=before)


def _statuses(answer: Answer) -> Page[ListedStatus]:
    found = understood(answer.data, _Combined, "list of statuses")
    return Page(found.statuses, found.total_count)
