"""Deliveries: what arrived, and what was decided."""

from __future__ import annotations

import msgspec

from fastdeploy_bot.core import access, clock, deliveries, feed, refusals
from fastdeploy_bot.core.access import Action
from fastdeploy_bot.errors import NotFound
from fastdeploy_bot.web import browser
from fastdeploy_bot.web.pages import regions, shared
from fastdeploy_bot.web.pages.shared import bp


@bp.get("/deliveries")
@regions.shared
def list_deliveries() -> str:
    """What arrived lately, and what was decided."""
    since = feed.newest()
    who = browser.require(Action.BROWSE)
    return shared.page(
        "deliveries.html",
        since=since,
        now=clock.now(),
        deliveries=deliveries.latest(deliveries.SHOWN),
        most=deliveries.SHOWN,
        refused=refusals.latest() if access.may(who, Action.MANAGE) else None,
    )


@bp.get("/deliveries/<guid>")
@regions.shared
def delivery(guid: str) -> str:
    """One delivery, with its headers."""
    since = feed.newest()
    browser.require(Action.BROWSE)
    found = deliveries.latest(1, guid=guid)
    if not found:
        raise NotFound(f"there is no delivery {guid!r}")
    headers = msgspec.json.decode(found[0].headers, type=dict[str, str])
    return shared.page("delivery.html", since=since, now=clock.now(), each=found[0], headers=headers)
