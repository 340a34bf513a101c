"""Deliveries: looking back at what arrived and what was decided."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from functools import reduce
from operator import add
from typing import Any, Final, NamedTuple, cast

import msgspec
from peewee import JOIN, fn

from fastdeploy_bot import store
from fastdeploy_bot.errors import Gone, NotFound
from fastdeploy_bot.store.models import Delivery, Deployment, Service, Verdict
from fastdeploy_bot.words import VerdictKind

NEWEST_FIRST: Final = (Delivery.pushed_at.desc(nulls="last"), Delivery.id.desc())
"""The order of pushes."""
SHOWN: Final = 200
"""How many of the newest deliveries are shown."""
_TOLD: Final = (
    *("guid", "event", "action", "repository", "ref", "before", "after", "commit"),
    *("received", "reason", "peer", "headers", "reconciled", "size"),
)
_VERDICTS: Final = store.Prepared[Verdict](
    lambda delivery: (
        Verdict.select(Service.name, Verdict.verdict, Verdict.reason, Verdict.deployment)
        .join(Service)
        .where(Verdict.delivery == delivery)
        .order_by(Verdict.id)
    )
)
_GUID: Final = store.Prepared[Delivery](lambda number: Delivery.select(Delivery.guid).where(Delivery.id == number))
_LAST: Final = store.Prepared[Verdict](
    lambda service: (
        Verdict.select(Delivery.guid, Delivery.received, Verdict.verdict, Verdict.reason)
        .join(Delivery)
        .where(Verdict.id.in_(last_verdicts(service, VerdictKind, most=1)))
        .order_by(Verdict.id.desc())
        .limit(1)
    )
)

SIMULATING: Final = "fastdeploy-simulate"
"""The `User-Agent` of what signs in GitHub's place."""


class ToldVerdict(msgspec.Struct, frozen=True):
    """What was decided for one service."""

    service: str
    verdict: VerdictKind
    reason: str
    deployment: int | None


