"""The throttle: how often somebody may try to sign in. Its rows are shared by all processes and outlive them.

Within 15 minutes an address may fail 5 times for one name and 30 times in all, and a name 50 times from wherever that
is; after that nothing is looked at, and nothing is counted, until the oldest of those failures is old enough. What a
name has suffered does not count for those who signed in from the same address before: otherwise anybody could keep
its owner out.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from fastdeploy_bot.core import clock
from fastdeploy_bot.core.people import sessions
from fastdeploy_bot.errors import TooMany
from fastdeploy_bot.store.models import Attempt

WINDOW: Final = 15 * 60 * clock.SECOND
SKEW: Final = 60 * clock.SECOND
"""How far ahead another host's clock may be; what failed later than that, failed before the clock was set back."""
MOST_OF_PAIR: Final = 5
MOST_OF_ADDRESS: Final = 30
MOST_OF_NAME: Final = 50
MOST_OF_GUEST: Final = 10
"""How often one account elsewhere may be refused, from wherever it comes."""
_PRUNE_EVERY: Final = 50


class Limit(msgspec.Struct, frozen=True):
    """How many failures there may be under one key."""

    key: str
    most: int


class Entered(msgspec.Struct, frozen=True):
    """An attempt that may be made; it counts as a failure until it is forgiven."""

    rows: tuple[int, ...]
    pair: str
    """The key under which earlier attempts are forgiven as well: of this name from this address; empty for none."""
    last: bool
    """Whether it is the last one for a while, if it fails."""


def check(name: str, address: str, *, now: int) -> None:
    """Raise TooMany where an attempt may not be made now. Only reads."""
    _require_within(_limits(name, address), now)


def enter(name: str, address: str, *, now: int) -> Entered:
    """Count an attempt before its password is looked at, so that many at once are no way around. Raises TooMany.

    To be called inside a write.
    """
    limits = _limits(name, address)
    return _entered(limits, limits[0].key, now)


def enter_from(address: str, *, now: int) -> Entered:
    """Count an attempt of somebody of whom nothing is known but the address. Inside a write; raises TooMany."""
    return _entered([_of_address(network(address))], "", now)


def enter_as(guest: str, *, now: int) -> Entered:
    """Count an attempt of somebody who has shown another site who they are. Inside a write; raises TooMany."""
    limit = Limit(_key("guest", guest), MOST_OF_GUEST)
    return _entered([limit], limit.key, now)


def forgive(entered: Entered) -> None:
    """The attempt was no failure, and the earlier ones of this name from there were slips. To be called in a write."""
    Attempt.delete().where(Attempt.id.in_(entered.rows) | (Attempt.key == entered.pair)).execute()


def old(now: int) -> Any:
    """Which rows count no more. Any: peewee's."""
    return Attempt.at <= now - WINDOW


def network(address: str) -> str:
    """The network that counts as one address: of IPv6 the /64 that everybody has for themselves."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(ip, ipaddress.IPv4Address):
        return str(ip)
    if ip.ipv4_mapped is not None:
        return str(ip.ipv4_mapped)
    return str(ipaddress.ip_network((ip, 64), strict=False))


def _limits(name: str, address: str) -> list[Limit]:
    """Those that an attempt has to stay within; that of the pair comes first."""
    where = network(address)
    of_name = Limit(_key("name", name), MOST_OF_NAME)
    known = where in map(network, sessions.peers(name))
    return [
        Limit(_key("pair", where, name), MOST_OF_PAIR),
        _of_address(where),
        *([] if known else [of_name]),
    ]


def _of_address(where: str) -> Limit:
    return Limit(_key("address", where), MOST_OF_ADDRESS)


def _entered(limits: Sequence[Limit], pair: str, now: int) -> Entered:
    _require_within(limits, now)
    rows = tuple(int(Attempt.create(key=limit.key, at=now).id) for limit in limits)
    if any(row % _PRUNE_EVERY == 0 for row in rows):
        Attempt.delete().where(old(now)).execute()
    return Entered(rows, pair, any(len(_recent(limit, now)) >= limit.most for limit in limits))


def _require_within(limits: Sequence[Limit], now: int) -> None:
    for limit in limits:
        recent = _recent(limit, now)
        if len(recent) >= limit.most:
            raise _refusal(recent[limit.most - 1] + WINDOW - now)


def _key(*parts: str) -> str:
    """A key of bounded length; what was typed is not kept: it may have been a password in the wrong field."""
    return hashlib.sha256("\0".join(parts).encode(errors="replace")).hexdigest()


def _recent(limit: Limit, now: int) -> Sequence[int]:
    """When the newest failures were, the newest first; as many as count."""
    recent = Attempt.at.between(now - WINDOW + 1, now + SKEW)
    rows = Attempt.select(Attempt.at).where(Attempt.key == limit.key, recent)
    return [row.at for row in rows.order_by(Attempt.at.desc()).limit(limit.most)]


def _refusal(wait: int) -> TooMany:
    seconds = max(1, -(-wait // clock.SECOND))
    told = f"{seconds} s" if seconds < 60 else f"{-(-seconds // 60)} min"
    return TooMany(f"too many attempts to sign in failed: try again in {told}", retry_after=seconds)
