"""A bot elsewhere: commands ask its API, as whoever's token FASTDEPLOY_USER_TOKEN holds."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

import msgspec

from fastdeploy_bot.cli.bot import Ears
from fastdeploy_bot.cli.client import Client
from fastdeploy_bot.core import clock
from fastdeploy_bot.core.deploying.services import Sync
from fastdeploy_bot.core.deploying.starting import Wish
from fastdeploy_bot.core.output.logs import Excerpt
from fastdeploy_bot.core.pushes.intake import Receipt
from fastdeploy_bot.core.telling.views import DeliveryView, DeploymentView, ServiceView, TokenView

T = TypeVar("T")


class _Page(msgspec.Struct, Generic[T], frozen=True):
    items: list[T]


class _Secret(msgspec.Struct, frozen=True):
    token: str


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
    def listen(self, number: int) -> Iterator[Ears]:
        """Begin to hear of a deployment."""
        from fastdeploy_bot.cli.ears import RemoteEars  # a look that does not last needs no websocket

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

    def roll_back(self, service: str, *, to: int | None) -> DeploymentView:
        """Deploy the last good commit before the live one again, or that of a deployment."""
        return self._client.post(DeploymentView, "services", service, "rollback", body={"to": to})

    def lock(self, service: str, reason: str, *, until: int | None) -> ServiceView:
        """Let nothing of a service begin, until a moment in Unix milliseconds or for good."""
        wish = {"reason": reason, "until": clock.text(until)}
        return self._client.post(ServiceView, "services", service, "lock", body=wish)

    def unlock(self, service: str) -> None:
        """End a service's lock, if it has one."""
        self._client.delete("services", service, "lock")

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

    def create_token(self, service: str, *, days: int, name: str) -> str:
        """A new service token's text."""
        return self._client.post(_Secret, "services", service, "tokens", body={"days": days, "name": name}).token

    def revoke_token(self, service: str, number: int) -> None:
        """End a service token."""
        self._client.delete("services", service, "tokens", number)
