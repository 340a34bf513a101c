"""GitHub Apps: what is called in the App's own name, by a JWT.

Source: https://docs.github.com/en/rest/apps/apps
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from http import HTTPStatus

import msgspec

from fastdeploy_bot.forge.github.client import Client, not_understood, repository_path


class InstallationToken(msgspec.Struct, frozen=True):
    """What a GitHub App works with in a repository."""

    token: str
    expires: int
    """Unix milliseconds, by GitHub's clock."""

    def __repr__(self) -> str:
        return f"InstallationToken('********', {self.expires})"


def installation_of(client: Client, jwt: str, repository: str) -> int:
    """The id of the App's installation on a repository."""
    data = client.call("GET", f"{repository_path(repository)}/installation", jwt).data
    number = data.get("id") if isinstance(data, dict) else None
    if not isinstance(number, int):
        raise not_understood("no id of an installation")
    return number


def installation_token(
    client: Client, jwt: str, installation: int, repository: str, permissions: Mapping[str, str]
) -> InstallationToken:
    """A token for that one repository, with these permissions and no others."""
    body = {"repositories": [repository.rpartition("/")[2]], "permissions": dict(permissions)}
    path = f"/app/installations/{installation}/access_tokens"
    data = client.call("POST", path, jwt, expected={HTTPStatus.CREATED}, body=body).data
    try:
        expires = datetime.fromisoformat(data["expires_at"])
        return InstallationToken(str(data["token"]), int(expires.timestamp() * 1_000))
    except (KeyError, TypeError, ValueError) as error:
        raise not_understood("no token") from error
