"""The overview: all services at a glance, and what was deployed lately."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
from flask import request, url_for

from fastdeploy_bot.core import clock
from fastdeploy_bot.core.commits import deliveries
from fastdeploy_bot.core.looks import searching, standing, whereabouts
from fastdeploy_bot.core.looks.standing import Run, Seen
from fastdeploy_bot.core.people import access
from fastdeploy_bot.core.people.access import Action
from fastdeploy_bot.core.pushes import reconciling
from fastdeploy_bot.core.telling import feed
from fastdeploy_bot.store.models import Delivery, Recovery
from fastdeploy_bot.web import browser, context
from fastdeploy_bot.web.drawing import display
from fastdeploy_bot.web.pages import regions, shared
from fastdeploy_bot.web.pages.shared import bp


class Lesson(msgspec.Struct, frozen=True, kw_only=True):
    """What leads to the first deployment, for those who set the bot up."""

    home: Path
    hook: str
    """Where GitHub is to send what happens."""
    has_app: bool
    """Whether a GitHub App of the bot's does so."""
    reached: Delivery | None
    """The last that it has sent."""


@bp.get("/")
@regions.shared
def overview() -> str:
    """How all services stand, those that need somebody first, and what was deployed lately."""
    since, now, entries = feed.newest(), clock.now(), context.bot().catalogue.entries()
    seen = standing.seen(browser.reader(), entries)
    if not seen:
        browser.require(Action.BROWSE)
    query = request.args.get("q", "")[: searching.LONGEST_QUERY].strip()
    board = standing.board(seen, entries, now=now)
    runs = _runs(seen, query)
    untouched = not (runs or query or "before" in request.args)
    is_sha = searching.is_sha(query) and len(query) > searching.LONGEST_WORD
    words = query and not is_sha and len(runs) <= standing.RECENT
    further = searching.further(before=shared.before()) if words else None
    return shared.page(
        "overview.html",
        since=since,
        now=now,
        state=display.worst(board),
        headline=display.headline(board, now=now),
        standings=[each for each in board if query.lower() in each.name],
        query=query,
        is_sha=is_sha,
        whereabouts=whereabouts.of(query, seen) if searching.is_sha(query) else [],
        further=None if further is None else shared.place(further),
        recovery=_recovery(now),
        untouched=untouched,
        lesson=_lesson() if untouched and access.may(browser.reader(), Action.MANAGE) else None,
        **shared.stretch(runs),
    )


def _runs(seen: Sequence[Seen], query: str) -> list[Run]:
    limit = standing.RECENT + 1
    if query:
        return searching.runs(seen, query, before=shared.before(), limit=limit)
    return standing.runs(seen, before=shared.before(), limit=limit)


def _lesson() -> Lesson:
    settings = context.bot().settings
    return Lesson(
        home=settings.home,
        hook=settings.effective_public_url + url_for("hooks.github"),
        has_app=settings.app is not None,
        reached=deliveries.newest_of_github(since=0),
    )


def _recovery(now: int) -> Recovery | None:
    """What was recovered within a day, for those who may see all."""
    return reconciling.last_recovery(since=now - clock.DAY) if access.may(browser.reader(), Action.BROWSE) else None
