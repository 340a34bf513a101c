"""App auth: what calls to GitHub are signed in with, a fixed token or the tokens of a GitHub App.

Source: https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final, Protocol, TypeVar

import jwt
import msgspec

from fastdeploy_bot.forge.github import policy
from fastdeploy_bot.forge.github.api import apps, repositories
from fastdeploy_bot.forge.github.api.apps import InstallationToken
from fastdeploy_bot.forge.github.client import CallFailed, Client
from fastdeploy_bot.forge.github.permissions import Needs

T = TypeVar("T")

BACKDATED: Final = 60
"""Seconds that a JWT is said to be older than it is: GitHub's clock may be behind."""
VALID: Final = 540
"""Seconds until a JWT ends; GitHub takes 600 at most, by its own clock."""
EARLY: Final = 300_000
"""Milliseconds before its end at which a token is not used any more."""
SKEWED: Final = 5_000
"""Milliseconds by which the clocks differ when that can be the reason of a refusal."""


class Credentials(Protocol):
    """Gives out tokens. May be used by many threads."""

    @property
    def is_app(self) -> bool:
        """Whether they are of a GitHub App."""

    def token(self, repository: str, needs: Needs, *, now: int) -> str:
        """What such calls for a repository are signed in with; `now` in Unix milliseconds. Raises CallFailed."""

    def renewed(self, repository: str, needs: Needs, refused: str, *, now: int) -> str | None:
        """Another token after GitHub refused that one; None where there is no other. Raises CallFailed."""


class FixedToken:
    """One token for everything: that of a user."""

    is_app = False

    def __init__(self, token: str) -> None:
        self._token = token

    def token(self, _repository: str, _needs: Needs, *, now: int) -> str:  # noqa: ARG002 - it has no end that we know of
        """The token."""
        return self._token

    def renewed(self, _repository: str, _needs: Needs, _refused: str, *, now: int) -> str | None:  # noqa: ARG002
        """There is no other."""
        return None


class AppTokens:
    """A GitHub App's tokens, one a repository and what it is good for, kept until shortly before their end."""

    is_app = True

    def __init__(self, client: Client, issuer: str, private_key: str) -> None:
        """The issuer is the App's client id or its number; the key is PEM."""
        self._client = client
        self._issuer = issuer
        self._key = private_key
        self._lock = threading.Lock()
        self._ahead = 0
        """How many milliseconds GitHub's clock is ahead of ours, as far as it matters."""
        self._installations: dict[str, int] = {}
        self._tokens: dict[tuple[str, Needs], InstallationToken] = {}

    def token(self, repository: str, needs: Needs, *, now: int) -> str:
        """The repository's token; where many ask at once for a new one, one request brings it. Raises CallFailed."""
        with self._lock:
            return self._token(repository, needs, now)

    def renewed(self, repository: str, needs: Needs, refused: str, *, now: int) -> str | None:
        """Another token than the refused one. Raises CallFailed."""
        with self._lock:
            kept = self._tokens.get((repository, needs))
            if kept is not None and kept.token == refused:
                del self._tokens[repository, needs]
            return self._token(repository, needs, now)

    def as_app(self, call: Callable[[str], T], *, now: int) -> T:
        """What a call brings that is made in the App's own name, by a JWT. Raises CallFailed."""
        with self._lock:
            return self._signed(call, now)

    def _token(self, repository: str, needs: Needs, now: int) -> str:
        kept = self._tokens.get((repository, needs))
        if kept is None or kept.expires - EARLY <= now + self._ahead:
            kept = self._tokens[repository, needs] = self._fetch(repository, needs, now)
        return kept.token

    def _fetch(self, repository: str, needs: Needs, now: int) -> InstallationToken:
        known = self._installations.get(repository)
        if known is not None:
            try:
                return self._of_installation(known, repository, needs, now)
            except CallFailed as error:
                if error.refusal.status != 404:
                    raise
        # Unknown, or gone since: an App that was taken away and put back has another installation.
        found = self._signed(lambda signed: apps.installation_of(self._client, signed, repository), now)
        self._installations[repository] = found
        return self._of_installation(found, repository, needs, now)

    def _of_installation(self, number: int, repository: str, needs: Needs, now: int) -> InstallationToken:
        """A token there, also for a repository that had that name once: its installation is found by any of them."""
        try:
            return self._granted(number, repository, needs, now)
        except CallFailed as error:
            if error.refusal.status == 403 and "suspended" in error.refusal.message:
                raise _hinted(error, "resume the App's installation on GitHub") from error
            if error.refusal.status != 422:
                raise
            name = self._present_name(number, repository, now)
            if name is not None and name.lower() != repository.lower():
                return self._of_installation(number, name, needs, now)
            wanted = " and ".join(f"{name} {level}" for name, level in needs.named.items())
            raise _hinted(error, f"does the App's installation grant {wanted}?") from error

    def _granted(self, number: int, repository: str, needs: Needs, now: int) -> InstallationToken:
        return self._signed(
            lambda signed: apps.installation_token(self._client, signed, number, repository, needs.named), now
        )

    def _present_name(self, number: int, repository: str, now: int) -> str | None:
        """What a repository of an installation is called now; None where GitHub does not let the App see it."""
        try:
            seeing = self._signed(lambda signed: apps.whole_token(self._client, signed, number, Needs().named), now)
            return repositories.get(self._client, seeing.token, repository).found.full_name
        except CallFailed as error:
            if not error.permanent:
                raise
            return None

    def _signed(self, call: Callable[[str], T], now: int) -> T:
        """Make a call as the App; where GitHub's clock shows another time than ours, once more by GitHub's."""
        try:
            try:
                return call(self._jwt(now))
            except CallFailed as error:
                if not self._corrected(error, now):
                    raise
                return call(self._jwt(now))
        except CallFailed as error:
            raise _explained(error) from error

    def _jwt(self, now: int) -> str:
        moment = (now + self._ahead) // 1_000
        claims = {"iat": moment - BACKDATED, "exp": moment + VALID, "iss": self._issuer}
        return jwt.encode(claims, self._key, algorithm="RS256")

    def _corrected(self, error: CallFailed, now: int) -> bool:
        """Whether a refusal may be due to our clock, which from now on is read by GitHub's."""
        date = policy.date(error.refusal.headers)
        if error.refusal.status != 401 or date is None:
            return False
        ahead = int(date * 1_000) - now
        if abs(ahead - self._ahead) < SKEWED:
            return False
        self._ahead = ahead
        return True


_HINTS: Final = {
    401: "does GitHub know this App by that id and that private key?",
    404: "is the GitHub App installed on the repository?",
}


def _explained(error: CallFailed) -> CallFailed:
    """The failure, with what to look at where GitHub does not let the App in."""
    hint = _HINTS.get(error.refusal.status or 0)
    return error if hint is None else _hinted(error, hint)


def _hinted(error: CallFailed, hint: str) -> CallFailed:
    return CallFailed(msgspec.structs.replace(error.refusal, message=f"{error.refusal.message}; {hint}"))
