"""Signing in: the page on which somebody lets the App know who they are, and what the code is traded for."""

from __future__ import annotations

import base64
import hashlib
import html
import re
import secrets
from collections.abc import Mapping
from typing import Final, NamedTuple
from urllib.parse import parse_qs, urlencode

from fakehub.wire import CLIENT_ID, Answer, Area, Handler, Refused, Request, answered

CLIENT_SECRET: Final = "client-secret-of-the-app"
PAGE: Final = "/login/oauth/authorize"


class Grant(NamedTuple):
    """What somebody has agreed to."""

    login: str
    redirect_uri: str
    challenge: str


class SignIn(Area):
    """`callbacks`: where people may be sent back to. `codes` are good for one trade each, `tokens` tell whose."""

    callbacks: set[str]
    codes: dict[str, Grant]
    tokens: dict[str, str]
    ended: list[str]
    """The tokens that were ended."""

    def routes(self) -> Mapping[str, Handler]:
        """Trading a code, and what its token is good for."""
        self.callbacks, self.codes, self.tokens, self.ended = set(), {}, {}, []
        return {
            "POST /login/oauth/access_token": self._trade,
            "GET /user": self._me,
            "DELETE /applications/{client_id}/token": self._end,
        }

    def page(self, method: str, path: str, raw: bytes) -> Answer | None:
        """The answer to a browser; None where this is not the page."""
        path, _, query = path.partition("?")
        if path != PAGE:
            return None
        given = {name: values[-1] for name, values in parse_qs(f"{query}&{raw.decode()}").items()}
        if wrong := self._wrong(given):
            self.hub.wrongs.append(wrong)
            return _html(f"<p>{html.escape(wrong)}</p>", 422)
        return self._agreed(given) if method == "POST" else self._ask(given)

    def agree(self, url: str, login: str) -> str:
        """Let the App know that somebody is that; answers where GitHub sends the browser then."""
        query = {name: values[-1] for name, values in parse_qs(url.partition("?")[2]).items()}
        assert "" == self._wrong(query), query
        return self._agreed(query | {"login": login}).headers["Location"]

    def _wrong(self, given: Mapping[str, str]) -> str:
        """What GitHub has against the way on which somebody comes."""
        if given.get("client_id") != CLIENT_ID:
            return "404: no such App"
        if given.get("redirect_uri") not in self.callbacks:
            return "The redirect_uri is not associated with this application."
        if given.get("code_challenge_method") != "S256" or len(given.get("code_challenge", "")) != 43:
            return "code_challenge: expected a challenge by S256"
        return "" if given.get("state") else "no state"

    def _ask(self, given: Mapping[str, str]) -> Answer:
        fields = "".join(
            f'<input type="hidden" name="{html.escape(name)}" value="{html.escape(value)}">'
            for name, value in given.items()
        )
        people = "".join(
            f'<button name="login" value="{name}">Authorize as {name}</button>' for name in self.hub.people
        )
        cancel = '<button name="denied" value="1">Cancel</button>'
        return _html(f'<form method="post" action="{PAGE}">{fields}{people}{cancel}</form>')

    def _agreed(self, given: Mapping[str, str]) -> Answer:
        told = {"state": given["state"]}
        if "denied" in given:
            told |= {"error": "access_denied", "error_description": "The user has denied your application access."}
        else:
            code = secrets.token_hex(10)
            self.codes[code] = Grant(given["login"], given["redirect_uri"], given["code_challenge"])
            told["code"] = code
        return Answer(302, {"Location": f"{given['redirect_uri']}?{urlencode(told)}"}, b"")

    def _trade(self, request: Request, _found: re.Match[str]) -> Answer:
        body = request.body
        if (body.get("client_id"), body.get("client_secret")) != (CLIENT_ID, CLIENT_SECRET):
            return _error("incorrect_client_credentials")
        grant = self.codes.pop(body.get("code", ""), None)
        digest = hashlib.sha256(body.get("code_verifier", "").encode()).digest()
        if grant is None or base64.urlsafe_b64encode(digest).rstrip(b"=").decode() != grant.challenge:
            return _error("bad_verification_code")
        if body.get("redirect_uri") != grant.redirect_uri:
            return _error("redirect_uri_mismatch")
        token = f"ghu_{secrets.token_hex(18)}"
        self.tokens[token] = grant.login
        rest = {"expires_in": 28_800, "refresh_token": "ghr_x", "refresh_token_expires_in": 15_897_600, "scope": ""}
        return answered({"access_token": token, "token_type": "bearer", **rest})

    def _me(self, request: Request, _found: re.Match[str]) -> Answer:
        login = self.tokens.get(request.bearer)
        if login is None:
            raise Refused(401, "Bad credentials")
        return answered({"login": login, "id": self.hub.people[login.lower()][0], "type": "User"})

    def _end(self, request: Request, found: re.Match[str]) -> Answer:
        pair = base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()
        if request.headers.get("authorization") != f"Basic {pair}" or found["client_id"] != CLIENT_ID:
            raise Refused(404, "Not Found")
        if self.tokens.pop(request.body["access_token"], None) is None:
            raise Refused(422, "Validation Failed")
        self.ended.append(request.body["access_token"])
        return Answer(204, {}, b"")


def _error(name: str) -> Answer:
    """As GitHub tells errors there: with the status 200."""
    return answered({"error": name, "error_description": "…", "error_uri": "https://docs.github.com/"})


def _html(text: str, status: int = 200) -> Answer:
    page = (
        f'<!doctype html><html lang="en"><head><title>GitHub</title><link rel="icon" href="data:,"></head>{text}</html>'
    )
    return Answer(status, {"Content-Type": "text/html; charset=utf-8"}, page.encode())
