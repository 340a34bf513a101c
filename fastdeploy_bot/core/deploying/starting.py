"""Starting by hand: a person or a service token asks for a deployment."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from fastdeploy_bot import store
from fastdeploy_bot.core.commits import heads, reaching
from fastdeploy_bot.core.deploying import deployments, services, titles
from fastdeploy_bot.core.deploying.deployments import Order
from fastdeploy_bot.core.files.catalogue import Entry
from fastdeploy_bot.core.files.servicefile import ServiceFile
from fastdeploy_bot.core.people import audit
from fastdeploy_bot.errors import Conflict, Invalid, NotFound, UnderWay
from fastdeploy_bot.store.models import Deployment, Service
from fastdeploy_bot.words import ZERO_SHA, Origin, Principal, PrincipalKind

_SHA: Final = re.compile(r"[0-9a-f]{40}")
LONGEST_CONTEXT: Final = 64 * 1024
DEEPEST_CONTEXT: Final = 100
"""Objects and arrays within each other: what is read just so may be too deep for whoever writes it."""


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for; all of it optional."""

    sha: str | None = None
    ref: str | None = None
    context: Mapping[str, Any] = {}


def entry_of(entries: Mapping[str, Entry], name: str) -> Entry:
    """The service as its file says now. Raises NotFound for an unknown one."""
    entry = entries.get(name)
    if entry is None:
        raise NotFound(f"there is no service {name!r}: `fastdeploy services` lists them")
    return entry


def inquire(entry: Entry, wish: Wish, *, now: int) -> int | None:
    """The question of GitHub's whose answer tells whether the commit may be deployed, by id; None where none is needed.

    To be called before `start`, which tells what came of it. Raises what that raises.
    """
    file = entry.file
    if wish.sha is None or file is None or not entry.asks:
        return None

    def write() -> int | None:
        service = services.of(entry, now=now)
        return reaching.inquire(service, file, _head(service, file, wish), now=now)

    return store.write(write)


def start(entry: Entry, wish: Wish, *, by: Principal, now: int) -> Deployment:
    """Queue a deployment. To be called inside a write.

    Raises Conflict where the service's file is bad, Invalid for a sha, ref or context that cannot be used, Unavailable
    where GitHub has not said yet whether a sha is part of what the service deploys.
    """
    if entry.file is None:
        raise Conflict(entry.problem)
    service = services.of(entry, now=now)
    head = _head(service, entry.file, wish)
    _check_context(wish.context)
    if wish.sha is not None and entry.asks:
        reaching.require(service, entry.file, head.sha, now=now)
    deployment = deployments.queue(
        service,
        Order(
            origin=Origin.API if by.kind is PrincipalKind.SERVICE else Origin.MANUAL,
            sha=head.sha,
            ref=head.ref,
            repository=entry.file.repository,
            actor=by.name,
            title=titles.of(service, head.sha),
            context=wish.context,
            report=entry.report,
        ),
        now=now,
    )
    audit.note(by, "start", f"deployment {deployment.id}", now=now, detail=f"service {service.name}, {head.sha}")
    return deployment


def require_first(entry: Entry, wish: Wish, *, now: int) -> None:
    """Raise UnderWay where somebody has asked for the same by hand, and for nothing since. Else raises as `start` does.

    To be called inside the write that starts it.
    """
    if entry.file is None:
        raise Conflict(entry.problem)
    service = services.of(entry, now=now)
    head, last = _head(service, entry.file, wish), deployments.last_word(service.id)
    if last is None or last.origin != Origin.MANUAL:
        return
    if (last.sha, last.ref, json.loads(last.context)) == (head.sha, head.ref, wish.context):
        raise UnderWay(f"that is under way already, as deployment {last.id}", deployment=last.id)


def _head(service: Service, file: ServiceFile, wish: Wish) -> heads.Head:
    ref = None if wish.ref is None else heads.full_ref(wish.ref)
    if ref is not None:
        heads.check(service, file, ref)
    if wish.sha is None:
        return heads.newest(service, file, ref=ref)
    if not _SHA.fullmatch(wish.sha.lower()) or wish.sha == ZERO_SHA:
        raise Invalid(f"sha: expected the 40 hex digits of a commit, got {wish.sha[:60]!r}")
    return heads.Head(ref or heads.ref_of(service, file, wish.sha.lower()), wish.sha.lower())


def _check_context(context: Mapping[str, Any]) -> None:
    if _is_deeper(context, DEEPEST_CONTEXT):
        raise Invalid(f"context: expected at most {DEEPEST_CONTEXT} objects and arrays within each other")
    size = len(msgspec.json.encode(context))
    if size > LONGEST_CONTEXT:
        raise Invalid(f"context: expected at most {LONGEST_CONTEXT} bytes of JSON, got {size}")


def _is_deeper(value: object, levels: int) -> bool:
    inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else None
    return inner is not None and (levels == 0 or any(_is_deeper(each, levels - 1) for each in inner))
