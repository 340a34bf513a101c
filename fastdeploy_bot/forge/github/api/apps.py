"""GitHub Apps: what is called in the App's own name, by a JWT.

Source: https://docs.github.com/en/rest/apps/apps
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote

import msgspec

from fastdeploy_bot import values
from fastdeploy_bot.appfile import App
from fastdeploy_bot.forge.github.client import Client, Numbered, not_understood, repository_path, understood

PAGE: Final = 100
"""How many things of a kind are asked for; whoever has more sees the first."""


class InstallationToken(msgspec.Struct, frozen=True):
    """What a GitHub App works with in a repository."""

    token: str
    expires: int
    """Unix milliseconds, by GitHub's clock."""

    def __repr__(self) -> str:
        return f"InstallationToken('********', {self.expires})"


class Installation(msgspec.Struct, frozen=True):
    """An account in which the App is installed."""

    id: int
    account: str
    url: str
    """Where that can be changed."""
    suspended: bool


def installation_of(client: Client, jwt: str, repository: str) -> int:
    """The id of the App's installation on a repository."""
    data = client.call("GET", f"{repository_path(repository)}/installation", jwt).data
    return understood(data, Numbered, "id of an installation").id


def installation_token(
    client: Client, jwt: str, installation: int, repository: str, permissions: Mapping[str, str]
) -> InstallationToken:
    """A token for that one repository, with these permissions and no others."""
    return _token(client, jwt, installation, {"repositories": [repository.rpartition("/")[2]]}, permissions)


def whole_token(client: Client, jwt: str, installation: int, permissions: Mapping[str, str]) -> InstallationToken:
    """A token for all repositories of an installation, with these permissions and no others."""
    return _token(client, jwt, installation, {}, permissions)


def from_manifest(client: Client, code: str, *, now: int) -> App:
    """The App that was made from a manifest, with its key: GitHub gives it out once, within an hour.

    The only call that nobody is signed in for. `now` in Unix milliseconds.
    """
    path = f"/app-manifests/{quote(code, safe='')}/conversions"
    data = client.call("POST", path, None, expected={HTTPStatus.CREATED}).data
    try:
        return App(
            id=int(data["id"]),
            client_id=str(data["client_id"]),
            pem=values.private_key(data["pem"]),
            slug=str(data.get("slug") or ""),
            name=str(data.get("name") or ""),
            owner=str((data.get("owner") or {}).get("login") or ""),
            html_url=str(data.get("html_url") or ""),
            client_secret=str(data.get("client_secret") or ""),
            created=now,
            webhook_secret=str(data.get("webhook_secret") or ""),
        )
    except (AttributeError, KeyError, TypeError, ValueError):
        # Without its cause, which may show the key.
        raise not_understood("no App") from None


def permissions(client: Client, jwt: str) -> dict[str, str]:
    """What the App may do where it is installed, by GitHub's names."""
    data = client.call("GET", "/app", jwt).data
    found = data.get("permissions") if isinstance(data, dict) else None
    if not isinstance(found, dict):
        raise not_understood("no permissions of an App")
    return {str(name): str(level) for name, level in found.items()}


def installations(client: Client, jwt: str) -> list[Installation]:
    """Where the App is installed."""
    data = client.call("GET", "/app/installations", jwt, query={"per_page": PAGE}).data
    try:
        return [_installation(each) for each in data]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise not_understood("no installations") from error


def repositories(client: Client, token: str) -> list[str]:
    """The repositories, as `owner/name`, that an installation's token is good for."""
    data = client.call("GET", "/installation/repositories", token, query={"per_page": PAGE}).data
    try:
        return [str(each["full_name"]) for each in data["repositories"]]
    except (KeyError, TypeError) as error:
        raise not_understood("no repositories") from error


def set_webhook_secret(client: Client, jwt: str, secret: str) -> None:
    """Have GitHub sign the App's webhooks with that from now on."""
    client.call("PATCH", "/app/hook/config", jwt, body={"secret": secret})


def _installation(data: Any) -> Installation:  # Any: JSON is yet to be judged
    return Installation(
        id=int(data["id"]),
        account=str((data.get("account") or {}).get("login") or ""),
        url=str(data.get("html_url") or ""),
        suspended=data.get("suspended_at") is not None,
    )


def _token(
    client: Client, jwt: str, installation: int, which: Mapping[str, object], permissions: Mapping[str, str]
) -> InstallationToken:
    body = {**which, "permissions": dict(permissions)}
    path = f"/app/installations/{installation}/access_tokens"
    data = client.call("POST", path, jwt, expected={HTTPStatus.CREATED}, body=body).data
    try:
        expires = datetime.fromisoformat(data["expires_at"])
        return InstallationToken(str(data["token"]), int(expires.timestamp() * 1_000))
    except (KeyError, TypeError, ValueError) as error:
        raise not_understood("no token") from error
