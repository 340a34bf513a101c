"""A bot elsewhere: commands ask its API, as whoever's token FASTDEPLOY_USER_TOKEN holds."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, Generic, TypeVar

import msgspec

from fastdeploy_bot.cli.client import Client
from fastdeploy_bot.cli.wire import Closed, Refused, Wire
from fastdeploy_bot.core.intake import Receipt
from fastdeploy_bot.core.logs import Excerpt
from fastdeploy_bot.core.services import Sync
from fastdeploy_bot.core.starting import Wish
from fastdeploy_bot.core.views import DeliveryView, DeploymentView, ServiceView, TokenView

T = TypeVar("T")

DEAF_SECONDS: Final = 1.0
"""How often to look while the feed cannot be heard."""
HEARING_SECONDS: Final = 10.0
"""How often to look while it can: a connection may die without a word."""
LONGEST_PAUSE: Final = 30.0
"""Between two attempts to hear the feed."""


class _Page(msgspec.Struct, Generic[T], frozen=True):
    items: list[T]


class _Secret(msgspec.Struct, frozen=True):
    token: str


class RemoteEars:
    """Hears of one deployment by the feed; looks by the clock where the bot does not let it, or is away."""

    def __init__(self, client: Client, number: int) -> None:
        self._client = client
        self._number = number
        self._wire: Wire | None = None
        self._refused = False
        self._pause = 1.0
        self._next_try = 0.0
        self._looked = time.monotonic()

    def wait(self, seconds: float) -> bool:
        """Wait for news of the deployment, at most `seconds`; answers whether it is time to look."""
        news = self._connect() if self._wire is None else self._hear(self._wire, seconds)
        if self._wire is None:
            time.sleep(seconds)
        pause = DEAF_SECONDS if self._wire is None else HEARING_SECONDS
        if not news and time.monotonic() < self._looked + pause:
            return False
        self._looked = time.monotonic()
        return True

    def close(self) -> None:
        """Stop hearing."""
        if self._wire is not None:
            self._wire.close()
            self._wire = None

    def _connect(self) -> bool:
        """Whether the feed can be heard again: what came meanwhile has to be looked up."""
        if self._refused or time.monotonic() < self._next_try:
            return False
        try:
            self._wire = Wire(self._client.url, f"/feed?deployment={self._number}", self._client.headers)
        except Refused as refusal:
            self._refused = 400 <= refusal.status < 500 and refusal.status != 429
        except Closed:
            pass
        self._next_try = time.monotonic() + self._pause
        self._pause = 1.0 if self._wire is not None else min(2 * self._pause, LONGEST_PAUSE)
        return self._wire is not None

    def _hear(self, wire: Wire, seconds: float) -> bool:
        try:
            return any(self._concerns(message) for message in wire.receive(seconds))
        except Closed as closed:
            self._refused = isinstance(closed, Refused)
            self.close()
            return True

    def _concerns(self, message: str) -> bool:
        """Whether a message of the feed is about this deployment, or about the feed itself."""
        try:
            told = json.loads(message)
        except ValueError:
            return False
        return isinstance(told, dict) and _about(told) in (None, self._number)


def _about(told: dict[str, Any]) -> object:
    """The deployment that a message is about; None where it is about the feed itself."""
    kind = told.get("type")
    thing = told.get(kind) if isinstance(kind, str) else None
    if kind == "log":
        return told.get("deployment")
    if isinstance(thing, dict):
        return thing.get("id", False) if kind == "deployment" else thing.get("deployment", False)
    return None


class RemoteBot:
    """A bot by its API; a `cli.bot.Bot`."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def services(self) -> list[ServiceView]:
        """The services that the token may read, by name."""
        return self._client.get(_Page[ServiceView], "services").items

    def service(self, name: str) -> ServiceView:
        """One service."""
        return self._client.get(ServiceView, "services", name)

    def sync(self) -> Sync:
        """Bring the services in step with their files."""
        return self._client.post(Sync, "services", "sync")

    def deployments(self, service: str | None, *, limit: int) -> list[DeploymentView]:
        """The newest deployments, of one service or of all."""
        return self._client.get(_Page[DeploymentView], "deployments", service=service or "", limit=limit).items

    def deployment(self, number: int) -> DeploymentView:
        """One deployment."""
        return self._client.get(DeploymentView, "deployments", number)

    def log(self, number: int, offset: int) -> Excerpt:
        """A deployment's output from that byte on."""
        reply = self._client.fetch("deployments", number, "log", offset=offset)
        first, _, last = reply.headers.get("X-Log-Gap", "").partition("-")
        gap = (int(first), int(last)) if first.isdigit() and last.isdigit() else None
        end = reply.headers.get("X-Log-End", "")
        return Excerpt(reply.body, int(end) if end.isdigit() else offset + len(reply.body), gap)

    @contextmanager
    def listen(self, number: int) -> Iterator[RemoteEars]:
        """Begin to hear of a deployment."""
        with contextlib.closing(RemoteEars(self._client, number)) as ears:
            yield ears

    def start(self, service: str, wish: Wish) -> DeploymentView:
        """Queue a deployment."""
        given = {name: value for name, value in msgspec.structs.asdict(wish).items() if value is not None}
        return self._client.post(DeploymentView, "deployments", body={"service": service, **given})

    def cancel(self, number: int) -> DeploymentView:
        """End a deployment, or ask a running one to stop."""
        return self._client.post(DeploymentView, "deployments", number, "cancel")

    def retry(self, number: int) -> DeploymentView:
        """Deploy the same commit once more."""
        return self._client.post(DeploymentView, "deployments", number, "retry")

    def awake(self) -> bool:
        """It has just answered."""
        return True

    def deliveries(self, *, limit: int) -> list[DeliveryView]:
        """The newest deliveries."""
        return self._client.get(_Page[DeliveryView], "deliveries", limit=limit).items

    def delivery(self, guid: str) -> DeliveryView:
        """One delivery."""
        return self._client.get(DeliveryView, "deliveries", guid)

    def replay(self, guid: str) -> Receipt:
        """Decide a kept push once more."""
        return self._client.post(Receipt, "deliveries", guid, "replay")

    def tokens(self, service: str) -> list[TokenView]:
        """A service's tokens, newest first."""
        return self._client.get(_Page[TokenView], "services", service, "tokens").items

    def create_token(self, service: str, *, days: int) -> str:
        """A new service token's text."""
        return self._client.post(_Secret, "services", service, "tokens", body={"days": days}).token

    def revoke_token(self, service: str, number: int) -> None:
        """End a service token."""
        self._client.delete("services", service, "tokens", number)