class Arrival(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery as a page shows it; `received` is in Unix milliseconds."""

    guid: str
    event: str
    action: str | None
    repository: str | None
    ref: str | None
    before: str | None
    after: str | None
    commit: str | None
    received: int
    duplicate_of: str | None
    reason: str
    peer: str
    headers: str
    """JSON."""
    reconciled: bool
    """Whether no webhook told of it."""
    replayable: bool
    """Whether it is a push whose body is still kept."""
    size: int | None
    """How many commits it put on top; None where that is not known."""
    verdicts: list[ToldVerdict]


class Wanted(NamedTuple):
    """Which of the newest deliveries to show; what is empty does not matter."""

    service: str = ""
    """Those that something was decided of for this service."""
    query: str = ""
    """Those with this beginning of a commit, or this part of a ref's or a repository's name."""


ANY: Final = Wanted()


class Heard(NamedTuple):
    """What a delivery decided for one service."""

    guid: str
    received: int
    verdict: VerdictKind
    reason: str


def latest(limit: int, *, wanted: Wanted = ANY) -> list[Arrival]:
    """The newest deliveries with all their verdicts, newest first; of so many, those that are wanted."""
    newest = Delivery.select(Delivery.id).order_by(Delivery.id.desc()).limit(limit)
    shown = Delivery.id.in_([row.id for row in newest])
    if wanted.service:
        mine = Verdict.select(Verdict.delivery).join(Service).where(Service.name == wanted.service)
        shown &= Delivery.id.in_(mine.where(Verdict.delivery.in_(newest)))
    if wanted.query:
        text = wanted.query.lower()
        shas = Delivery.after.startswith(text) | Delivery.commit.startswith(text)
        shown &= shas | Delivery.ref.contains(text) | Delivery.repository.contains(text)
    return _arrivals(shown)


def one(guid: str) -> Arrival:
    """The delivery of that GUID, with its verdicts. Raises NotFound."""
    found = _arrivals(Delivery.guid == guid)
    if not found:
        raise NotFound(f"there is no delivery {guid!r}")
    return found[0]


def _arrivals(shown: Any) -> list[Arrival]:
    """Those deliveries, newest first. Any: peewee's types do not say what a condition is."""
    first = Delivery.alias()
    told = [getattr(Delivery, name) for name in _TOLD]
    query = Delivery.select(
        *told, Delivery.id, Delivery.body.is_null(False).alias("kept"), first.guid.alias("first_guid")
    ).join(first, JOIN.LEFT_OUTER, on=(Delivery.duplicate_of == first.id))
    # peewee's own types know only models.
    rows = cast("list[dict[str, Any]]", list(query.where(shown).order_by(Delivery.id.desc()).dicts()))
    verdicts = _verdicts([row["id"] for row in rows])
    return [
        Arrival(
            **{name: row[name] for name in _TOLD},
            duplicate_of=row["first_guid"],
            replayable=bool(row["kept"]) and row["event"] == "push",
            verdicts=verdicts.get(row["id"], []),
        )
        for row in rows
    ]


def last_of(service: Service) -> Heard | None:
    """The newest delivery that was decided for a service."""
    found = _LAST.tuples(service.id)
    if not found:
        return None
    guid, received, verdict, reason = found[0]
    return Heard(guid, received, VerdictKind(verdict), reason)


def last_verdicts(service: Any, kinds: Iterable[VerdictKind], *, most: int) -> Any:
    """The question for the ids of what was decided for a service last, at most so many of each of these kinds.

    One kind after the other, as an index has them in that order. Any: an id or its place, and peewee's queries.
    """
    mine = Verdict.select(Verdict.id).where(Verdict.service == service).order_by(Verdict.id.desc()).limit(most)
    each = [mine.where(Verdict.verdict == kind) for kind in kinds]
    return reduce(add, [query.select_from(query.c.id) for query in each])


def of_ref(*columns: Any, told: Any, most: int) -> Callable[[Any, Any, Any], Any]:
    """The question for those columns of a ref's newest pushes, at most so many; to be prepared.

    By repository, ref, and the service for which they were decided, with such verdicts as `told` says. No join: SQLite
    would go through all that a service was ever told, and sort it. Any: peewee's fields, conditions and queries.
    """
    mine = Verdict.select(Verdict.id).where(Verdict.delivery == Delivery.id, told)
    return lambda repository, ref, service: (
        Delivery.select(*columns)
        .where(Delivery.repository_id == repository, Delivery.ref == ref)
        .where(fn.EXISTS(mine.where(Verdict.service == service)))
        .order_by(*NEWEST_FIRST)
        .limit(most)
    )


def find(guid: str) -> Delivery:
    """The delivery of that GUID. Raises NotFound."""
    delivery = Delivery.get_or_none(Delivery.guid == guid)
    if delivery is None:
        raise NotFound(f"there is no delivery {guid!r}")
    return delivery


def guid_of(number: int | None) -> str | None:
    """The GUID of a delivery by its row's id, without the rest of it: bodies are large."""
    return None if number is None else str(_GUID.tuples(number)[0][0])


def guids_of(numbers: Collection[int]) -> dict[int, str]:
    """The GUIDs of deliveries, by their rows' ids."""
    rows = Delivery.select(Delivery.id, Delivery.guid).where(Delivery.id.in_(list(numbers)))
    return {row.id: row.guid for row in rows}


def guid_behind(deployment: Deployment) -> str | None:
    """The GUID of the delivery that a deployment came of; asked for only where its row is not at hand."""
    delivery: Delivery | None = store.at_hand(deployment, "delivery")
    return guid_of(deployment.delivery_id) if delivery is None else delivery.guid


def body(delivery: Delivery) -> bytes:
    """The JSON document of a delivery. Raises Gone where it is no longer kept."""
    if delivery.body is None:
        raise Gone(f"the body of delivery {delivery.guid} is no longer kept: let GitHub deliver it again")
    return bytes(delivery.body)


def verdicts_of(delivery: Delivery) -> list[ToldVerdict]:
    """All that was decided about a delivery, oldest first."""
    rows = _VERDICTS.tuples(delivery.id)
    return [ToldVerdict(service, VerdictKind(kind), reason, deployment) for service, kind, reason, deployment in rows]


def _verdicts(numbers: list[int]) -> dict[int, list[ToldVerdict]]:
    """All that was decided about these deliveries, by their ids."""
    found: dict[int, list[ToldVerdict]] = {}
    rows = Verdict.select(Verdict, Service).join(Service).where(Verdict.delivery.in_(numbers))
    for row in rows.order_by(Verdict.id):
        told = ToldVerdict(row.service.name, VerdictKind(row.verdict), row.reason, row.deployment_id)
        found.setdefault(row.delivery_id, []).append(told)
    return found


def newest_of_github(*, since: int) -> Delivery | None:
    """The newest webhook from that moment on by which GitHub, and nobody in its place, reached the bot."""
    found: Delivery | None = (
        Delivery.select(Delivery.id, Delivery.guid, Delivery.event, Delivery.received)
        .where(Delivery.received >= since, ~Delivery.reconciled, ~Delivery.headers.contains(SIMULATING))
        .order_by(Delivery.id.desc())
        .first()
    )
    return found
