"""A bot as commands see it: this host's, worked on by its rows, or one elsewhere, by its API. Both print the same."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:  # every command loads this module, and not every one needs rows
    from fastdeploy_bot.core.deploying.services import Sync
    from fastdeploy_bot.core.deploying.starting import Wish
    from fastdeploy_bot.core.output.logs import Excerpt
    from fastdeploy_bot.core.pushes.intake import Receipt
    from fastdeploy_bot.core.telling.views import DeliveryView, DeploymentView, ServiceView, TokenView


class Ears(Protocol):
    """Hears when there may be something new of one deployment. What that is, has to be looked up."""

    def wait(self, seconds: float) -> bool:
        """Wait for news, at most `seconds`; answers whether it is time to look."""


class Bot(Protocol):
    """What commands ask of a bot. Every call may raise FastdeployError, and Unavailable where the bot is away."""

    def services(self) -> list[ServiceView]:
        """The services that were not removed, by name."""

    def service(self, name: str) -> ServiceView:
        """One service. Raises NotFound."""

    def sync(self) -> Sync:
        """Bring the services in step with their files."""

    def deployments(self, service: str | None, *, limit: int) -> list[DeploymentView]:
        """The newest deployments, of one service or of all."""

    def deployment(self, number: int) -> DeploymentView:
        """One deployment. Raises NotFound."""

    def log(self, number: int, offset: int) -> Excerpt:
        """A deployment's output from that byte on. Raises NotFound."""

    def listen(self, number: int) -> AbstractContextManager[Ears]:
        """Begin to hear of a deployment."""

    def start(self, service: str, wish: Wish) -> DeploymentView:
        """Queue a deployment. Raises NotFound, Conflict, Invalid."""

    def cancel(self, number: int) -> DeploymentView:
        """End a deployment, or ask a running one to stop. Raises NotFound, Conflict."""

    def retry(self, number: int) -> DeploymentView:
        """Deploy the same commit once more. Raises NotFound, Conflict."""

    def roll_back(self, service: str, *, to: int | None) -> DeploymentView:
        """Deploy the last good commit before the live one again, or that of a deployment.

        Raises NotFound, Conflict, Invalid.
        """

    def lock(self, service: str, reason: str, *, until: int | None) -> ServiceView:
        """Let nothing of a service begin, until a moment in Unix milliseconds or for good. Raises NotFound, Invalid."""

    def unlock(self, service: str) -> None:
        """End a service's lock, if it has one. Raises NotFound."""

    def awake(self) -> bool:
        """Whether somebody is there to carry out what was asked for."""

    def deliveries(self, *, limit: int) -> list[DeliveryView]:
        """The newest deliveries."""

    def delivery(self, guid: str) -> DeliveryView:
        """One delivery. Raises NotFound."""

    def replay(self, guid: str) -> Receipt:
        """Decide a kept push once more. Raises NotFound, Conflict, Gone."""

    def tokens(self, service: str) -> list[TokenView]:
        """A service's tokens, newest first. Raises NotFound."""

    def create_token(self, service: str, *, days: int, name: str) -> str:
        """A new service token's text. Raises NotFound, Invalid."""

    def revoke_token(self, service: str, number: int) -> None:
        """End a service token. Raises NotFound."""
