"""Drift: which files may differ between what a service deployed and what a push brings, as far as the rows tell."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from fastdeploy_bot import store
from fastdeploy_bot.core.commits import links, successes
from fastdeploy_bot.store.models import Delivery, Deployment, Service
from fastdeploy_bot.words import UNDER_WAY, Push

MOST_KEPT: Final = 64 * 1024
"""Bytes of JSON that are kept of a push's files; a longer list is as good as none."""

Paths = tuple[str, ...] | None
"""Files, and perhaps more than there are; None where that is not known."""

_LIVE: Final = store.Prepared[Deployment](lambda service: successes.of(service, Deployment.sha).limit(1))
_UNDER_WAY: Final = store.Prepared[Deployment](
    lambda service: (
        Deployment.select(Deployment.sha)
        .where(Deployment.service == service, Deployment.state.in_(UNDER_WAY))
        .order_by(Deployment.id)
    )
)
_PUSHES: Final = links.pushes(Delivery.before, Delivery.after, Delivery.paths)


class Link(msgspec.Struct, frozen=True):
    """A push of the same ref: from where to where, and every file that it touched."""

    before: str
    after: str
    paths: Paths


class Base(msgspec.Struct, frozen=True):
    """A commit that a push is compared with, and the files that may differ."""

    sha: str
    paths: Paths


class Drift(msgspec.Struct, frozen=True):
    """What a push is compared with for a service."""

    bases: tuple[Base, ...] = ()
    """The commit that is live, then those under way: any of them may be live when the push's turn comes. None where
    nothing was live yet."""
    held_back: Base | None = None
    """The commit that it was rolled back from."""


def of(service: Service, push: Push, answers: Mapping[str, Paths] = {}) -> Drift:
    """What a push brings to a service; `answers` are GitHub's own, by the commit that it compared with."""
    live = _LIVE.first(service.id)
    if live is None:
        return Drift()
    rows = _PUSHES.tuples(push.repository_id, push.ref, service.id)
    others = [Link(before, after, _read(paths)) for before, after, paths in rows]

    def base(sha: str) -> Base:
        answered = answers.get(sha)
        return Base(sha, since(sha, push, others) if answered is None else answered)

    shas = dict.fromkeys([live.sha, *(row.sha for row in _UNDER_WAY.all(service.id))])
    held_back = None if service.held_back is None else base(service.held_back)
    return Drift(tuple(base(sha) for sha in shas), held_back)


def since(base: str, push: Push, others: Iterable[Link]) -> Paths:
    """Every file that may differ between a commit and a push of a ref whose other pushes are known.

    The files of each push in between have to be known. What one touched and a later one brought back is among them.
    """
    if push.commit == base:
        return ()
    if push.paths is None:
        return None
    way = links.way(base, push.before, (each for each in others if each.paths is not None))
    return None if way is None else tuple(sorted({*push.paths, *(path for each in way for path in each.paths or ())}))


def kept(paths: Paths) -> str | None:
    """A push's files as its row keeps them."""
    if paths is None:
        return None
    written = msgspec.json.encode(paths)
    return written.decode() if len(written) <= MOST_KEPT else None


def _read(written: str | None) -> Paths:
    return None if written is None else msgspec.json.decode(written, type=tuple[str, ...])
