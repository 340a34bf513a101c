"""Regions: what an open page asks for again, drawn once for all who see the same at that moment.

The script of an open page asks for the page's own address with two headers: `Live-Regions` says for whom the page was
drawn, `Live-Since` which event it has heard of last. It gets the page without its frame.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from functools import wraps
from http import HTTPStatus
from threading import Lock
from typing import Final, NamedTuple, ParamSpec, cast

import msgspec
from flask import Flask, Response, current_app, g, request

from fastdeploy_bot.core.telling import feed
from fastdeploy_bot.errors import Unavailable
from fastdeploy_bot.web import assets, browser, numbers
from fastdeploy_bot.web.browser import StandIns
from fastdeploy_bot.words import PrincipalKind

P = ParamSpec("P")

FOR: Final = "Live-Regions"
SINCE: Final = "Live-Since"
VERSION: Final = "Live-Version"
"""Of an answer: which script and stylesheet its page would have."""
EXTENSION: Final = "fastdeploy-regions"
KEPT_SECONDS: Final = 1.0
"""How old a drawing may be that nothing newer is known of: ages grow, and some things change without an event."""
MOST: Final = 64
"""How many drawings are kept."""
PATIENCE: Final = 5.0
"""Seconds for which one waits for others that draw the same: pushes need threads, too."""


class Drawing(NamedTuple):
    """Regions, with stand-ins where each reader gets something of their own."""

    text: str
    digest: str
    event: int
    """The newest event when it was begun: all up to that one is in it."""
    begun: float


class Drawings:
    """The last drawing of each page for each kind of reader; while one is made, those who want it wait for it."""

    def __init__(self) -> None:
        self.stand_ins = StandIns(secrets.token_hex(16), secrets.token_hex(16))
        self._guard = Lock()
        self._places: OrderedDict[tuple[str, str], _Place] = OrderedDict()

    def get(self, path: str, role: str, since: int, draw: Callable[[], str]) -> Drawing:
        """The page's regions for readers of that role, no older than the event; drawn now if need be.

        Raises Unavailable where others that draw them take too long.
        """
        place = self._place((path, role))
        if not place.lock.acquire(timeout=PATIENCE):
            raise Unavailable("this page is asked for by many at this moment: try again shortly")
        try:
            found = place.drawing
            if found is None or found.event < since or time.monotonic() - found.begun > KEPT_SECONDS:
                found = place.drawing = _drawn(draw)
            return found
        finally:
            place.lock.release()

    def _place(self, key: tuple[str, str]) -> _Place:
        with self._guard:
            place = self._places.setdefault(key, _Place())
            self._places.move_to_end(key)
            if len(self._places) > MOST:
                self._places.popitem(last=False)
            return place


class _Place:
    def __init__(self) -> None:
        self.lock = Lock()
        self.drawing: Drawing | None = None


def register(app: Flask) -> None:
    """Give an app a place for its drawings."""
    app.extensions[EXTENSION] = Drawings()


def shared(view: Callable[P, str]) -> Callable[P, str | Response]:
    """Let the page of that view be asked for again by its script.

    What it shows may depend on its address and the reader's role, and on nothing else of the reader or the request: to
    the view, the reader has no name then.
    """

    @wraps(view)
    def answer(*args: P.args, **kwargs: P.kwargs) -> str | Response:
        if FOR not in request.headers:
            return view(*args, **kwargs)
        return _answer(lambda: view(*args, **kwargs))

    return answer


def _answer(draw: Callable[[], str]) -> Response:
    """The regions for who asks. Raises SignedOut where their page was a user's, and they are one no more."""
    who = browser.reader()
    if request.headers[FOR] == PrincipalKind.USER and who.kind is not PrincipalKind.USER:
        raise browser.SignedOut("the session has ended: sign in again")
    drawings = cast("Drawings", current_app.extensions[EXTENSION])

    def draw_for_all() -> str:
        g.stand_ins = msgspec.structs.replace(drawings.stand_ins)
        return draw()

    try:
        drawing = drawings.get(request.full_path, who.role or "", _since(), draw_for_all)
    finally:
        g.pop("stand_ins", None)
    return _own(drawing, drawings.stand_ins)


def _own(drawing: Drawing, stand_ins: StandIns) -> Response:
    """The drawing, with what is the reader's own; without a body where they have it already."""
    answer = Response(mimetype="text/html")
    answer.set_etag(drawing.digest)
    answer.headers[VERSION] = assets.version()
    if drawing.digest in request.if_none_match:
        answer.status_code = HTTPStatus.NOT_MODIFIED
        return answer
    text = drawing.text.replace(stand_ins.nonce, secrets.token_urlsafe(9))
    if stand_ins.form_token in text:
        text = text.replace(stand_ins.form_token, browser.form_token())
    answer.set_data(text)
    return answer


def _drawn(draw: Callable[[], str]) -> Drawing:
    begun, event = time.monotonic(), feed.newest()
    text = draw()
    return Drawing(text, hashlib.sha256(text.encode()).hexdigest()[:32], event, begun)


def _since() -> int:
    return numbers.read(request.headers.get(SINCE, "")) or 0
