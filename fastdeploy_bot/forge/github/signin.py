"""Sign-in: who somebody is by GitHub's word, and which role their permissions come to.

Source: https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app/generating-a-user-access-token-for-a-github-app
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Sequence
from contextlib import closing
from http import HTTPStatus
from typing import Final
from urllib.parse import urlencode

from fastdeploy_bot.core.guests import Deployed
from fastdeploy_bot.forge.github.api import apps, collaborators, people, repositories
from fastdeploy_bot.forge.github.api.collaborators import Permission
from fastdeploy_bot.forge.github.api.people import BadCode
from fastdeploy_bot.forge.github.api.repositories import Repository
from fastdeploy_bot.forge.github.app_auth import AppTokens
from fastdeploy_bot.forge.github.client import CallFailed, Client
from fastdeploy_bot.forge.github.permissions import Needs
from fastdeploy_bot.forge.github.policy import Refusal
from fastdeploy_bot.settings import AppKey, OAuthApp, Settings
from fastdeploy_bot.words import Person, Role

log = logging.getLogger(__name__)

CALLBACK: Final = "/login/github/callback"
PATIENCE: Final = 20.0
"""Seconds after which nothing more is asked for somebody who waits."""
WRITERS: Final = frozenset({"write", "admin"})
"""The permissions of those who may write; `maintain` and roles of other names come to one of these."""

_CODE: Final = re.compile(r"[A-Za-z0-9_-]{1,200}")


def callback_url(public_url: str) -> str:
    """Where GitHub sends people back to; the App has to name it."""
    return public_url + CALLBACK


def page_url(settings: Settings, app: OAuthApp, *, state: str, challenge: str) -> str:
    """GitHub's page that asks whether the App may know who somebody is."""
    query = {
        "client_id": app.client_id,
        "redirect_uri": callback_url(settings.effective_public_url),
        "state": state,
        "code_challenge": challenge,
        "code_challenge_method": "S256",
        "allow_signup": "false",
    }
    return f"{settings.github_url}/login/oauth/authorize?{urlencode(query)}"


def identify(settings: Settings, app: OAuthApp, code: str, *, verifier: str) -> Person:
    """Who came back with that code. Raises BadCode, CallFailed."""
    if not _CODE.fullmatch(code):
        raise BadCode(Refusal(None, "that is no code of GitHub's"))
    back = callback_url(settings.effective_public_url)
    with closing(Client(settings.github_url, settings.github_api_version, accept=people.JSON)) as client:
        token = people.trade(client, app, code, verifier=verifier, redirect_uri=back)
    with closing(_client(settings)) as client:
        try:
            return people.me(client, token)
        finally:
            _end(client, app, token)


def role(settings: Settings, person: Person, deployed: Sequence[Deployed], *, now: int) -> Role | None:
    """The role that somebody's permissions come to: the least that any repository gives; None where one gives nothing.

    Roles are for the whole bot, so the best must not count: whoever owns one repository would deploy all of them.
    Raises CallFailed.
    """
    begun = time.monotonic()
    with closing(_client(settings)) as client:
        tokens = _Tokens(settings, client, now)
        found: list[Role] = []
        for each in deployed:
            if time.monotonic() - begun > PATIENCE:
                raise CallFailed(Refusal(None, "GitHub took too long to say what somebody may do"))
            given = _role_in(client, tokens, each, person)
            if given is None:
                return None
            found.append(given)
    return min(found, key=lambda each: each.rank, default=None)


class _Tokens:
    """Tokens of the App's that can look at repositories and do nothing else, one for each owner."""

    def __init__(self, settings: Settings, client: Client, now: int) -> None:
        key = settings.sign_in
        if not isinstance(key, AppKey):
            raise CallFailed(Refusal(None, "there is no GitHub App any more"))
        self._app = AppTokens(client, key.issuer, key.private_key)
        self._client = client
        self._now = now
        self._made: dict[str, str] = {}

    def token(self, repository: str) -> str:
        """The one for a repository. Raises CallFailed."""
        owner = repository.partition("/")[0].lower()
        if owner not in self._made:
            self._made[owner] = self._app.as_app(lambda jwt: self._new(jwt, repository), now=self._now)
        return self._made[owner]

    def _new(self, jwt: str, repository: str) -> str:
        installation = apps.installation_of(self._client, jwt, repository)
        return apps.whole_token(self._client, jwt, installation, Needs().named).token


def _role_in(client: Client, tokens: _Tokens, deployed: Deployed, person: Person) -> Role | None:
    """What somebody's permission in one repository comes to; what GitHub does not let the App see is nothing."""
    try:
        token = tokens.token(deployed.name)
        repository = repositories.get(client, token, deployed.name).found
        known = collaborators.permission(client, token, repository.full_name, person.login)
        role, why = judged(deployed, repository, known, person)
    except CallFailed as failed:
        if failed.refusal.status not in (HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND) or not failed.permanent:
            raise
        role, why = None, str(failed)
    if role is None:
        facts = {"repository": deployed.name, "login": person.login, "problem": why}
        log.info("somebody on github is given nothing by a repository", extra=facts)
    return role


def judged(deployed: Deployed, repository: Repository, known: Permission, person: Person) -> tuple[Role | None, str]:
    """The role that a permission comes to, and why; None: nothing. Pure.

    In a public repository everybody has `read`, and in one that is internal everybody of an enterprise.
    """
    if deployed.id not in (None, repository.id):
        return None, "another repository has its name"
    if known.person != person.id:
        return None, "the name is somebody else's by now"
    if known.permission in WRITERS:
        return Role.DEPLOYER, known.permission
    if known.permission == "read" and repository.closed:
        return Role.VIEWER, known.permission
    return None, f"{known.permission} is too little"


def _end(client: Client, app: OAuthApp, token: str) -> None:
    """Throw a user's token away; where GitHub does not hear that, it ends by itself, and nobody has it."""
    try:
        people.end_token(client, app, token)
    except CallFailed as failed:
        log.warning("a user's token could not be ended", extra={"problem": str(failed)})


def _client(settings: Settings) -> Client:
    return Client(settings.github_api_url, settings.github_api_version)
