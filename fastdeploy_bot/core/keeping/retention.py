"""Retention: what nobody needs any more goes, in writes so short that nobody waits for them.

What stays, however old: what is live, the last successes of each service, what has not ended, and what these refer to.
And of each ref the newest push, by which an older one that comes again is known to be old.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from graphlib import TopologicalSorter
from typing import Any, Final

import msgspec
from peewee import fn

from fastdeploy_bot import store
from fastdeploy_bot.core import clock
from fastdeploy_bot.core.commits import deliveries, heads, questions, successes
from fastdeploy_bot.core.keeping import removing
from fastdeploy_bot.core.people import idempotency, sessions, throttle
from fastdeploy_bot.core.pushes import reconciling
from fastdeploy_bot.store.models import (
    Answer,
    Attempt,
    Audit,
    Delivery,
    Deployment,
    LogChunk,
    Question,
    Recovery,
    Service,
    Session,
    Step,
    Token,
    Verdict,
)
from fastdeploy_bot.words import UNDER_WAY

SUCCESSES: Final = 10
"""How many of a service's last successes stay, the live one among them."""
BODY_LIFE: Final = 7 * clock.DAY
BODY_BYTES: Final = 256 << 20
"""How much the bodies of all deliveries take at most."""
WINDOW: Final = 200
"""How many rows are looked at together."""
SHARE: Final = 4
"""How many times as long as a write took to pause after it: others have the database most of the time."""
LEAST_PAUSE: Final = 0.02


class Removed(msgspec.Struct, frozen=True, kw_only=True):
    """How many went."""

    deployments: int = 0
    deliveries: int = 0
    bodies: int = 0
    """Of deliveries."""
    audit: int = 0
    """Lines of it."""
    sessions: int = 0
    tokens: int = 0
    answers: int = 0
    """To requests with an Idempotency-Key."""
    attempts: int = 0
    """To sign in."""
    recoveries: int = 0
    """Of missed pushes."""
    questions: int = 0
    """To GitHub, with what it answered."""

    def __add__(self, more: Removed) -> Removed:
        mine, theirs = msgspec.structs.asdict(self), msgspec.structs.asdict(more)
        return Removed(**{name: count + theirs[name] for name, count in mine.items()})

    def __bool__(self) -> bool:
        return self != Removed()


def prune(days: int, *, now: int, dry_run: bool = False) -> Iterator[Removed]:
    """Remove what is older than so many days and not needed, and what is kept for a time of its own.

    Each step is one short look or one short write, and answers what went by it; whoever takes the steps pauses between
    them. With `dry_run` nothing is written: the steps answer what would go.
    """
    sweep = _Sweep(now - days * clock.DAY, now, dry_run)
    parts: Mapping[str, Iterator[int]] = {
        "bodies": sweep.bodies(),
        "deployments": sweep.deployments(),
        "deliveries": sweep.deliveries(),
        **{name: sweep.plain(model, old) for name, (model, old) in _plain(now, now - days * clock.DAY).items()},
    }
    for name, steps in parts.items():
        for count in steps:
            yield Removed(**{name: count})


def pause_after(seconds: float) -> float:
    """For how many seconds to pause after a step that took so many."""
    return max(LEAST_PAUSE, SHARE * seconds)


def _plain(now: int, before: int) -> dict[str, tuple[Any, Any]]:
    """The tables that nothing refers to, each with which of its rows are old. Any: peewee's."""
    return {
        "audit": (Audit, Audit.at < before),
        "sessions": (Session, sessions.old(now)),
        "tokens": (Token, (Token.expires < before) | (Token.revoked < before)),
        "answers": (Answer, idempotency.old(now)),
        "attempts": (Attempt, throttle.old(now)),
        "recoveries": (Recovery, Recovery.at < before),
        "questions": (Question, questions.old(now)),
    }


