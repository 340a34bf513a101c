"""Between: which commits are between what is live and another commit, as far as the pushes tell, or GitHub did."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, cast

import msgspec
from peewee import fn

from fastdeploy_bot.core.commits import links, successes
from fastdeploy_bot.store.models import Delivery, Deployment, Service, Verdict
from fastdeploy_bot.words import Commit

_PUSHES: Final = links.pushes(Delivery.before, Delivery.after, Delivery.size, Delivery.commits)
_decoder = msgspec.json.Decoder(tuple[Commit, ...])


class Link(msgspec.Struct, frozen=True):
    """A push of a ref: from where to where, and what it put on top."""

    before: str
    after: str
    size: int | None
    """How many commits; None where that is not known, or is not all that it did."""
    commits: tuple[Commit, ...] = ()
    """The newest of them, oldest first."""


class Between(msgspec.Struct, frozen=True):
    """How a commit differs from another, seen from the first."""

    gained: int
    """How many commits the other has that it lacks."""
    lost: int
    """How many it has that the other lacks."""
    commits: tuple[Commit, ...] = ()
    """The newest of those that are gained, newest first; where none is, of those that are lost."""


class Gap(msgspec.Struct, frozen=True):
    """Two commits that GitHub was asked to compare."""

    base: str
    head: str
    found: Between | None
    """None where it did not say."""


def between(base: str, head: str, pushed: Iterable[Link]) -> Between | None:
    """How `base` differs from `head` by a ref's pushes; None where they do not tell.

    Each push on the way has to have put a known number of commits on top of what was there.
    """
    if base == head:
        return Between(0, 0)
    known = [link for link in pushed if link.size is not None]
    if (way := links.way(base, head, known)) is not None:
        return Between(_count(way), 0, _newest(way))
    if (way := links.way(head, base, known)) is not None:
        return Between(0, _count(way), _newest(way))
    return None


def pushes(service: Service, ref: str) -> list[Link]:
    """The newest pushes of a ref that were decided for a service."""
    rows = _PUSHES.tuples(service.repository_id, ref, service.id)
    return [Link(before, after, size, read(commits)) for before, after, size, commits in rows]


def sizes(services: Sequence[int]) -> dict[int, list[Link]]:
    """For each service the newest pushes of the ref that was pushed last, without their commits; in one query."""
    decided, newest, older = Verdict.alias(), Delivery.alias(), Delivery.alias()
    floor = (
        older.select(older.pushed_at)
        .where(older.repository_id == newest.repository_id, older.ref == newest.ref)
        .order_by(older.pushed_at.desc(nulls="last"))
        .offset(links.LOOK_BACK)
        .limit(1)
    )
    of_ref = (Delivery.repository_id == newest.repository_id) & (Delivery.ref == newest.ref)
    believed = (Verdict.service == Service.id) & Verdict.verdict.not_in(links.NO_LINKS)
    query = (
        Service.select(Service.id, Delivery.before, Delivery.after, Delivery.size)
        .join(decided, on=(decided.id == Service.newest))
        .join(newest, on=(newest.id == decided.delivery))
        .join(Delivery, on=of_ref & (Delivery.pushed_at >= fn.COALESCE(floor, 0)))
        .join(Verdict, on=(Verdict.delivery == Delivery.id) & believed)
        .where(Service.id.in_(list(services)))
    )
    found: dict[int, list[Link]] = {}
    rows = cast("Iterable[tuple[int, str, str, int | None]]", query.tuples())  # peewee's own types know only models
    for number, before, after, size in rows:
        found.setdefault(number, []).append(Link(before, after, size))
    return found


def of(service: Service, base: str, head: str, *, ref: str) -> Between | None:
    """How `base` differs from `head`, by the pushes of that ref, with the commits; None where nobody told."""
    return between(base, head, pushes(service, ref)) or told(service, base, head)


def brought(run: Deployment) -> Between | None:
    """What a deployment brought or brings: how what was live before it differs from its commit.

    None where nobody told, or nothing was live before.
    """
    before = successes.of(run.service_id, Deployment.sha).where(Deployment.id < run.id).first()
    return None if before is None else of(run.service, before.sha, run.sha, ref=run.ref)


def told(service: Service, base: str, head: str) -> Between | None:
    """What GitHub said of two commits; None where it did not, or was not asked."""
    found = gap(service)
    return found.found if found is not None and (found.base, found.head) == (base, head) else None


def gap(service: Service) -> Gap | None:
    """What GitHub was asked of a service last."""
    return None if service.gap is None else msgspec.json.decode(service.gap, type=Gap)


def kept(commits: tuple[Commit, ...]) -> str | None:
    """A push's commits as its row keeps them."""
    return msgspec.json.encode(commits).decode() if commits else None


def read(written: str | None) -> tuple[Commit, ...]:
    """A push's commits from its row; none where they are not known."""
    return () if written is None else _decoder.decode(written)


def _count(way: Iterable[Link]) -> int:
    return sum(link.size or 0 for link in way)


def _newest(way: Iterable[Link]) -> tuple[Commit, ...]:
    """The commits of these pushes, newest first, up to where some are not known."""
    found: list[Commit] = []
    for link in way:
        found.extend(reversed(link.commits))
        if len(link.commits) != link.size:
            break
    return tuple(found)
