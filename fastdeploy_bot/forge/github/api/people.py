"""People: who somebody is that came back from GitHub's sign-in with a code.

The token that the code is traded for tells that once, and is ended.
Source: https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app/generating-a-user-access-token-for-a-github-app
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Final
from urllib.parse import quote

import msgspec

from fastdeploy_bot.forge.github.client import CallFailed, Client, not_understood, understood
from fastdeploy_bot.forge.github.policy import Refusal
from fastdeploy_bot.forge.github.shapes import Integer, Login
from fastdeploy_bot.settings import OAuthApp
from fastdeploy_bot.words import Person

JSON: Final = "application/json"
"""What an answer has to be asked for as at GitHub's own address, which speaks forms else."""


class BadCode(CallFailed):
    """A code was used before, or is too old, or is none."""


class _User(msgspec.Struct, frozen=True):
    id: Integer
    login: Login
    type: str = "User"


def trade(client: Client, app: OAuthApp, code: str, *, verifier: str, redirect_uri: str) -> str:
    """The user's token for a code. The client is one of GitHub's own address. Raises BadCode, CallFailed."""
    body = {
        "client_id": app.client_id,
        "client_secret": app.client_secret,
        "code": code,
        "code_verifier": verifier,
        "redirect_uri": redirect_uri,
    }
    data = client.call("POST", "/login/oauth/access_token", None, body=body).data
    told = data if isinstance(data, dict) else {}
    token, error = told.get("access_token"), told.get("error")
    if isinstance(token, str) and token:
        return token
    if error == "bad_verification_code":
        raise BadCode(Refusal(None, "GitHub does not take that code"))
    if isinstance(error, str):
        raise CallFailed(Refusal(None, f"GitHub gave no token: {error[:100]}", final=True))
    raise not_understood("no token")


def me(client: Client, token: str) -> Person:
    """Whose token that is."""
    found = understood(client.call("GET", "/user", token).data, _User, "user")
    return Person(id=found.id, login=found.login, bot=found.type != "User")


def end_token(client: Client, app: OAuthApp, token: str) -> None:
    """Have a user's token be good for nothing any more."""
    path = f"/applications/{quote(app.client_id, safe='')}/token"
    client.call("DELETE", path, app, expected={HTTPStatus.NO_CONTENT}, body={"access_token": token})
