"""Repositories.

Source: https://docs.github.com/en/rest/repos/repos
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from fastdeploy_bot.forge.github.api import conditional
from fastdeploy_bot.forge.github.api.conditional import Known
from fastdeploy_bot.forge.github.client import Answer, Client, repository_path, understood


class Repository(msgspec.Struct, frozen=True):
    """What decides about a repository, as it is now."""

    id: int
    full_name: str
    default_branch: str | None = None
    pushed_at: datetime | None = None
    private: bool = False
    visibility: str = ""
    """`public`, `private` or `internal`; older servers do not say."""

    @property
    def closed(self) -> bool:
        """Whether nobody may read it but those who were let in: what is internal all of an enterprise may read."""
        return self.private and self.visibility in ("", "private")


def get(client: Client, token: str, repository: str, *, before: Known[Repository] | None = None) -> Known[Repository]:
    """A repository by its name, also by one that it had once."""
    return conditional.get(client, token, repository_path(repository), _repository, before=before)


def may_push(client: Client, token: str, repository: str) -> bool | None:
    """Whether a user's token may write to a repository; None where GitHub does not say, as of an App's."""
    data = client.call("GET", repository_path(repository), token).data
    permissions = data.get("permissions") if isinstance(data, dict) else None
    return bool(permissions.get("push")) if isinstance(permissions, dict) else None


def _repository(answer: Answer) -> Repository:
    return understood(answer.data, Repository, "repository")