class _Sweep:
    """One pass over the rows. Each part yields how many went by one write, and 0 after a look."""

    def __init__(self, before: int, now: int, dry_run: bool) -> None:
        self._before = before
        self._now = now
        self._dry_run = dry_run
        self._gone: set[int] = set()
        """Deployments; with a dry run they are there still, and do not count."""
        self._newest: dict[tuple[object, ...], int | None] = {}

    def bodies(self) -> Iterator[int]:
        """What deliveries brought: old, or too much in all."""
        weights = store.read(self._old_bodies)
        for batch in removing.batches(weights):
            yield self._write(removing.bodies, batch)

    def deployments(self) -> Iterator[int]:
        """Deployments with their steps and logs."""
        kept = store.read(_kept)
        found = True
        while found:  # what retries a deployment is newer than that, and has to go before it
            found = False
            for window in self._windows(Deployment, Deployment.finished):
                weights = self._read(_old_deployments, set(window) - kept - self._gone, self._gone)
                yield 0
                for batch in removing.batches(weights):
                    yield from self._shorten(batch[0], weights)
                    yield self._write(removing.deployments, batch)
                    self._gone.update(batch)
                    found = True

    def deliveries(self) -> Iterator[int]:
        """Deliveries with their verdicts."""
        for window in self._windows(Delivery, Delivery.received):
            weights = self._read(self._old_deliveries, window)
            yield 0
            for batch in removing.batches(weights):
                yield self._write(removing.deliveries, batch)

    def plain(self, model: Any, old: Any) -> Iterator[int]:
        """The rows of a table that nothing refers to."""
        if self._dry_run:
            yield model.select().where(old).count()
            return
        while numbers := [row.id for row in model.select(model.id).where(old).limit(removing.WORK)]:
            yield self._write(lambda batch: int(model.delete().where(model.id.in_(batch)).execute()), numbers)

    def _write(self, remove: Callable[[Sequence[int]], int], batch: Sequence[int]) -> int:
        return len(batch) if self._dry_run else store.write(lambda: remove(batch))

    def _read(self, look: Callable[..., dict[int, int]], *what: object) -> dict[int, int]:
        return store.read(lambda: look(*what))

    def _shorten(self, number: int, weights: Mapping[int, int]) -> Iterator[int]:
        """Take pieces off a log that is too much for one write."""
        if weights[number] <= removing.WORK or self._dry_run:
            return
        while store.write(lambda: removing.shorten(number)):
            yield 0

    def _windows(self, model: Any, moment: Any) -> Iterator[list[int]]:
        """The ids of a table's rows from before the limit, oldest first. Any: peewee's."""
        at, number = -(1 << 62), 0
        while rows := list(
            model.select(moment, model.id)
            .where(moment < self._before, moment >= at, (moment > at) | (model.id > number))
            .order_by(moment, model.id)
            .limit(WINDOW)
            .tuples()
        ):
            yield [row[1] for row in rows]
            at, number = rows[-1]

    def _old_bodies(self) -> dict[int, int]:
        """The deliveries whose bodies are to go, each with what that costs."""
        length = fn.LENGTH(Delivery.body)
        rows = Delivery.select(Delivery.id, Delivery.received, length).where(Delivery.body.is_null(False))
        old: dict[int, int] = {}
        taken = 0
        for number, received, size in removing.pairs(rows.order_by(Delivery.received.desc(), Delivery.id.desc())):
            taken += size
            if received < self._now - BODY_LIFE or taken > BODY_BYTES:
                old[number] = 1 + size // removing.PIECE
        return old

    def _old_deliveries(self, window: Collection[int]) -> dict[int, int]:
        """Those of them that nothing that stays refers to and that tell nothing, each with what its removal costs."""
        kept = {row.delivery_id for row in removing.for_deliveries(window) if row.id not in self._gone}
        kept |= self._telling(window) | removing.asked_of(Question.delivery, window)
        again = Delivery.select(Delivery.id, Delivery.duplicate_of).where(Delivery.duplicate_of.in_(window))
        free = removing.free(set(window) - kept, removing.pairs(again))
        size = 1 + fn.COALESCE(fn.LENGTH(Delivery.body), 0) / removing.PIECE
        sizes = removing.pairs(
            Delivery.select(Delivery.id, size).where(Delivery.id.in_(free)).order_by(Delivery.id.desc())
        )
        return {number: 1 + cost for number, cost in sizes}  # the newest first: what came again before what it names

    def _telling(self, window: Collection[int]) -> set[int]:
        """Those of them by which older pushes are known as such, that say what a ref names, or were decided lately."""
        facts = (Verdict.service, Delivery.repository_id, Delivery.ref)
        rows = (
            Verdict.select(Delivery.id, Delivery.pushed_at, Verdict.counts, Verdict.verdict, Verdict.decided, *facts)
            .join(Delivery)
            .where(Verdict.delivery.in_(window))
        )
        return {
            number
            for number, pushed_at, counts, verdict, decided, *place in removing.pairs(rows)
            if decided >= self._before
            or (counts and self._is_newest(pushed_at, Verdict.counts, "counts", *place))
            or (verdict not in reconciling.OLDER and self._is_newest(pushed_at, _decided(), "decided", *place))
            or (verdict not in heads.UNTOLD and self._is_newest(pushed_at, _told(), "told", *place))
        }

    def _is_newest(self, pushed_at: int | None, kind: Any, name: str, *place: object) -> bool:
        """Whether no push of that kind, to that service and ref, was made later. Without a time that is not known."""
        key = (name, *place)
        if key not in self._newest:
            service, repository, ref = place
            last = deliveries.of_ref(Delivery.pushed_at, told=kind, most=1)(repository, ref, service).first()
            self._newest[key] = None if last is None else last.pushed_at
        newest = self._newest[key]
        return pushed_at is None or newest is None or pushed_at >= newest


