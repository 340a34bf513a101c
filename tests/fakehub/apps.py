"""GitHub Apps: who they are, where they are installed, and the tokens that they are given."""

from __future__ import annotations

import base64
import binascii
import json
import re
import secrets
import time
from collections.abc import Mapping

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256

import fakehub
from fakehub.wire import APP_ID, CLIENT_ID, Answer, Area, Handler, Refused, Request, answered


class Apps(Area):
    """One App, installed where the hub's `installations` say, with what `granted` says."""

    def routes(self) -> Mapping[str, Handler]:
        """Installations and their tokens."""
        return {
            "GET /repos/{repository}/installation": self._installation,
            "POST /app/installations/{number}/access_tokens": self._grant,
            "POST /app-manifests/{code}/conversions": self._exchange,
            "GET /app": self._app,
            "GET /app/installations": self._list,
            "GET /installation/repositories": self._repositories,
            "PATCH /app/hook/config": self._configure,
        }

    def _exchange(self, _request: Request, found: re.Match[str]) -> Answer:
        made = self.hub.app.exchange(found["code"])
        if made is None:
            raise Refused(404, "Not Found")
        return answered(made, 201)

    def _app(self, request: Request, _found: re.Match[str]) -> Answer:
        self.hub.require_app(request.bearer)
        return answered({"id": int(APP_ID), "permissions": self.hub.granted, "events": ["push"]})

    def _list(self, request: Request, _found: re.Match[str]) -> Answer:
        self.hub.require_app(request.bearer)
        owners = {number: name.partition("/")[0] for name, number in self.hub.installations.items()}
        return answered([self._installed(number, owner) for number, owner in owners.items()])

    def _installed(self, number: int, owner: str) -> dict[str, object]:
        suspended = "2026-01-01T00:00:00Z" if number in self.hub.suspended else None
        url = f"{self.hub.web}/organizations/{owner}/settings/installations/{number}"
        return {"id": number, "account": {"login": owner}, "html_url": url, "suspended_at": suspended}

    def _repositories(self, request: Request, _found: re.Match[str]) -> Answer:
        token = self.hub.tokens.get(request.bearer)
        if token is None:
            raise Refused(401, "Bad credentials")
        names = [name for name in self.hub.installations if token.repository in (None, name)]
        return answered({"total_count": len(names), "repositories": [{"full_name": name} for name in names]})

    def _configure(self, request: Request, _found: re.Match[str]) -> Answer:
        self.hub.require_app(request.bearer)
        self.hub.app.secret = request.body["secret"]
        return answered({"content_type": "json", "secret": "********"})

    def _installation(self, request: Request, found: re.Match[str]) -> Answer:
        self.hub.require_app(request.bearer)
        number = self.hub.installations.get(found["repository"].lower())
        if number is None:
            raise Refused(404, "Not Found")
        return answered({"id": number})

    def _grant(self, request: Request, found: re.Match[str]) -> Answer:
        self.hub.require_app(request.bearer)
        hub, body = self.hub, request.body
        here = [name for name, number in hub.installations.items() if str(number) == found["number"]]
        owned = {name.partition("/")[2]: name for name in here}
        if not owned:
            raise Refused(404, "Not Found")
        if int(found["number"]) in hub.suspended:
            raise Refused(403, "This installation has been suspended")
        [name] = body.get("repositories") or [None]
        wanted = body.get("permissions") or hub.granted
        if name is not None and name.lower() not in owned:
            raise Refused(422, "There is at least one repository that does not exist or is not accessible")
        if any(hub.granted.get(what) not in (level, "write") for what, level in wanted.items()):
            raise Refused(422, "The permissions requested are not granted to this installation.")
        token, expires = f"ghs_{secrets.token_hex(8)}", hub.now() + hub.lifetime
        with hub.lock:
            hub.tokens[token] = fakehub.Token(name and owned[name.lower()], wanted, expires)
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(expires))
        answer = {"token": token, "expires_at": stamp, "permissions": wanted, "repository_selection": "selected"}
        return answered(answer, 201)


def wrong_with_jwt(token: str, key: RSAPublicKey, now: float) -> str:
    """What GitHub has against a JWT; read by hand, to share nothing with the library that made it."""
    try:
        head, claims, signature = token.split(".")
        header, payload = json.loads(_unpadded(head)), json.loads(_unpadded(claims))
        key.verify(_unpadded(signature), f"{head}.{claims}".encode(), PKCS1v15(), SHA256())
    except (ValueError, binascii.Error, InvalidSignature):
        return "A JSON web token could not be decoded"
    if header.get("alg") != "RS256":
        return "A JSON web token could not be decoded"
    if payload.get("iss") not in (APP_ID, CLIENT_ID):
        return "'Issuer' claim ('iss') must be a String: the App's id"
    issued, expires = payload.get("iat"), payload.get("exp")
    if not isinstance(issued, int) or issued > now:
        return "'Issued at' claim ('iat') must be an Integer representing the time that the assertion was issued"
    if not isinstance(expires, int) or expires <= now:
        return "'Expiration time' claim ('exp') must be a numeric value representing the future time"
    return "'Expiration time' claim ('exp') is too far in the future" if expires > now + 600 else ""


def _unpadded(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
