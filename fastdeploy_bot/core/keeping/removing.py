"""Removing: what refers to old rows, and the short writes that remove those to which nothing does.

What removes is to be called inside a write, and looks once more: somebody may have come to need what was free a moment
ago.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from peewee import fn

from fastdeploy_bot.store.models import Delivery, Deployment, LogChunk, Question, Report, Step, Verdict
from fastdeploy_bot.words import ReportKind

WORK: Final = 150
"""What one write takes on itself: each row counts as one, and once more for each `PIECE` that it holds."""
PIECE: Final = 8 * 1024


def bodies(deliveries: Sequence[int]) -> int:
    """Forget what these brought; answers how many had it yet."""
    had = (Delivery.id.in_(deliveries)) & Delivery.body.is_null(False)
    return int(Delivery.update(body=None).where(had).execute())


def deployments(batch: Sequence[int]) -> int:
    """Remove these with their steps and logs; answers how many went."""
    numbers = free(batch, references(batch))
    Verdict.update(deployment=None).where(Verdict.deployment.in_(numbers)).execute()
    _hand_reports_on(numbers)
    LogChunk.delete().where(LogChunk.deployment.in_(numbers)).execute()
    Question.delete().where(Question.deployment.in_(numbers)).execute()
    Step.delete().where(Step.deployment.in_(numbers)).execute()
    return int(Deployment.delete().where(Deployment.id.in_(numbers)).execute())


def _hand_reports_on(numbers: Collection[int]) -> None:
    """What GitHub was told of their commits belongs to a later deployment of the same commit, or goes.

    What it was told of one deployment alone goes with that.
    """
    told = Report.select(Report.id, Deployment.service, Deployment.sha).join(Deployment)
    reports = pairs(told.where(Report.deployment.in_(numbers), Report.kind == ReportKind.STATUS))
    others = (
        Deployment.select(Deployment.service, Deployment.sha, fn.MAX(Deployment.id))
        .where(Deployment.sha.in_([sha for _, _, sha in reports]), Deployment.id.not_in(numbers))
        .group_by(Deployment.service, Deployment.sha)
    )
    heirs = {(service, sha): number for service, sha, number in pairs(others)}
    for report, service, sha in reports:
        if (service, sha) in heirs:
            Report.update(deployment=heirs[service, sha]).where(Report.id == report).execute()
    Report.delete().where(Report.deployment.in_(numbers)).execute()


def shorten(deployment: int) -> bool:
    """Take a piece off the end of a deployment's log; False where nobody may, or nothing but little is left."""
    if not free([deployment], references([deployment])):
        return False
    mine = LogChunk.select(LogChunk.id, fn.LENGTH(LogChunk.data)).where(LogChunk.deployment == deployment)
    last = pairs(mine.order_by(LogChunk.offset.desc()).limit(WORK))
    batch = next(batches({number: 1 + size // PIECE for number, size in last}), [])
    LogChunk.delete().where(LogChunk.id.in_(batch)).execute()
    return len(batch) > 0


def deliveries(batch: Sequence[int]) -> int:
    """Remove these with their verdicts; answers how many went."""
    again = Delivery.select(Delivery.id, Delivery.duplicate_of).where(Delivery.duplicate_of.in_(batch))
    needed = {row.delivery_id for row in for_deliveries(batch)}
    numbers = free(set(batch) - needed - asked_of(Question.delivery, batch), pairs(again))
    Verdict.delete().where(Verdict.delivery.in_(numbers)).execute()
    Question.delete().where(Question.delivery.in_(numbers)).execute()
    return int(Delivery.delete().where(Delivery.id.in_(numbers)).execute())


def batches(weights: Mapping[int, int]) -> Iterator[list[int]]:
    """The numbers in their order, as many at once as one write takes on itself, or one that is too much."""
    batch: list[int] = []
    work = 0
    for number, weight in weights.items():
        if batch and work + weight > WORK:
            yield batch
            batch, work = [], 0
        batch.append(number)
        work += weight
    if batch:
        yield batch


def references(numbers: Collection[int]) -> list[tuple[int, int]]:
    """Which deployment refers to which of these; 0 stands for what GitHub is owed of it, or is still to say."""
    found = [(0, row.deployment_id) for row in _owed(numbers)]
    found += [(0, number) for number in asked_of(Question.deployment, numbers)]
    for field in (Deployment.parent, Deployment.taken_over_by):
        found += pairs(Deployment.select(Deployment.id, field).where(field.in_(numbers)))
    return found


def _owed(numbers: Collection[int]) -> Iterable[Report]:
    return Report.select().where(Report.deployment.in_(numbers), Report.changes > Report.told)


def for_deliveries(numbers: Collection[int]) -> Iterable[Deployment]:
    """The deployments that these deliveries asked for."""
    return Deployment.select(Deployment.id, Deployment.delivery).where(Deployment.delivery.in_(numbers))


def asked_of(field: Any, numbers: Collection[int]) -> set[int]:
    """Those of them about which GitHub is still to say something. Any: peewee's."""
    asked = Question.select(field).where(field.in_(numbers), Question.answered.is_null())
    return {number for (number,) in pairs(asked)}


def free(numbers: Collection[int], references: Collection[tuple[int, int]]) -> set[int]:
    """Those of them to which nothing refers but what is free itself; a reference is who refers, and to what."""
    left = set(numbers)
    while blocked := {what for who, what in references if who not in left and what in left}:
        left -= blocked
    return left


def pairs(query: Any) -> list[Any]:
    """The query's rows as their columns: peewee's own types know only models."""
    return list(query.tuples())
