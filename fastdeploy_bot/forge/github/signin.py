"""Sign-in: who somebody is by GitHub's word.

Source: https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app/generating-a-user-access-token-for-a-github-app
"""

from __future__ import annotations

import logging
import re
from contextlib import closing
from typing import Final
from urllib.parse import urlencode

from fastdeploy_bot.forge.github.api import people
from fastdeploy_bot.forge.github.api.people import BadCode
from fastdeploy_bot.forge.github.client import CallFailed, Client
from fastdeploy_bot.forge.github.policy import Refusal
from fastdeploy_bot.settings import OAuthApp, Settings
from fastdeploy_bot.words import Person

log = logging.getLogger(__name__)

CALLBACK: Final = "/login/github/callback"

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


def _end(client: Client, app: OAuthApp, token: str) -> None:
    """Throw a user's token away; where GitHub does not hear that, it ends by itself, and nobody has it."""
    try:
        people.end_token(client, app, token)
    except CallFailed as failed:
        log.warning("a user's token could not be ended", extra={"problem": str(failed)})


def _client(settings: Settings) -> Client:
    return Client(settings.github_api_url, settings.github_api_version)
