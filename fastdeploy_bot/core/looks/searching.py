"""Searching: deployments by their number, the beginning of their commit, words of its title, or their service."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from peewee import fn

from fastdeploy_bot.core.looks import standing
from fastdeploy_bot.core.looks.standing import Run, Seen, Sight
from fastdeploy_bot.store.models import Deployment, Service

LONGEST_QUERY: Final = 200
LONGEST_WORD: Final = 6
"""With more hexadecimal digits it is a sha; with fewer it may be a word, as `feed` is."""
SPAN: Final = 10_000
"""Among how many of the newest deployments, or of those before a place, words are looked for."""
_SHA: Final = re.compile(r"[0-9a-f]{4,40}", re.IGNORECASE)
_AFTER_HEX: Final = "g"
_NUMBER: Final = re.compile(r"#([0-9]{1,9})")
"""As pages write it; without the sign it may be a word of a title."""


def is_sha(query: str) -> bool:
    """Whether a query may be the beginning of a sha."""
    return _SHA.fullmatch(query) is not None


def begins(column: Any, sha: str) -> Any:
    """The condition that a column's commit begins so, as an index serves it on every engine (peewee's expressions)."""
    return column.between(sha.lower(), sha.lower() + _AFTER_HEX)


def runs(services: Sequence[Seen], query: str, *, before: int, limit: int) -> list[Run]:
    """The deployments of these services before that id in which a query is found, newest first."""
    much = {row.id: how for row, how in services}
    readable = [number for number, how in much.items() if how is not Sight.STATE]
    first = Deployment.select(fn.COALESCE(fn.MAX(Deployment.id), 0) - SPAN).where(Deployment.id < before)
    told = Service.name.contains(query) | (Deployment.service.in_(readable) & Deployment.title.contains(query))
    queries = [standing.rows(list(much)).where(Deployment.id > first, told)]
    if is_sha(query):
        queries.append(standing.rows(readable).where(begins(Deployment.sha, query)))
    if number := _NUMBER.fullmatch(query):
        queries.append(standing.rows(readable).where(Deployment.id == int(number[1])))
    found = {
        row.id: row
        for each in queries
        for row in each.where(Deployment.id < before).order_by(Deployment.id.desc()).limit(limit)
    }
    return [standing.run(found[id], much[found[id].service_id]) for id in sorted(found, reverse=True)[:limit]]


def further(*, before: int) -> int | None:
    """The id before which a search for words has not looked yet; None where it has looked at all."""
    newest = Deployment.select(fn.MAX(Deployment.id)).where(Deployment.id < before).scalar()
    last = (newest or 0) - SPAN
    return last + 1 if last > 0 and Deployment.select().where(Deployment.id <= last).exists() else None
