"""Roles: what somebody's permissions on GitHub come to, over all repositories that are deployed here.

A few repositories are asked about at once, since somebody waits. GitHub allows 100 calls at the same time:
https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api#about-secondary-rate-limits
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing
from http import HTTPStatus
from typing import Final

from fastdeploy_bot.core.people.guests import Deployed, Given
from fastdeploy_bot.forge.github import quiet
from fastdeploy_bot.forge.github.api import apps, collaborators, repositories
from fastdeploy_bot.forge.github.api.collaborators import Permission
from fastdeploy_bot.forge.github.api.repositories import Repository
from fastdeploy_bot.forge.github.app_auth import AppTokens
from fastdeploy_bot.forge.github.client import CallFailed, Client
from fastdeploy_bot.forge.github.permissions import Needs
from fastdeploy_bot.forge.github.policy import Refusal
from fastdeploy_bot.settings import AppKey, Settings
from fastdeploy_bot.words import Person, Role

AT_ONCE: Final = 8
"""How many repositories are asked about at the same time for one who signs in."""
PATIENCE: Final = 20.0
"""Seconds after which nobody waits any longer."""
WRITERS: Final = frozenset({"write", "admin"})
"""The permissions of those who may write; `maintain` and roles of other names come to one of these."""


def given(settings: Settings, person: Person, deployed: Sequence[Deployed], *, now: int) -> Given:
    """What somebody's permissions come to: the least that any repository gives.

    Roles are for the whole bot, so the best must not count: whoever owns one repository would deploy all of them.
    The first that gives nothing ends it. Raises CallFailed.
    """
    inquiry = _Inquiry(settings, person, now)
    shares = [share for share in (deployed[first::AT_ONCE] for first in range(AT_ONCE)) if share]
    pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="roles")
    least = Given(Role.DEPLOYER) if shares else Given(None)
    try:
        for share in as_completed([pool.submit(inquiry.least, share) for share in shares], timeout=PATIENCE):
            least = min(least, share.result(), key=lambda each: each.rank)
            if least.role is None:
                break
    except CallFailed as failed:
        quiet.heed(failed)
        raise
    except TimeoutError as late:
        raise CallFailed(Refusal(None, "GitHub took too long to say what somebody may do")) from late
    finally:
        inquiry.over.set()
        pool.shutdown(wait=False, cancel_futures=True)
    return least


class _Inquiry:
    """What those share who ask at once about somebody."""

    def __init__(self, settings: Settings, person: Person, now: int) -> None:
        key = settings.sign_in
        if not isinstance(key, AppKey):
            raise CallFailed(Refusal(None, "there is no GitHub App any more"))
        self.over = threading.Event()
        """Whether nobody waits for more answers."""
        self._key = key
        self._settings = settings
        self._person = person
        self._now = now
        self._tokens = _Tokens()

    def least(self, share: Sequence[Deployed]) -> Given:
        """The least that some repositories give, up to the first that gives nothing. Raises CallFailed."""
        least = Given(Role.DEPLOYER)
        with closing(Client(self._settings.github_api_url, self._settings.github_api_version)) as client:
            for each in share:
                if self.over.is_set() or least.role is None:
                    break
                least = min(least, self._by(client, each), key=lambda each: each.rank)
        return least

    def _by(self, client: Client, deployed: Deployed) -> Given:
        """What one repository gives; what GitHub does not let the App see gives nothing."""
        try:
            token = self._tokens.of_owner(deployed.owner, lambda: self._new_token(client, deployed.name))
            repository = repositories.get(client, token, deployed.name).found
            known = collaborators.permission(client, token, repository.full_name, self._person.login)
        except CallFailed as failed:
            if failed.refusal.status not in (HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND) or not failed.permanent:
                raise
            return Given(None, deployed.name, str(failed), unseen=True)
        role, why = judged(deployed, repository, known, self._person)
        return Given(role, deployed.name, why)

    def _new_token(self, client: Client, repository: str) -> str:
        app = AppTokens(client, self._key.issuer, self._key.private_key)

        def make(jwt: str) -> str:
            installation = apps.installation_of(client, jwt, repository)
            return apps.whole_token(client, jwt, installation, Needs().named).token

        return app.as_app(make, now=self._now)


class _Tokens:
    """Tokens of the App's that can look at repositories and do nothing else, one for each owner."""

    def __init__(self) -> None:
        self._guards: dict[str, threading.Lock] = defaultdict(threading.Lock)
        self._made: dict[str, str] = {}

    def of_owner(self, owner: str, make: Callable[[], str]) -> str:
        """The one for an owner's repositories; where many ask at once, one makes it. Raises what `make` raises."""
        with self._guards[owner]:
            if owner not in self._made:
                self._made[owner] = make()
            return self._made[owner]


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
