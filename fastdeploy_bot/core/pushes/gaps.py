"""Gaps: what is between what is live and the newest push is asked of GitHub, where the pushes do not tell.

Nobody waits for the answer: the page shows it when it is there. Asked once of each two commits of a service.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Final, cast

import msgspec
from peewee import fn

from fastdeploy_bot import store
from fastdeploy_bot.core import clock
from fastdeploy_bot.core.commits import between, questions
from fastdeploy_bot.core.commits.between import Between, Gap
from fastdeploy_bot.core.files.catalogue import Entry
from fastdeploy_bot.core.pushes import lag
from fastdeploy_bot.core.pushes.deciding import Asked as Compared
from fastdeploy_bot.core.pushes.lag import Lag
from fastdeploy_bot.core.telling import changes
from fastdeploy_bot.store.models import Delivery, Deployment, Question, Service
from fastdeploy_bot.words import DeploymentState, QuestionKind

SETTLED: Final = 10 * clock.SECOND
"""How old a push is before it is asked about: most are live by then."""
PATIENCE: Final = 10 * clock.MINUTE
"""How long GitHub is asked."""


class Asked(msgspec.Struct, frozen=True):
    """Two commits: the data of a question of that kind."""

    base: str
    """The one that is live."""
    head: str
    ref: str
    """Whose push brought the other one."""


def ask(entries: Mapping[str, Entry], *, now: int) -> None:
    """Have GitHub asked of each service of whose newest push nobody knows how far it is from what is live."""
    live = _live()
    lags = lag.of([row for row, _ in live], {row.id: sha for row, sha in live}, entries)
    for row, sha in live:
        entry, found = entries.get(row.name), lags.get(row.id)
        if entry is None or not entry.asks or found is None or not _is_open(row, sha, found, now):
            continue
        asked = Asked(sha, found.sha, found.ref)
        if not _is_asked(row, asked):
            store.write(partial(_ask, row, found, asked, now))


def note(question: Question, found: Mapping[str, Between]) -> None:
    """GitHub compared commits with a push, as its files were to be known. To be called inside a write."""
    push = msgspec.json.decode(question.data, type=Compared).push
    live = {row.id: sha for row, sha in _live()}.get(question.service_id or 0)
    for base, each in found.items():
        _fill(base, push.commit, push.ref, push.repository_id, each)
        if base == live:
            _keep(question.service, Gap(base, push.commit, each))


def settle(question: Question, found: Between | None) -> None:
    """GitHub said what is between two commits, or will not. To be called inside a write."""
    asked = msgspec.json.decode(question.data, type=Asked)
    if found is not None:
        _fill(asked.base, asked.head, asked.ref, question.service.repository_id, found)
    _keep(question.service, Gap(asked.base, asked.head, found))


def _live() -> list[tuple[Service, str]]:
    """Every living service of which something is live, with the commit that is."""
    good = Deployment.alias()
    last = good.select(fn.MAX(good.id)).where(good.service == Service.id, good.state == DeploymentState.SUCCESS)
    rows = Service.select(Service.id, Deployment.sha).join(Deployment, on=(Deployment.id == last)).tuples()
    shas = dict(cast("list[tuple[int, str]]", list(rows)))  # peewee's own types know only models
    return [(row, shas[row.id]) for row in Service.select().where(Service.removed.is_null()) if row.id in shas]


def _is_open(row: Service, live: str, found: Lag, now: int) -> bool:
    """Whether nobody knows, or was asked, how far a push is from what is live."""
    known = found.why is None or not found.sha or found.between is not None or now - found.at < SETTLED
    gap = between.gap(row)
    return not known and (gap is None or (gap.base, gap.head) != (live, found.sha))


def _is_asked(row: Service, asked: Asked) -> bool:
    """Whether GitHub is being asked just that."""
    mine = (Question.kind == QuestionKind.BETWEEN) & (Question.service == row.id) & Question.answered.is_null()
    return bool(Question.select().where(mine, Question.data == msgspec.json.encode(asked).decode()).exists())


def _ask(row: Service, found: Lag, asked: Asked, now: int) -> None:
    if not _is_asked(row, asked):  # by another process, a moment ago
        questions.ask(QuestionKind.BETWEEN, found.repository, asked, until=now + PATIENCE, now=now, service=row.id)


def _fill(base: str, head: str, ref: str, repository_id: int | None, found: Between) -> None:
    """A push that put commits on top, and did not tell which, has them from now on."""
    if found.lost or not found.gained:
        return
    pushed = (Delivery.repository_id == repository_id, Delivery.ref == ref)
    mine = (Delivery.before == base, Delivery.commit == head, Delivery.size.is_null())
    fields = {"size": found.gained, "commits": between.kept(found.commits[::-1])}
    Delivery.update(fields).where(*pushed, *mine).execute()


def _keep(service: Service, gap: Gap) -> None:
    written = msgspec.json.encode(gap).decode()
    Service.update(gap=written).where(Service.id == service.id).execute()
    changes.of_service(service.id)
