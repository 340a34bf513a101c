"""Badges: how a service stands, as a picture for pages elsewhere.

A picture has no way to ask who looks: whoever shows no session sees what `visibility` allows. A service that they may
not see and one that does not exist have the same picture, status and headers.
"""

from __future__ import annotations

import math
from http import HTTPStatus
from typing import Final
from xml.etree.ElementTree import Element

import msgspec
from flask import Blueprint, Response
from flask.typing import ResponseReturnValue

from fastdeploy_bot.core import clock
from fastdeploy_bot.core.deploying import services
from fastdeploy_bot.core.looks import standing
from fastdeploy_bot.core.looks.standing import Run, Seen
from fastdeploy_bot.errors import NotFound
from fastdeploy_bot.web import answers, browser, context
from fastdeploy_bot.web.drawing import display
from fastdeploy_bot.web.drawing.markup import document, element
from fastdeploy_bot.words import DeploymentState, PrincipalKind

bp = Blueprint("badges", __name__)

MEDIA: Final = "image/svg+xml"
POLICY: Final = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox"
"""Of a picture that is opened as a page."""

HEIGHT: Final = 20
SIZE: Final = 11
"""Pixels of the letters."""
PADDING: Final = 6
LABEL: Final = "#444c56"
TEXT: Final = "#fff"
GREY: Final = "#57606a"
COLOURS: Final = {
    "running": "#0550ae",
    "success": "#116329",
    "failure": "#b3141e",
    "lost": "#b3141e",
    "queued": "#7a4d00",
    "waiting": "#7a4d00",
}
"""Behind the state; every other one is grey. White is read well on each, on a light page and on a dark one."""

_WIDE: Final = 0.84
_WIDTHS: Final = {
    **dict.fromkeys("0123456789", 0.64),
    **dict.fromkeys("abdeghnopqu", 0.64),
    **dict.fromkeys("kvxy", 0.6),
    **dict.fromkeys("csz?", 0.55),
    **dict.fromkeys("frt-", 0.4),
    **dict.fromkeys("ijl ·", 0.32),
    **dict.fromkeys("mw", 0.96),
}
"""How wide letters are in Verdana and DejaVu Sans, by their size; the picture stretches other fonts to that."""


class Badge(msgspec.Struct, frozen=True):
    """What a picture says."""

    label: str
    state: str
    """A state's word; empty for what was never deployed."""
    said: str


UNKNOWN: Final = Badge("fastdeploy", "", "unknown")


@bp.get("/badges/<name>.svg")
def badge(name: str) -> ResponseReturnValue:
    """A service's state and since when, for those who may see it."""
    now = clock.now()
    found = _of_service(name, now)
    answer = Response(draw(found or UNKNOWN), HTTPStatus.OK if found else HTTPStatus.NOT_FOUND, content_type=MEDIA)
    answer.headers["Content-Security-Policy"] = POLICY
    if browser.reader().kind is PrincipalKind.VISITOR:
        # Whatever anybody may see may be shown anywhere; what only some may see is for our own pages.
        answer.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
        return answers.asked_again(answer)
    return answer


def _of_service(name: str, now: int) -> Badge | None:
    """What is told of a service; None where the reader may not see it, or where there is none."""
    entries = context.bot().catalogue.entries()
    sight = standing.sight(browser.reader(), standing.visibility_of(name, entries))
    if sight is None:
        return None
    try:
        row = services.shown(name, entries)
    except NotFound:
        return None
    return _told(name, standing.board([Seen(row, sight)], entries, now=now)[0].run, now)


def _told(name: str, run: Run | None, now: int) -> Badge:
    if run is None:
        return Badge(name, "", f"{display.glyph(None)} never deployed")
    return Badge(name, run.state, f"{display.glyph(run.state)} {run.state} · {display.age(run.since, now)}")


def draw(badge: Badge) -> bytes:
    """The picture."""
    label, said = width(badge.label), width(badge.said)
    left, right = label + 2 * PADDING, said + 2 * PADDING
    colour = COLOURS.get(badge.state, GREY)
    name = f"{badge.label}: {badge.said}"
    attributes = {
        "xmlns": "http://www.w3.org/2000/svg",
        "width": str(left + right),
        "height": str(HEIGHT),
        "role": "img",
        "aria-label": name,
    }
    shapes = [
        element("title", name),
        _box(0, left + right, LABEL, rounded=True),
        _box(left, right, colour, rounded=True),
        _box(left, PADDING, colour, rounded=False),
        _letters(badge.label, PADDING, label),
        *_said(badge, left + PADDING),
    ]
    return document(element("svg", None, attributes, shapes))


def width(text: str) -> int:
    """How many pixels a text is wide."""
    return math.ceil(SIZE * sum(_WIDTHS.get(each, _WIDE) for each in text))


def _said(badge: Badge, x: int) -> list[Element]:
    """The state's glyph and words; what waits has its glyph drawn."""
    sign = display.glyph(DeploymentState.WAITING)
    if badge.state != DeploymentState.WAITING:
        return [_letters(badge.said, x, width(badge.said))]
    hourglass = {"d": display.HOURGLASS, "fill": TEXT, "transform": f"translate({x} 5) scale(.8)"}
    words, place = badge.said.removeprefix(sign), x + width(sign)
    return [element("path", None, hourglass), _letters(words, place, width(words))]


def _box(x: int, width: int, colour: str, *, rounded: bool) -> Element:
    corners = {"rx": "3"} if rounded else {}
    place = {"x": str(x), "width": str(width), "height": str(HEIGHT), "fill": colour}
    return element("rect", None, place | corners)


def _letters(text: str, x: int, width: int) -> Element:
    attributes = {
        "x": str(x),
        "y": "14",
        "fill": TEXT,
        "font-family": "Verdana,'DejaVu Sans',sans-serif",
        "font-size": str(SIZE),
        "textLength": str(width),
        "lengthAdjust": "spacingAndGlyphs",
    }
    return element("text", text, attributes)
