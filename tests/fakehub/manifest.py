"""GitHub's own pages on the way to an App: made from a manifest, installed, and its webhook as it then delivers."""

from __future__ import annotations

import hashlib
import hmac
import html
import http.client
import json
import re
import secrets
from collections.abc import Callable
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs, urlencode, urlsplit
from uuid import uuid4

import appkeys
from fakehub.signin import CLIENT_SECRET
from fakehub.wire import APP_ID, CLIENT_ID, INSTALLATION, Answer, Json, as_json

if TYPE_CHECKING:
    from fakehub import FakeHub

SLUG: Final = "shop-bot"
KEYS: Final = frozenset(
    {"name", "url", "hook_attributes", "redirect_url", "callback_urls", "setup_url", "description", "public"}
    | {"default_events", "default_permissions", "request_oauth_on_install", "setup_on_update"}
)
"""What a manifest may hold."""
EVENTS: Final = {
    "push": "contents",
    "check_run": "checks",
    "check_suite": "checks",
    "status": "statuses",
    "repository": "metadata",
}
"""Events, each with the permission that it needs."""


class Manifests:
    """One App is made of whatever comes last; `codes` can be exchanged once each."""

    def __init__(self, hub: FakeHub) -> None:
        self.hub = hub
        self.codes: dict[str, Json] = {}
        self.made: Json = {}
        """The manifest of the App."""
        self.secret = ""
        """What its webhooks are signed with."""
        self.answers: list[int] = []
        """What the webhook answered to each delivery."""

    def page(self, method: str, path: str, raw: bytes) -> Answer | None:
        """The answer to a browser; None where this is none of the pages."""
        path, _, query = path.partition("?")
        given = {name: values[-1] for name, values in parse_qs(f"{query}&{raw.decode()}").items()}
        pages: dict[str, Callable[[dict[str, str]], Answer]] = {
            r"POST (/organizations/[^/]+)?/settings/apps/new": self._ask,
            r"POST /create": self._create,
            r"GET /apps/shop-bot/installations/new": self._choose,
            r"POST /install": self._install,
        }
        for pattern, answer in pages.items():
            if re.fullmatch(pattern, f"{method} {path}"):
                return answer(given)
        return None

    def exchange(self, code: str) -> Json | None:
        """The App for a code, once."""
        manifest = self.codes.pop(code, None)
        if manifest is None:
            return None
        return {
            "id": int(APP_ID),
            "client_id": CLIENT_ID,
            "slug": SLUG,
            "name": manifest["name"],
            "owner": {"login": "octo-org"},
            "html_url": f"{self.hub.web}/apps/{SLUG}",
            "permissions": manifest["default_permissions"],
            "client_secret": CLIENT_SECRET,
            "webhook_secret": self.secret or None,
            "pem": appkeys.pem(),
        }

    def deliver(self, event: str, body: Json) -> int:
        """Send a webhook of the App's; answers the status."""
        url, raw = urlsplit(self.made["hook_attributes"]["url"]), json.dumps(body).encode()
        signature = hmac.new(self.secret.encode(), raw, hashlib.sha256).hexdigest()
        headers = {
            "Content-Type": "application/json",
            "X-GitHub-Event": event,
            "X-GitHub-Delivery": str(uuid4()),
            "X-Hub-Signature-256": f"sha256={signature}",
        }
        connection = http.client.HTTPConnection("127.0.0.1", url.port or 80, timeout=30)
        try:
            connection.request("POST", url.path, raw, headers)
            status = connection.getresponse().status
        finally:
            connection.close()
        self.answers.append(status)
        return status

    def _ask(self, given: dict[str, str]) -> Answer:
        manifest = json.loads(given["manifest"])
        if wrong := _wrong(manifest):
            self.hub.wrongs.append(wrong)
            return _html(f"<p>{html.escape(wrong)}</p>", 422)
        fields = {"manifest": given["manifest"], "state": given.get("state", "")}
        return _html(_form("/create", f"Create GitHub App {manifest['name']}", fields))

    def _create(self, given: dict[str, str]) -> Answer:
        self.made = json.loads(given["manifest"])
        self.hub.granted = dict(self.made["default_permissions"])
        self.hub.sign_in.callbacks = set(self.made["callback_urls"])
        self.secret = secrets.token_hex(20) if "hook_attributes" in self.made else ""
        code = secrets.token_hex(20)
        self.codes[code] = self.made
        if self.secret:
            # Nobody but GitHub knows the secret yet.
            self.deliver("ping", {"zen": "Speak like a human.", "hook": {"type": "App", "app_id": int(APP_ID)}})
        return _to(f"{self.made['redirect_url']}?{urlencode({'code': code, 'state': given['state']})}")

    def _choose(self, _given: dict[str, str]) -> Answer:
        return _html(_form("/install", "Install", {}))

    def _install(self, _given: dict[str, str]) -> Answer:
        self.hub.installations["octo-org/shop"] = INSTALLATION
        installation = {"id": INSTALLATION, "account": {"login": "octo-org"}, "app_id": int(APP_ID)}
        if self.secret:
            self.deliver("installation", {"action": "created", "installation": installation, "repositories": []})
        more = urlencode({"installation_id": INSTALLATION, "setup_action": "install"})
        return _to(f"{self.made['setup_url']}?{more}")


def _wrong(manifest: Json) -> str:
    """What GitHub has against a manifest."""
    if strange := manifest.keys() - KEYS:
        return f"manifest: unknown {sorted(strange)}"
    permissions, name = manifest.get("default_permissions", {}), manifest.get("name", "")
    lacking = [event for event in manifest.get("default_events", []) if EVENTS.get(event) not in permissions]
    if lacking:
        return f"Default events unsupported: {lacking}"
    if not name or len(name) > 34:
        return "Name is too long (maximum is 34 characters)"
    hook = manifest.get("hook_attributes", {}).get("url", "https://deploy.example/")
    if urlsplit(hook).hostname in {"localhost", "127.0.0.1"}:
        return "Hook url is not supported because it isn't reachable over the public Internet"
    return "" if re.match(r"https?://", manifest.get("url", "")) else "Url must be a valid URL"


def _form(action: str, button: str, fields: dict[str, str]) -> str:
    inputs = "".join(
        f'<input type="hidden" name="{name}" value="{html.escape(value)}">' for name, value in fields.items()
    )
    return f'<form method="post" action="{action}">{inputs}<button>{html.escape(button)}</button></form>'


def _html(text: str, status: int = 200) -> Answer:
    page = (
        f'<!doctype html><html lang="en"><head><title>GitHub</title><link rel="icon" href="data:,"></head>{text}</html>'
    )
    return Answer(status, {"Content-Type": "text/html; charset=utf-8"}, page.encode())


def _to(url: str) -> Answer:
    return Answer(302, {"Location": url}, as_json({}))
