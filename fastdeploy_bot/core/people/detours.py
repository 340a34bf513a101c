"""Detours: a way to GitHub's sign-in and back to the browser in which it began, within ten minutes.

Nobody is signed in yet, so a cookie stands in for the session. It holds what the way back needs, signed; the state that
goes along by GitHub is worth nothing without it.
Source: https://www.rfc-editor.org/rfc/rfc7636 (PKCE)
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Iterable
from typing import Final

import msgspec

from fastdeploy_bot.core import clock
from fastdeploy_bot.core.people.macs import is_genuine, mac
from fastdeploy_bot.errors import Forbidden

LONGEST: Final = 600 * clock.SECOND
"""As long as GitHub's code is good for."""
LONGEST_KEPT: Final = 3_500
"""Characters: of a cookie, with its name and all that is said of it, browsers keep 4,096 bytes (RFC 6265, 6.1)."""
_COOKIE, _STATE = "detour cookie", "detour state"


class Detour(msgspec.Struct, frozen=True, kw_only=True):
    """A way that somebody has gone."""

    begun: int
    wanted: str
    """The page to which they want to come in the end."""
    verifier: str
    """What proves to GitHub that whoever trades the code has begun the way."""

    def __repr__(self) -> str:
        return f"Detour({self.begun}, {self.wanted!r}, ********)"

    @property
    def challenge(self) -> str:
        """What GitHub is told of the verifier beforehand."""
        return _text(hashlib.sha256(self.verifier.encode()).digest())


class Begun(msgspec.Struct, frozen=True):
    """What a way begins with."""

    cookie: str
    state: str
    challenge: str


def begin(wanted: str, *, key: str, now: int) -> Begun:
    """A way to GitHub, for somebody who wants to come to that page. Nothing is written.

    Where the page's address is too long for a cookie, it leads to the overview: a browser would keep no cookie at all.
    """
    detour = Detour(begun=now, wanted=wanted, verifier=secrets.token_urlsafe(32))
    kept = _text(msgspec.json.encode(detour))
    if len(kept) > LONGEST_KEPT:
        return begin("/", key=key, now=now)
    return Begun(f"{kept}.{mac(_COOKIE, kept, key)}", mac(_STATE, kept, key), detour.challenge)


def end(cookie: str, state: str, *, keys: Iterable[str], now: int) -> Detour:
    """The way that the cookie was kept for. Raises Forbidden where the state is not its own, or it took too long."""
    kept, _, signature = cookie.partition(".")
    all_keys = tuple(keys)
    if not (is_genuine(signature, _COOKIE, kept, all_keys) and is_genuine(state, _STATE, kept, all_keys)):
        raise Forbidden("this way back did not begin in your browser: sign in once more")
    detour = msgspec.json.decode(base64.urlsafe_b64decode(kept + "=" * (-len(kept) % 4)), type=Detour)
    if not detour.begun <= now < detour.begun + LONGEST:
        raise Forbidden("this way back took longer than ten minutes: sign in once more")
    return detour


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
