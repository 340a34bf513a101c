"""Passwords: kept as werkzeug's scrypt hashes, few of which are computed at the same time.

A hash takes 32 MiB and a tenth of a second of a core, so that guessing is dear; whoever asks for many of them must not
take memory, cores and threads from those who deliver pushes.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from werkzeug.security import check_password_hash, generate_password_hash

from fastdeploy_bot import store
from fastdeploy_bot.core.people.few import Busy, Few
from fastdeploy_bot.errors import Invalid

SHORTEST: Final = 8
LONGEST: Final = 1_000
"""Characters."""
MOST_WAITING: Final = 8
"""How many threads of a process wait for their turn at most, beside the one that has it."""
PATIENCE: Final = 5
"""Seconds that each waits at most."""

_NOBODYS: Final = (
    "scrypt:32768:8:1$5v7tX9rCq2LwYbKe$"
    "8a1f5b0c7d3e49268f0a6c1be5d2740973b8e6f1a4c05d9287be3f6014ca7d52"
    "e90b3c6a5f1872d4e3960cbf7a185d24603fe9b7c2d81a5460f3b9ec7d215a86"
)
"""Compared where there is no such user, so that this is as much work as where there is one; nothing hashes to it."""

_one_at_a_time: Final = threading.Lock()
_places: Final = Few(MOST_WAITING + 1, "too many people sign in at this moment: try again shortly")


@contextmanager
def turn() -> Iterator[None]:
    """Have this process's turn to compute hashes. Raises Busy where that would take long."""
    store.release()  # who waits keeps no connection from others
    with _places:
        if not _one_at_a_time.acquire(timeout=PATIENCE):
            raise Busy("signing in takes long at this moment: try again shortly")
        try:
            yield
        finally:
            _one_at_a_time.release()


def hashed(password: str) -> str:
    """The password as it is kept. Raises Invalid for one that is too short or too long, Busy."""
    if not SHORTEST <= len(password) <= LONGEST:
        raise Invalid(f"password: expected {SHORTEST} to {LONGEST} characters, got {len(password)}")
    if _plain(password) != password:
        raise Invalid("password: expected text in UTF-8")
    with turn():
        return generate_password_hash(password)


def is_right(password: str, kept: str | None) -> bool:
    """Whether a password is the one that is kept; where none is, none is right, after as much work. In one's turn."""
    plain = _plain(password)
    right = check_password_hash(kept or _NOBODYS, plain)
    return right and bool(kept) and plain == password


def _plain(password: str) -> str:
    """The part of it that can be hashed; all of it, if it can be anybody's password."""
    return password[:LONGEST].encode(errors="replace").decode()
