"""Webhooks: where they lead, which of their deliveries failed, and having those repeated.

Of a GitHub App there is one webhook, asked for in the App's own name by a JWT; of a repository there may be several.
Source: https://docs.github.com/en/rest/apps/webhooks and https://docs.github.com/en/rest/repos/webhooks
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from http import HTTPStatus
from typing import Final
from urllib.parse import unquote

import msgspec

from fastdeploy_bot.forge.github.api import conditional
from fastdeploy_bot.forge.github.api.conditional import Known
from fastdeploy_bot.forge.github.client import Answer, Client, repository_path, understood

APP: Final = "/app/hook"
"""The path of an App's own webhook."""
Paths = Mapping[str, str]
"""The paths of webhooks, by where they lead."""
PAGE: Final = 100
_NEXT: Final = re.compile(r'[?&]cursor=([^&>]+)[^>]*>; *rel="next"')


class Attempt(msgspec.Struct, frozen=True):
    """One attempt to deliver something."""

    id: int
    guid: str
    """The same for all attempts to deliver it."""
    delivered_at: datetime
    event: str
    action: str | None = None
    repository_id: int | None = None
    status_code: int = 0
    redelivery: bool = False


class Attempts(msgspec.Struct, frozen=True):
    """A page of them, newest first."""

    attempts: tuple[Attempt, ...]
    further: str
    """What the next page is asked for by; empty where this is the last one."""


class _Config(msgspec.Struct, frozen=True):
    url: str = ""


class _Hook(msgspec.Struct, frozen=True):
    id: int
    config: _Config = _Config()


def of_app(client: Client, jwt: str, *, before: Known[Paths] | None = None) -> Known[Paths]:
    """Where the App's webhook leads, with its path; nothing where it has none."""
    return conditional.get(client, jwt, f"{APP}/config", _app_path, before=before)


def of_repository(client: Client, token: str, repository: str, *, before: Known[Paths] | None = None) -> Known[Paths]:
    """Where a repository's webhooks lead, each with its path."""
    path = f"{repository_path(repository)}/hooks"

    def read(answer: Answer) -> Paths:
        found = understood(answer.data, list[_Hook], "list of webhooks")
        return {hook.config.url: f"{path}/{hook.id}" for hook in found}

    return conditional.get(client, token, path, read, query={"per_page": PAGE}, before=before)


def attempts(
    client: Client, token: str, hook: str, *, cursor: str = "", before: Known[Attempts] | None = None
) -> Known[Attempts]:
    """A page of a webhook's attempts; the hook by its path."""
    query: dict[str, str | int] = {"per_page": PAGE} | ({"cursor": cursor} if cursor else {})
    return conditional.get(client, token, f"{hook}/deliveries", _attempts, query=query, before=before)


def repeat(client: Client, token: str, hook: str, attempt: int) -> None:
    """Have something delivered once more."""
    client.call("POST", f"{hook}/deliveries/{attempt}/attempts", token, expected={HTTPStatus.ACCEPTED})


def _app_path(answer: Answer) -> Paths:
    url = understood(answer.data, _Config, "webhook").url
    return {url: APP} if url else {}


def _attempts(answer: Answer) -> Attempts:
    further = _NEXT.search(answer.headers.get("link", ""))
    attempts = understood(answer.data, tuple[Attempt, ...], "list of deliveries")
    return Attempts(attempts, unquote(further[1]) if further else "")
