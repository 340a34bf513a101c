"""Collaborators: who may do what in a repository.

Source: https://docs.github.com/en/rest/collaborators/collaborators
"""

from __future__ import annotations

from typing import Annotated, Final
from urllib.parse import quote

import msgspec
from msgspec import Meta

from fastdeploy_bot.forge.github.client import Client, repository_path, understood
from fastdeploy_bot.forge.github.permissions import Needs

READS: Final = Needs()


class _Whom(msgspec.Struct, frozen=True):
    id: int


class Permission(msgspec.Struct, frozen=True):
    """What somebody may do in a repository, by whatever way it was granted."""

    permission: Annotated[str, Meta(pattern=r"\A[a-z_-]{1,40}\Z")]
    """`none`, `read`, `write` or `admin`: roles of other names count as the one of these that they are made of."""
    user: _Whom | None = None

    @property
    def person(self) -> int | None:
        """GitHub's id of whoever has that name."""
        return None if self.user is None else self.user.id


def permission(client: Client, token: str, repository: str, login: str) -> Permission:
    """The permission of somebody by their name; in a public repository everybody has `read`."""
    path = f"{repository_path(repository)}/collaborators/{quote(login, safe='')}/permission"
    data = client.call("GET", path, token).data
    return understood(data, Permission, "permission")
