"""A service: what is live, how it does, what waits, and what was deployed."""

from __future__ import annotations

from typing import Final

from fastdeploy_bot.core import clock
from fastdeploy_bot.core.commits import between, deliveries, heads, questions
from fastdeploy_bot.core.commits.between import Between
from fastdeploy_bot.core.deploying import holdbacks, rollbacks, services, titles
from fastdeploy_bot.core.files.catalogue import Entry
from fastdeploy_bot.core.looks import standing
from fastdeploy_bot.core.looks.standing import Run, Seen, Sight
from fastdeploy_bot.core.people import access
from fastdeploy_bot.core.people.access import Action
from fastdeploy_bot.core.pushes import reconciling
from fastdeploy_bot.core.telling import feed, forecast
from fastdeploy_bot.errors import Invalid
from fastdeploy_bot.store.models import Deployment, Service
from fastdeploy_bot.web import browser, context
from fastdeploy_bot.web.pages import regions, shared
from fastdeploy_bot.web.pages.shared import bp

RATE_OF: Final = 20
"""How many of a service's last deployments its success rate is of."""
LOCK_SPANS: Final = {"1 hour": 3_600, "4 hours": 14_400, "1 day": 86_400, "3 days": 259_200, "1 week": 604_800}
"""How long a lock may last that a form asks for, in seconds."""


@bp.get("/services/<name>")
@regions.shared
def service(name: str) -> str:
    """One service: what is live, how it does, what waits, and what was deployed."""
    since, now, entries = feed.newest(), clock.now(), context.bot().catalogue.entries()
    visibility = standing.visibility_of(name, entries)
    who = browser.require(Action.GLANCE, service=name, visibility=visibility)
    row = services.shown(name, entries)
    seen = [Seen(row, standing.sight(who, visibility) or Sight.STATE)]
    it = standing.board(seen, entries, now=now)[0]
    entry, whole = entries.get(name), it.sight is Sight.ALL
    head = _head(row, entry) if whole else None
    goal = rollbacks.offer(row) if row.removed is None and access.may(who, Action.STEER) else None
    succeeded, ended = standing.success_rate(row.id, last=RATE_OF)
    return shared.page(
        "service.html",
        since=since,
        now=now,
        state=it.run.state if it.run is not None else None,
        it=it,
        file=entry.file if entry is not None and whole else None,
        removed=row.removed,
        visibility=visibility,
        repository=row.repository,
        head=head,
        head_title="" if head is None else titles.of(row, head.sha),
        left_by=row.held_back_by if head is not None and head.sha == row.held_back else None,
        held_back=holdbacks.why(row) if whole else "",
        brings=_between(row, it.live, head) if it.live is not None and head is not None else None,
        goal=goal,
        takes=_between(row, it.live, goal) if it.live is not None and goal is not None else None,
        spans=LOCK_SPANS,
        habit=forecast.habit(row.id),
        succeeded=succeeded,
        ended=ended,
        delivery=deliveries.last_of(row) if whole else None,
        questions=questions.troubled(row.id) if whole else [],
        watch=reconciling.watch(row.repository) if whole and row.removed is None else None,
        **shared.stretch(standing.runs(seen, before=shared.before(), limit=standing.RECENT + 1)),
    )


def _between(row: Service, live: Run, other: heads.Head | Deployment) -> Between | None:
    """How what is live differs from another commit."""
    return between.of(row, live.sha, other.sha, ref=other.ref)


def _head(row: Service, entry: Entry | None) -> heads.Head | None:
    """What would be deployed now; None where no push told."""
    if entry is None or entry.file is None:
        return None
    try:
        return heads.newest(row, entry.file)
    except Invalid:
        return None
