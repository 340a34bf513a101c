"""Leases: a duty that one host at a time has, for as long as its row says."""

from __future__ import annotations

from typing import Final

from fastdeploy_bot import store
from fastdeploy_bot.store.models import Lease

LINE: Final = "relay"
"""The duty of speaking with GitHub."""
GITHUB: Final = "github"
"""Who has that duty while GitHub wants to hear nothing."""


def held(name: str, *, by_others_than: str) -> Lease | None:
    """The lease, where somebody else has or had the duty."""
    found: Lease | None = Lease.get_or_none(Lease.name == name, Lease.holder != by_others_than)
    return found


def take(name: str, holder: str, *, until: int, beyond: int, now: int) -> bool:
    """Have the duty until then, or longer than so far; False where somebody else has it.

    A lease that lasts beyond `beyond` is none: nobody takes so long a one, so a clock was set back since.
    """

    def decide() -> bool:
        free = (Lease.holder == holder) | (Lease.until <= now) | (Lease.until > beyond)
        if Lease.update(holder=holder, until=until).where(Lease.name == name, free).execute():
            return True
        if Lease.get_or_none(Lease.name == name) is not None:
            return False
        Lease.create(name=name, holder=holder, until=until)
        return True

    return store.write(decide)


def hand_over(name: str, holder: str, to: str, *, until: int) -> None:
    """Let somebody else have until then what `holder` has; where it has not, nothing happens."""
    mine = (Lease.name == name) & (Lease.holder == holder)
    store.write(lambda: Lease.update(holder=to, until=until).where(mine).execute())


def silent_until(*, now: int) -> int | None:
    """The moment until which GitHub wants to hear nothing from us; None where it does not mind."""
    found = Lease.get_or_none(Lease.name == LINE, Lease.holder == GITHUB, Lease.until > now)
    return None if found is None else int(found.until)
