"""Signing: what fetches from GitHub are signed in with. For many threads, beside the desk's line."""

from __future__ import annotations

import threading
from typing import Final

from fastdeploy_bot.core import clock
from fastdeploy_bot.engine.line import SignIn
from fastdeploy_bot.forge.github.api import repositories
from fastdeploy_bot.forge.github.permissions import Needs
from fastdeploy_bot.forge.github.quiet import QuietClient
from fastdeploy_bot.runner.git import Signing
from fastdeploy_bot.settings import Settings

READS: Final = Needs(contents="read")


class Signings:
    """One per process."""

    def __init__(self, settings: Settings) -> None:
        self._url = settings.github_url
        self._client = QuietClient(settings.github_api_url, settings.github_api_version)
        self._sign_in = SignIn(settings, self._client)
        self._lock = threading.Lock()
        """A client is for one thread at a time."""

    def signing(self, repository: str) -> Signing | None:
        """What to fetch a repository with; None where there are no credentials. Raises CallFailed."""
        with self._lock:
            if self._sign_in.present is None:
                return None
            return self._signing(self._sign_in.token(repository, READS, now=clock.now()))

    def renewed(self, repository: str, refused: Signing) -> Signing | None:
        """Another one, after that was refused; None where there is no other. Raises CallFailed."""
        with self._lock:
            token = self._sign_in.renewed(repository, READS, refused.token, now=clock.now())
            return None if token is None or token == refused.token else self._signing(token)

    def name(self, repository: str, signing: Signing) -> str:
        """How a repository that has moved is called now. Raises CallFailed."""
        with self._lock:
            return repositories.get(self._client, signing.token, repository).found.full_name

    def close(self) -> None:
        """Let go of all connections."""
        self._client.close()

    def _signing(self, token: str) -> Signing:
        return Signing(self._url, token)
