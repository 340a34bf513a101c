"""Set-up: a GitHub App of the bot's own, made by GitHub from a manifest, looked at, and given another webhook secret.

Source: https://docs.github.com/en/apps/sharing-github-apps/registering-a-github-app-from-a-manifest
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Iterable
from contextlib import closing
from typing import Any, Final
from urllib.parse import urlencode

import msgspec

from fastdeploy_bot import appfile
from fastdeploy_bot.appfile import App
from fastdeploy_bot.errors import Conflict, Invalid
from fastdeploy_bot.forge.github import signin
from fastdeploy_bot.forge.github.api import apps
from fastdeploy_bot.forge.github.api.apps import Installation
from fastdeploy_bot.forge.github.app_auth import AppTokens
from fastdeploy_bot.forge.github.client import CallFailed, Client
from fastdeploy_bot.forge.github.permissions import Needs
from fastdeploy_bot.forge.github.quiet import QuietClient
from fastdeploy_bot.settings import Settings

PERMISSIONS: Final = Needs(contents="read", statuses="write", deployments="write", checks="write").named
"""What an App is made with; each call asks for as much of it as it needs."""
EVENTS: Final = ("push", "check_run", "check_suite", "status", "repository")
"""What an App is told of, beside what every App is told of: pings and its installations."""
HOOK: Final = "/webhooks/github"
LONGEST_NAME: Final = 34
"""Characters of an App's name that GitHub takes."""
PATIENCE: Final = 8.0
"""Seconds after which nothing more is asked for somebody who waits for a page."""
ROTATING: Final = 3_600_000
"""Milliseconds for which an earlier webhook secret is believed after GitHub has taken the new one."""

_METADATA: Final = Needs().named
_ORGANIZATION: Final = re.compile(r"[A-Za-z0-9](?:-?[A-Za-z0-9]){0,38}")
_CODE: Final = re.compile(r"[A-Za-z0-9_-]{1,200}")


class Place(msgspec.Struct, frozen=True):
    """Where the App is installed."""

    installation: Installation
    repositories: list[str]
    """The first of those that it may work in."""
    problem: str = ""
    """Why they are not known."""

    @property
    def is_known(self) -> bool:
        """Whether these are all that it may work in."""
        return not self.problem and len(self.repositories) < apps.PAGE


class Look(msgspec.Struct, frozen=True):
    """What GitHub says of the App."""

    permissions: dict[str, str]
    places: list[Place]

    @property
    def missing(self) -> dict[str, str]:
        """The permissions that some of the bot's calls will need, and that it has not."""
        return {
            name: level for name, level in PERMISSIONS.items() if self.permissions.get(name) not in (level, "write")
        }

    def unseen(self, names: Iterable[str]) -> list[str]:
        """Those of these repositories, in lower case, which it surely does not see; not where only some are known."""
        seen = {name.lower() for place in self.places for name in place.repositories}
        vague = {place.installation.account.lower() for place in self.places if not place.is_known}
        return [name for name in names if name not in seen and name.partition("/")[0] not in vague]


def manifest(name: str, public_url: str, *, reachable: bool) -> dict[str, Any]:
    """What GitHub makes the App from. Any: it holds what GitHub's page reads.

    Without a webhook where GitHub cannot reach the bot: it refuses such addresses.
    """
    hook = {"hook_attributes": {"url": public_url + HOOK, "active": True}, "default_events": list(EVENTS)}
    return {
        "name": name[:LONGEST_NAME],
        "url": public_url,
        "redirect_url": f"{public_url}/setup/created",
        "setup_url": f"{public_url}/setup",
        "setup_on_update": True,
        "callback_urls": [signin.callback_url(public_url)],
        "request_oauth_on_install": False,
        "public": False,
        "default_permissions": PERMISSIONS,
        **(hook if reachable else {}),
    }


