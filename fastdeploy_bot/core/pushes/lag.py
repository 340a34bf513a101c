"""Lag: how far what is live is behind the newest push, and why; as much of it as somebody may see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from fastdeploy_bot.core.commits import between, heads
from fastdeploy_bot.core.commits.between import Between
from fastdeploy_bot.core.files.catalogue import Entry
from fastdeploy_bot.core.pushes import newest
from fastdeploy_bot.core.pushes.newest import Push, Why
from fastdeploy_bot.store.models import Service
from fastdeploy_bot.words import ZERO_SHA


class Lag(msgspec.Struct, frozen=True, kw_only=True):
    """The newest push of what a service deploys, and how far it is from being live."""

    repository: str
    ref: str
    sha: str
    """Empty where it deleted the ref."""
    at: int
    """When it was pushed, in Unix milliseconds."""
    guid: str
    """Of its delivery; empty where the reader may not see that."""
    why: Why | None
    """Why it is not live; None where it is."""
    between: Between | None
    """How what is live differs from it, without the commits; None where that is not known, or nothing is live."""


def of(services: Sequence[Service], live: Mapping[int, str], entries: Mapping[str, Entry]) -> dict[int, Lag]:
    """How far each of these services is behind, in two queries; `live` is the commit that is, by service."""
    found = newest.of([row.id for row in services])
    pushes = {row: found[row.id] for row in services if row.id in found and _wanted(row, found[row.id], entries)}
    apart = [row.id for row, push in pushes.items() if row.id in live and push.sha not in (live[row.id], ZERO_SHA)]
    links = between.sizes(apart) if apart else {}
    return {
        row.id: Lag(
            repository=push.repository,
            ref=push.ref,
            sha="" if push.sha == ZERO_SHA else push.sha,
            at=push.at,
            guid=push.guid,
            why=newest.why(push, live=live.get(row.id), held_back=row.held_back, held_back_by=row.held_back_by or ""),
            between=_between(row, live.get(row.id), push, links.get(row.id, [])),
        )
        for row, push in pushes.items()
    }


def public(lag: Lag) -> Lag:
    """What everybody may see of it where they may see commits: no reasons, which may name people."""
    why = lag.why and Why(word=lag.why.word, at=lag.why.at, run=lag.why.run)
    return msgspec.structs.replace(lag, guid="", why=why)


def _wanted(row: Service, push: Push, entries: Mapping[str, Entry]) -> bool:
    """Whether the service still deploys that ref, where its file tells."""
    entry = entries.get(row.name)
    return entry is None or entry.file is None or heads.mapped(entry.file, push.ref, push.default_branch)


def _between(row: Service, live: str | None, push: Push, links: Sequence[between.Link]) -> Between | None:
    if live is None or push.sha == ZERO_SHA:
        return None
    return between.between(live, push.sha, links) or between.told(row, live, push.sha)
