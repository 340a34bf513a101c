"""Whereabouts: is this commit live, where, since when; and if not, why.

What is answered holds only what the reader may see; times are Unix milliseconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
from peewee import fn

from fastdeploy_bot.core.looks import searching, standing
from fastdeploy_bot.core.looks.standing import Run, Seen, Sight
from fastdeploy_bot.store.models import WITHOUT_BODY, Delivery, Deployment, Service, Verdict
from fastdeploy_bot.words import DeploymentState, VerdictKind

MOST: Final = 10
"""How many answers are given at most."""
ROWS: Final = 200
"""How many deployments of such commits are looked at, the newest ones."""
PUSHES: Final = 1_000
"""How many of the newest deliveries are looked through for a push that brought a commit below its head."""


class Whereabouts(msgspec.Struct, frozen=True, kw_only=True):
    """How a commit fared in one service."""

    service: str
    sha: str
    run: Run | None = None
    """Its newest deployment there; None where there was none."""
    since: int | None = None
    """When it went live, if it did."""
    until: int | None = None
    """When another commit took its place; None while it is live."""
    instead: Run | None = None
    """The deployment that superseded it."""
    brought: str = ""
    """The commit that was asked for, where this one is the head of the push that brought it."""
    verdict: VerdictKind | None = None
    """What was decided of its push, where it was never deployed."""
    reason: str = ""
    guid: str = ""
    """Of that delivery."""


def of(sha: str, services: Sequence[Seen]) -> list[Whereabouts]:
    """How the commits that begin so fared in these services, the newest first; empty where nobody heard of them."""
    sights = {row.id: much for row, much in services if much is not Sight.STATE}
    found = _deployed(sha, sights)
    told = {(each.service, each.sha) for each in found}
    pushed = [each for each in _pushed(sha, sights) if (each.service, each.sha) not in told]
    if not found and not pushed and len(sha) > searching.LONGEST_WORD:
        return _brought(sha, sights)
    return [*found, *pushed][:MOST]


def _deployed(sha: str, sights: Mapping[int, Sight], brought: str = "") -> list[Whereabouts]:
    rows = standing.rows(list(sights)).where(searching.begins(Deployment.sha, sha))
    newest = list(rows.order_by(Deployment.id.desc()).limit(ROWS))
    by_place: dict[tuple[int, str], list[Deployment]] = {}
    for row in newest:
        by_place.setdefault((row.service_id, row.sha), []).append(row)
    places = list(by_place.items())[:MOST]
    return [_fared(mine, sights[number], brought) for (number, _), mine in places]


def _fared(mine: Sequence[Deployment], sight: Sight, brought: str) -> Whereabouts:
    """How a commit fared by its deployments in one service, newest first."""
    newest = mine[0]
    since, until = _live(mine)
    taken = newest.taken_over_by if newest.state == DeploymentState.SUPERSEDED else None
    return Whereabouts(
        service=newest.service.name,
        sha=newest.sha,
        run=standing.run(newest, sight),
        since=since,
        until=until,
        instead=None if taken is None else standing.run(taken, sight),
        brought=brought,
    )


def _live(mine: Sequence[Deployment]) -> tuple[int | None, int | None]:
    """From when until when a commit was live last."""
    good = [row for row in mine if row.state == DeploymentState.SUCCESS]
    if not good:
        return None, None
    others = Deployment.select(Deployment.id, Deployment.finished).where(
        Deployment.service == good[0].service_id,
        Deployment.state == DeploymentState.SUCCESS,
        Deployment.sha != good[0].sha,
    )
    after = others.where(Deployment.id > good[0].id).order_by(Deployment.id).first()
    before = others.where(Deployment.id < good[0].id).order_by(Deployment.id.desc()).first()
    unbroken = [row for row in good if before is None or row.id > before.id]
    return unbroken[-1].finished, None if after is None else after.finished


def _pushed(sha: str, sights: Mapping[int, Sight]) -> list[Whereabouts]:
    """What was decided of the pushes of such commits, of services whose deliveries the reader may see."""
    whole = [number for number, much in sights.items() if much is Sight.ALL]
    rows = (
        Verdict.select(Verdict.verdict, Verdict.reason, Delivery.guid, Delivery.commit, Service.name)
        .join(Delivery)
        .switch(Verdict)
        .join(Service)
        .where(searching.begins(Delivery.commit, sha), Delivery.duplicate_of.is_null(), Verdict.service.in_(whole))
        .order_by(Verdict.id.desc())
        .limit(ROWS)
    )
    found: dict[tuple[str, str], Whereabouts] = {}
    for row in rows:
        commit = row.delivery.commit or ""  # the condition leaves out those without one
        found.setdefault(
            (row.service.name, commit),
            Whereabouts(
                service=row.service.name,
                sha=commit,
                verdict=VerdictKind(row.verdict),
                reason=row.reason,
                guid=row.delivery.guid,
            ),
        )
    return list(found.values())


def _brought(sha: str, sights: Mapping[int, Sight]) -> list[Whereabouts]:
    """How the head of the newest push fared that brought such a commit below it."""
    first = Delivery.select(fn.MAX(Delivery.id) - PUSHES)
    known = (Delivery.id > first) & Delivery.commits.contains(f'"sha":"{sha.lower()}')
    pushes = Delivery.select(*WITHOUT_BODY).where(known).order_by(Delivery.id.desc()).limit(MOST)
    heads = dict.fromkeys(row.commit for row in pushes if row.commit)
    return [each for head in heads for each in _deployed(head, sights, sha)][:MOST]
