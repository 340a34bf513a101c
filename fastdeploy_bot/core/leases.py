"""Leases: a duty that one host at a time has, for as long as its row says; and GitHub's wish for silence."""

from __future__ import annotations

from typing import Final

from fastdeploy_bot import store
from fastdeploy_bot.core import clock
from fastdeploy_bot.store.models import Lease

LINE: Final = "relay"
"""The duty of speaking with GitHub."""
SILENCE: Final = "silence"
"""What lasts for as long as GitHub wants to hear nothing from any of us."""
LONGEST_SILENCE: Final = clock.DAY + 600 * clock.SECOND
"""Nobody is told to be silent for longer: what lasts beyond that does because a clock was set back since."""
_SILENCE: Final = store.Prepared[Lease](lambda: Lease.select().where(Lease.name == SILENCE))


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
    found = _SILENCE.first()
    return int(found.until) if found is not None and now < found.until <= now + LONGEST_SILENCE else None


def be_silent(*, until: int, now: int) -> None:
    """GitHub wants to hear nothing until then, from no thread, process or host; who was told of a longer time knows."""
    over = (Lease.until < until) | (Lease.until > now + LONGEST_SILENCE)

    def write() -> None:
        if Lease.update(until=until).where(Lease.name == SILENCE, over).execute():
            return
        if Lease.get_or_none(Lease.name == SILENCE) is None:
            Lease.create(name=SILENCE, holder="", until=until)

    store.write(write)