def _decided() -> Any:
    return Verdict.verdict.not_in(reconciling.OLDER)


def _told() -> Any:
    return Verdict.verdict.not_in(heads.UNTOLD)


def _kept() -> set[int]:
    """Deployments that stay however old they are, by themselves."""
    good = {
        row.id
        for service in Service.select(Service.id)
        for row in successes.of(service.id, Deployment.id).limit(SUCCESSES)
    }
    return good | _shipping()


def _shipping() -> set[int]:
    """What has not ended, and those whose commits ship with it: GitHub is owed their end, too."""
    found: set[int] = set()
    for state in UNDER_WAY:  # one after the other: each has an index of its own
        numbers = [row.id for row in Deployment.select(Deployment.id).where(Deployment.state == state)]
        for first in range(0, len(numbers), WINDOW):
            found |= _with_those_shipping(numbers[first : first + WINDOW])
    return found


def _with_those_shipping(numbers: Collection[int]) -> set[int]:
    """These, and those that were superseded by them, directly or by way of others."""
    chain = Deployment.select(Deployment.id).where(Deployment.id.in_(numbers))
    shipping = chain.cte("shipping", recursive=True, columns=("id",))
    earlier = Deployment.alias()
    further = earlier.select(earlier.id).join(shipping, on=(earlier.taken_over_by == shipping.c.id))
    whole = shipping.union(further)
    return {number for (number,) in removing.pairs(whole.select_from(whole.c.id))}


def _old_deployments(window: Collection[int], gone: Collection[int]) -> dict[int, int]:
    """Those of them that nothing that stays refers to, in the order to remove them, with what each removal costs."""
    references = removing.references(window)
    free = removing.free(window, [(who, what) for who, what in references if who not in gone])
    order = TopologicalSorter(dict.fromkeys(free, ()))
    for who, what in references:
        if who in free and what in free:
            order.add(what, who)
    chunk = 1 + fn.LENGTH(LogChunk.data) / removing.PIECE
    logs = LogChunk.select(LogChunk.deployment, fn.SUM(chunk)).where(LogChunk.deployment.in_(free))
    weights = dict(removing.pairs(logs.group_by(LogChunk.deployment)))
    steps = Step.select(Step.deployment, fn.COUNT(Step.id)).where(Step.deployment.in_(free)).group_by(Step.deployment)
    lengths = dict(removing.pairs(steps))
    return {number: 1 + int(weights.get(number, 0)) + lengths.get(number, 0) for number in order.static_order()}
