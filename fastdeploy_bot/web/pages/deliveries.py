"""Deliveries: what arrived, and what was decided."""

from __future__ import annotations

from typing import Final

import msgspec
from flask import request

from fastdeploy_bot.core import clock
from fastdeploy_bot.core.commits import between, deliveries
from fastdeploy_bot.core.commits.deliveries import Wanted
from fastdeploy_bot.core.deploying import services
from fastdeploy_bot.core.people import access
from fastdeploy_bot.core.people.access import Action
from fastdeploy_bot.core.pushes import refusals
from fastdeploy_bot.core.telling import feed
from fastdeploy_bot.web import browser, context
from fastdeploy_bot.web.pages import regions, shared
from fastdeploy_bot.web.pages.shared import bp

LONGEST: Final = 200
"""Characters of what is asked for."""


@bp.get("/deliveries")
@regions.shared
def list_deliveries() -> str:
    """What arrived lately, and what was decided; of that, what is asked for."""
    since = feed.newest()
    who = browser.require(Action.BROWSE)
    entries = context.bot().catalogue.entries()
    asked = Wanted(*(request.args.get(name, "")[:LONGEST].strip() for name in ("service", "q")))
    return shared.page(
        "deliveries.html",
        since=since,
        now=clock.now(),
        deliveries=deliveries.latest(deliveries.SHOWN, wanted=asked),
        asked=asked,
        names=[row.name for row in services.everything(entries)],
        most=deliveries.SHOWN,
        refused=refusals.latest() if access.may(who, Action.MANAGE) else None,
    )


@bp.get("/deliveries/<guid>")
@regions.shared
def delivery(guid: str) -> str:
    """One delivery, with its headers."""
    since = feed.newest()
    browser.require(Action.BROWSE)
    found = deliveries.one(guid)
    headers = msgspec.json.decode(found.headers, type=dict[str, str])
    commits = between.read(deliveries.find(guid).commits)[::-1]
    return shared.page("delivery.html", since=since, now=clock.now(), each=found, headers=headers, commits=commits)
