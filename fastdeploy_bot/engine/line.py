"""The line to GitHub: signs calls in, and keeps quiet for as long as GitHub wants that, everywhere.

Whoever asks or tells GitHub something does it by `Line.ask`, from the one thread that the desk has.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final, TypeVar

from fastdeploy_bot.core import clock, leases
from fastdeploy_bot.engine.duty import Duty
from fastdeploy_bot.forge.github import policy
from fastdeploy_bot.forge.github.app_auth import AppTokens, Credentials, FixedToken
from fastdeploy_bot.forge.github.client import CallFailed, Client
from fastdeploy_bot.forge.github.permissions import Needs
from fastdeploy_bot.forge.github.policy import Refusal, Remedy
from fastdeploy_bot.settings import AppKey, Settings

T = TypeVar("T")

log = logging.getLogger(__name__)

NEWS_SECONDS: Final = 1.0
"""How long at most it stays unseen that there are credentials."""


class Unheard(Exception):
    """GitHub did not do what it was asked to."""

    def __init__(self, failed: CallFailed, remedy: Remedy, again: int) -> None:
        super().__init__(str(failed))
        self.failed = failed
        self.remedy = remedy
        self.again = again
        """The moment from which it may be asked again, where that can be of use."""

    @property
    def unclear(self) -> bool:
        """Whether GitHub may have done it all the same: no answer came, or one that GitHub's own trouble made."""
        status = self.failed.refusal.status
        return status is None or status >= 500


class SignIn:
    """The credentials that the settings have at each moment; others take their place without a restart."""

    def __init__(self, settings: Settings, client: Client) -> None:
        self._settings = settings
        self._client = client
        self._made: tuple[str | AppKey, Credentials] | None = None

    @property
    def present(self) -> Credentials | None:
        """What to sign in with now; None where there is nothing."""
        found = self._settings.sign_in
        if found is None:
            return None
        if self._made is None or self._made[0] != found:
            self._made = (found, _credentials(found, self._client))
        return self._made[1]

    def token(self, repository: str, needs: Needs, *, now: int) -> str:
        """What such calls for a repository are signed in with. Raises CallFailed."""
        return self._required().token(repository, needs, now=now)

    def renewed(self, repository: str, needs: Needs, refused: str, *, now: int) -> str | None:
        """Another token after GitHub refused that one; None where there is no other. Raises CallFailed."""
        return self._required().renewed(repository, needs, refused, now=now)

    def as_app(self, call: Callable[[str], T], *, now: int) -> T:
        """What a call brings that is made in the App's own name, by a JWT. Raises CallFailed."""
        if not isinstance(present := self.present, AppTokens):
            raise CallFailed(Refusal(None, "there is no GitHub App any more"))
        return present.as_app(call, now=now)

    def forget(self) -> None:
        """Know nothing any more of what GitHub has given out."""
        self._made = None

    def _required(self) -> Credentials:
        if (present := self.present) is None:
            raise CallFailed(Refusal(None, "there are no credentials for GitHub any more"))
        return present


class Line:
    """One per process; of all of them one at a time has the duty."""

    def __init__(
        self,
        duty: Duty,
        client: Client,
        credentials: SignIn,
        *,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self._duty = duty
        self._client = client
        self._credentials = credentials
        self._timer = timer
        self._limited = 0
        """How many calls in a row were refused because of a limit."""

    @property
    def open(self) -> bool:
        """Whether there is something to sign in with."""
        return self._credentials.present is not None

    @property
    def is_app(self) -> bool:
        """Whether it speaks for a GitHub App."""
        present = self._credentials.present
        return present is not None and present.is_app

    def busy(self, *, now: int) -> float:
        """For how many seconds at least nothing may be asked from here; 0.0: it may."""
        if not self.open:
            return NEWS_SECONDS
        until = leases.silent_until(now=now)
        return self._duty.busy(now=now) if until is None else (until - now) / clock.SECOND

    def ask(self, repository: str, needs: Needs, call: Callable[[Client, str], T], *, attempt: int = 0, now: int) -> T:
        """What a call for a repository brings, made with a token that is good for that; `now` in Unix milliseconds.

        Where GitHub refuses the token, it is made once more with a fresh one. A limit makes all of us silent for so
        long as GitHub says. Raises Unheard; `attempt` is how often this was tried in vain before.
        """
        return self._heard(lambda: self._signed_in(repository, needs, call, now), attempt, now)

    def ask_as_app(self, call: Callable[[Client, str], T], *, attempt: int = 0, now: int) -> T:
        """What a call brings that is made in our GitHub App's own name; all else is as with `ask`."""
        return self._heard(lambda: self._credentials.as_app(lambda jwt: call(self._client, jwt), now=now), attempt, now)

    def _heard(self, make: Callable[[], T], attempt: int, now: int) -> T:
        begun = self._timer()
        try:
            found = make()
        except CallFailed as failed:
            raise self._unheard(failed, attempt, self._later(now, begun)) from failed
        self._limited = 0
        later = self._later(now, begun)
        if (seconds := policy.rest(self._client.said, now=later)) is not None:
            self._pause(seconds, later)
        return found

    def forget(self) -> None:
        """Have neither token nor installation from before: what they are good for has changed."""
        self._credentials.forget()

    def end(self) -> None:
        """Let another process have the duty, and let go of all connections."""
        try:
            self._duty.let_go()
        except Exception:
            log.exception("the lease of the line to GitHub could not be given up; it ends by itself")
        finally:
            self._client.close()

    def _signed_in(self, repository: str, needs: Needs, call: Callable[[Client, str], T], now: int) -> T:
        token = self._credentials.token(repository, needs, now=now)
        try:
            return call(self._client, token)
        except CallFailed as failed:
            if failed.refusal.status != 401:
                raise
            fresh = self._credentials.renewed(repository, needs, token, now=now)
            if fresh is None:
                raise
        return call(self._client, fresh)

    def _unheard(self, failed: CallFailed, attempt: int, now: int) -> Unheard:
        judgement = policy.judge(failed.refusal, attempt=max(attempt, self._limited), now=now)
        if judgement.remedy is Remedy.PAUSE:
            self._limited += 1
            self._pause(judgement.seconds, now)
        return Unheard(failed, judgement.remedy, now + int(judgement.seconds * clock.SECOND))

    def _pause(self, seconds: float, now: int) -> None:
        """Ask GitHub for nothing, neither from here nor from another process or host."""
        log.warning("github wants to hear nothing for a while", extra={"seconds": seconds})
        leases.be_silent(until=now + int(seconds * clock.SECOND), now=now)

    def _later(self, now: int, begun: float) -> int:
        return now + int((self._timer() - begun) * clock.SECOND)


def of(settings: Settings, host: str) -> Line:
    """The line of a host, with the settings' credentials."""
    client = Client(settings.github_api_url, settings.github_api_version)
    duty = Duty(leases.LINE, lock=settings.home / "relay.lock", host=host)
    return Line(duty, client, SignIn(settings, client))


def _credentials(sign_in: str | AppKey, client: Client) -> Credentials:
    return FixedToken(sign_in) if isinstance(sign_in, str) else AppTokens(client, sign_in.issuer, sign_in.private_key)
