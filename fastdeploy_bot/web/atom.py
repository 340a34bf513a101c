"""Atom: the last deployments of a service, for feed readers. Source: RFC 4287.

Each reader is told what the service's page tells them: by `visibility`, without a session.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final
from urllib.parse import urlsplit
from xml.etree.ElementTree import Element

import msgspec
from flask import Blueprint, Response
from flask.typing import ResponseReturnValue

from fastdeploy_bot.core import clock
from fastdeploy_bot.core.deploying import services
from fastdeploy_bot.core.looks import standing
from fastdeploy_bot.core.looks.standing import Run, Seen, Sight
from fastdeploy_bot.core.people.access import Action
from fastdeploy_bot.store.models import Service
from fastdeploy_bot.web import answers, browser, context
from fastdeploy_bot.web.drawing import display
from fastdeploy_bot.web.drawing.markup import document, element
from fastdeploy_bot.words import PrincipalKind

bp = Blueprint("atom", __name__)

MEDIA: Final = "application/atom+xml"
ENTRIES: Final = 20


class Site(msgspec.Struct, frozen=True):
    """Where the bot is, and where GitHub is."""

    url: str
    github: str

    def tag(self, moment: int, name: str) -> str:
        """A name for all times, of something that began at that moment. Source: RFC 4151."""
        parts = urlsplit(self.url)
        place = f"{parts.port}/{name}" if parts.port else name
        return f"tag:{(parts.hostname or '').replace(':', '-')},{_day(moment)}:{place}"


@bp.get("/services/<name>.atom")
def atom(name: str) -> ResponseReturnValue:
    """The last deployments of a service that have ended, newest first."""
    entries = context.bot().catalogue.entries()
    visibility = standing.visibility_of(name, entries)
    who = browser.require(Action.GLANCE, service=name, visibility=visibility)
    row = services.shown(name, entries)
    runs = standing.ended(Seen(row, standing.sight(who, visibility) or Sight.STATE), limit=ENTRIES)
    settings = context.bot().settings
    told = document(feed(row, runs, Site(settings.effective_public_url, settings.github_url)))
    answer = Response(told, content_type=f"{MEDIA}; charset=utf-8")
    return answers.asked_again(answer) if who.kind is PrincipalKind.VISITOR else answer


def feed(service: Service, runs: list[Run], site: Site) -> Element:
    """The feed of a service."""
    page = f"{site.url}/services/{service.name}"
    begun = service.created or 0
    parts = [
        element("id", site.tag(begun, f"services/{service.name}")),
        element("title", f"Deployments of {service.name}"),
        element("updated", clock.text(max((each.since for each in runs), default=begun))),
        element("author", children=[element("name", "fastdeploy")]),
        element("link", attributes={"rel": "self", "type": MEDIA, "href": f"{page}.atom"}),
        element("link", attributes={"rel": "alternate", "type": "text/html", "href": page}),
    ]
    entries = (element("entry", children=_entry(each, site)) for each in runs)
    return element("feed", attributes={"xmlns": "http://www.w3.org/2005/Atom"}, children=[*parts, *entries])


def _entry(run: Run, site: Site) -> Iterator[Element]:
    commit = f" {display.short(run.sha)}" if run.sha else ""
    title = f" “{run.title}”" if run.title else ""
    yield element("id", site.tag(run.created, _place(run)))
    yield element("title", f"{display.glyph(run.state)} {run.service}: {run.state}{commit}{title}")
    yield element("published", clock.text(run.created))
    yield element("updated", clock.text(run.since))
    if run.actor:
        yield element("author", children=[element("name", run.actor)])
    yield element("link", attributes={"rel": "alternate", "type": "text/html", "href": f"{site.url}{_page(run)}"})
    if changes := display.changes_url(site.github, run):
        yield element("link", attributes={"rel": "related", "type": "text/html", "href": changes})
    yield element("summary", _summary(run))


def _place(run: Run) -> str:
    """What an entry is named by; a number would tell those who may see no more than states how many there are."""
    moments = f"{run.created}-{run.since}"
    return f"services/{run.service}/{moments}" if run.sight is Sight.STATE else f"deployments/{run.id}"


def _page(run: Run) -> str:
    return f"/services/{run.service}" if run.sight is Sight.STATE else f"/deployments/{run.id}"


def _summary(run: Run) -> str:
    where = f"{display.ref_name(run.ref)} at {run.sha}. " if run.sha else ""
    took = f", after {display.duration(run.took)}" if run.took is not None else ""
    reason = f": {run.reason}" if run.reason else ""
    return f"{where}Ended as {run.state}{took}{reason}."


def _day(moment: int) -> str:
    return datetime.fromtimestamp(moment / clock.SECOND, UTC).strftime("%Y-%m-%d")