def form_action(github_url: str, organization: str, state: str) -> str:
    """Where the manifest is posted to, for an organization or the user's own account. Raises Invalid."""
    if organization and not _ORGANIZATION.fullmatch(organization):
        raise Invalid("organization: expected its name as it stands in its address, such as octo-org")
    whose = f"/organizations/{organization}" if organization else ""
    return f"{github_url}{whose}/settings/apps/new?{urlencode({'state': state})}"


def make(settings: Settings, code: str, *, now: int) -> App:
    """Get the App that GitHub has made, and keep it. Raises CallFailed, Invalid, Conflict, BadAppFile."""
    if not _CODE.fullmatch(code):
        raise Invalid("code: expected what GitHub sends along")
    if settings.app is not None:
        raise Conflict(f"there is an App already: take {settings.home / appfile.FILE} away to use another one")
    # Nobody is signed in for it, so neither does our limit hold for it nor its limit for us.
    with closing(Client(settings.github_api_url, settings.github_api_version)) as client:
        made = apps.from_manifest(client, code, now=now)
    appfile.keep(settings.home, made)
    return made


def look(settings: Settings, app: App, *, now: int) -> Look:
    """Ask GitHub what the App may do, and where. Raises CallFailed."""
    begun = time.monotonic()
    with closing(_client(settings)) as client:
        tokens = AppTokens(client, app.issuer, app.pem)
        permissions = tokens.as_app(lambda jwt: apps.permissions(client, jwt), now=now)
        installations = tokens.as_app(lambda jwt: apps.installations(client, jwt), now=now)
        places = []
        for each in installations:
            late = time.monotonic() - begun > PATIENCE
            places.append(Place(each, [], "not asked for") if late else _place(client, tokens, each, now))
    return Look(permissions, places)


def rotate(settings: Settings, *, now: int) -> None:
    """Give the App another webhook secret. Until GitHub has signed with it, or for an hour, the earlier one counts too.

    Whenever this ends, what GitHub signs with is believed: the file holds both before GitHub is asked. Where it is not
    known whether GitHub has taken the new one, asking again offers that one once more.
    Raises Conflict without an App, CallFailed, BadAppFile.
    """
    app = appfile.change(settings.home, _begin_rotation)
    if app is None:
        raise Conflict("there is no App of the set-up page's whose webhook secret could be changed")
    try:
        with closing(_client(settings)) as client:
            tokens = AppTokens(client, app.issuer, app.pem)
            tokens.as_app(lambda jwt: apps.set_webhook_secret(client, jwt, app.webhook_secret), now=now)
    except CallFailed as failed:
        if failed.permanent:
            appfile.change(settings.home, lambda it: _undone(it, app))
        raise
    appfile.change(settings.home, lambda it: _confirmed(it, app, now + ROTATING))


def _client(settings: Settings) -> Client:
    return QuietClient(settings.github_api_url, settings.github_api_version)


def _place(client: Client, tokens: AppTokens, installation: Installation, now: int) -> Place:
    if installation.suspended:
        return Place(installation, [], "suspended on GitHub: the bot can do nothing there")
    try:
        token = tokens.as_app(lambda jwt: apps.whole_token(client, jwt, installation.id, _METADATA), now=now)
        return Place(installation, apps.repositories(client, token.token))
    except CallFailed as failed:
        return Place(installation, [], str(failed))


def _begin_rotation(app: App) -> App:
    if app.earlier_secret and app.earlier_until is None:  # begun before, and it is not known how it went
        return app
    fresh = secrets.token_hex(32)
    return msgspec.structs.replace(app, webhook_secret=fresh, earlier_secret=app.webhook_secret, earlier_until=None)


def _undone(app: App, begun: App) -> App:
    if app.webhook_secret != begun.webhook_secret:
        return app
    return msgspec.structs.replace(app, webhook_secret=begun.earlier_secret).without_earlier()


def _confirmed(app: App, begun: App, until: int) -> App:
    if app.webhook_secret != begun.webhook_secret or not app.earlier_secret:
        return app
    return msgspec.structs.replace(app, earlier_until=until)
