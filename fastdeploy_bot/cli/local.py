"""This host's bot: commands work on its rows, as user `local`, whether it runs or not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from fastdeploy_bot import store
from fastdeploy_bot.bell import Bell, Listener
from fastdeploy_bot.core import clock
from fastdeploy_bot.core.commits import deliveries, questions
from fastdeploy_bot.core.deploying import deployments, locking, retries, rollbacks, services, starting
from fastdeploy_bot.core.deploying.services import Sync
from fastdeploy_bot.core.deploying.starting import Wish
from fastdeploy_bot.core.files.catalogue import Catalogue
from fastdeploy_bot.core.looks import listing
from fastdeploy_bot.core.output import logs
from fastdeploy_bot.core.output.logs import Excerpt
from fastdeploy_bot.core.people import tokens
from fastdeploy_bot.core.pushes import intake
from fastdeploy_bot.core.pushes.intake import Receipt
from fastdeploy_bot.core.telling import views
from fastdeploy_bot.core.telling.views import DeliveryView, DeploymentView, ServiceView, TokenView
from fastdeploy_bot.errors import Unavailable
from fastdeploy_bot.forge.github import payloads
from fastdeploy_bot.settings import Settings
from fastdeploy_bot.store.models import Delivery, Deployment, Service
from fastdeploy_bot.words import LOCAL

WAIT_SECONDS = 30.0
"""How long to wait for what the bot has to ask GitHub."""


class LocalEars:
    """Hears the bell that every change of rows rings. Looking is cheap here, so it is always time to look."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener

    def wait(self, seconds: float) -> bool:
        """Wait for a ring, at most `seconds`."""
        self._listener.wait(seconds)
        return True


class LocalBot:
    """The bot of this host; a `cli.bot.Bot`."""

    def __init__(self, settings: Settings) -> None:
        """Open the bot's rows and files. Raises Unavailable where there is no bot yet."""
        if not settings.home.is_dir():
            raise Unavailable(f"there is no bot in {settings.home}: run `fastdeploy init`, or set FASTDEPLOY_HOME")
        self.settings = settings
        self.catalogue = Catalogue(settings.services_dir, tells=lambda: settings.tells_github)
        self._bell = Bell(settings.bell_dir)
        self._feed_bell = Bell(settings.feed_bell_dir)
        store.connect(settings.effective_database_url)
        store.when_changed(self._feed_bell.ring)
        store.require_schema()

    def services(self) -> list[ServiceView]:
        """The services that were not removed, by name."""
        entries = self.catalogue.entries()
        return listing.services(services.everything(entries), entries, public_url=self._public_url)

    def service(self, name: str) -> ServiceView:
        """One service."""
        entries = self.catalogue.entries()
        return listing.service(services.shown(name, entries), entries.get(name), public_url=self._public_url)

    def sync(self) -> Sync:
        """Bring the services in step with their files."""
        found = services.sync(self.catalogue.entries(), by=LOCAL, now=clock.now())
        self._bell.ring()
        return found

    def deployments(self, service: str | None, *, limit: int) -> list[DeploymentView]:
        """The newest deployments, of one service or of all."""
        query = Deployment.select(Deployment, Service).join(Service).order_by(Deployment.id.desc()).limit(limit)
        if service is not None:
            query = query.where(Service.name == service)
        return listing.deployments(list(query), public_url=self._public_url)

    def deployment(self, number: int) -> DeploymentView:
        """One deployment."""
        return self._view(deployments.find(number))

    def log(self, number: int, offset: int) -> Excerpt:
        """A deployment's output from that byte on."""
        deployments.find(number)
        return logs.read(number, offset)

    @contextmanager
    def listen(self, number: int) -> Iterator[LocalEars]:  # noqa: ARG002 - one bell rings for all of them
        """Begin to hear of a deployment."""
        with self._feed_bell.listen() as listener:
            yield LocalEars(listener)

    def start(self, service: str, wish: Wish) -> DeploymentView:
        """Queue a deployment."""
        entry = starting.entry_of(self.catalogue.entries(), service)
        if (question := starting.inquire(entry, wish, now=clock.now())) is not None:
            self._wait(question)
        return self._told(store.write(lambda: starting.start(entry, wish, by=LOCAL, now=clock.now())))

    def cancel(self, number: int) -> DeploymentView:
        """End a deployment, or ask a running one to stop."""
        return self._told(deployments.cancel(number, by=LOCAL, now=clock.now()))

    def retry(self, number: int) -> DeploymentView:
        """Deploy the same commit once more."""
        entries = self.catalogue.entries()
        return self._told(store.write(lambda: retries.retry(number, entries, by=LOCAL, now=clock.now())))

    def roll_back(self, service: str, *, to: int | None) -> DeploymentView:
        """Deploy the last good commit before the live one again, or that of a deployment."""
        entries = self.catalogue.entries()
        return self._told(store.write(lambda: rollbacks.roll_back(service, entries, to=to, by=LOCAL, now=clock.now())))

    def lock(self, service: str, reason: str, *, until: int | None) -> ServiceView:
        """Let nothing of a service begin, until a moment in Unix milliseconds or for good."""
        wish = locking.Wish(reason=reason, until=until)
        locking.lock(service, self.catalogue.entries(), wish, by=LOCAL, now=clock.now())
        return self.service(service)

    def unlock(self, service: str) -> None:
        """End a service's lock, if it has one."""
        locking.unlock(service, self.catalogue.entries(), by=LOCAL, now=clock.now())
        self._bell.ring()

    def awake(self) -> bool:
        """Whether somebody is there to carry out what was asked for."""
        return self._bell.ring() > 0

    def deliveries(self, *, limit: int) -> list[DeliveryView]:
        """The newest deliveries."""
        return [views.delivery(row) for row in Delivery.select().order_by(Delivery.id.desc()).limit(limit)]

    def delivery(self, guid: str) -> DeliveryView:
        """One delivery."""
        return views.delivery(deliveries.find(guid))

    def replay(self, guid: str) -> Receipt:
        """Decide a kept push once more."""
        delivery = deliveries.find(guid)
        push = payloads.kept_push(deliveries.body(delivery), event=delivery.event, guid=guid)
        entries = self.catalogue.entries()
        receipt = store.write(lambda: intake.replay(delivery, push, entries, by=LOCAL, now=clock.now()))
        self._bell.ring()
        return receipt

    def tokens(self, service: str) -> list[TokenView]:
        """A service's tokens, newest first."""
        return views.tokens(tokens.of_service(services.shown(service, self.catalogue.entries())))

    def create_token(self, service: str, *, days: int, name: str) -> str:
        """A new service token's text."""
        entries = self.catalogue.entries()

        def create() -> str:
            row = services.named(service, entries, now=clock.now())
            return tokens.for_service(row, days=days, name=name, by=LOCAL, now=clock.now()).token

        return store.write(create)

    def revoke_token(self, service: str, number: int) -> None:
        """End a service token."""
        tokens.revoke(services.shown(service, self.catalogue.entries()), number, by=LOCAL, now=clock.now())

    def _wait(self, question: int) -> None:
        """Wait until the bot has asked GitHub. Raises Unavailable where none runs that could."""
        if not self.awake():
            raise Unavailable(
                "GitHub has to be asked whether that commit is on a branch or tag of the service, and no bot runs on "
                "this host that would: start `fastdeploy serve`"
            )
        questions.wait(question, seconds=WAIT_SECONDS)

    @property
    def _public_url(self) -> str:
        return self.settings.effective_public_url

    def _told(self, row: Deployment) -> DeploymentView:
        self._bell.ring()
        return self._view(row)

    def _view(self, row: Deployment) -> DeploymentView:
        return listing.deployment(row, public_url=self._public_url)
