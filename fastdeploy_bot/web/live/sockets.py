"""Sockets: the feed over a websocket. Who may listen, what they are told first, and when they are sent away."""

from __future__ import annotations

import logging
import selectors
import time
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from typing import Final, cast
from wsgiref.types import WSGIEnvironment

import msgspec
from flask import Blueprint, Flask, Response, current_app, g, request
from flask_sock import Sock
from simple_websocket import ConnectionClosed, Server
from wsproto.utilities import LocalProtocolError, RemoteProtocolError

from fastdeploy_bot import store
from fastdeploy_bot.bell import Bell
from fastdeploy_bot.core import clock
from fastdeploy_bot.core.people import access, tokens
from fastdeploy_bot.core.people.access import Action
from fastdeploy_bot.core.people.credentials import Credential, Proof
from fastdeploy_bot.core.telling import feed
from fastdeploy_bot.errors import Forbidden, Gone, Malformed, Unauthenticated, Unavailable
from fastdeploy_bot.store.models import Deployment
from fastdeploy_bot.web import answers, browser, context, numbers
from fastdeploy_bot.web.live import hub, wire
from fastdeploy_bot.web.live.hub import Farewell, Hub, Reader
from fastdeploy_bot.web.live.seats import Kind, Seat, Seats
from fastdeploy_bot.web.live.wire import Budget, Wire

log = logging.getLogger(__name__)

bp = Blueprint("feed", __name__)
sock = Sock()

EXTENSION: Final = "fastdeploy-feed"
IDENTIFY_SECONDS: Final = 5.0
"""How long a socket has to show who it is."""
NOTICE: Final = 5 * 60 * clock.SECOND
"""How long before its end a session's reader is told."""
PING_SECONDS: Final = 25
LONGEST_MESSAGE: Final = 4 * 1024
MESSAGES: Final = 10
MESSAGES_PER_SECOND: Final = 0.2
CLOSE_SECONDS: Final = 1.0
"""How long a peer has to hear why it is sent away."""
LOG_SECONDS: Final = 0.26
"""How much time is between two notices of a log: never more than four in a second."""
LONGEST_REST: Final = 30.0
SERVERS: Final = ("gunicorn.socket", "werkzeug.socket")
"""Where servers leave a request's connection."""

NOT_UNDERSTOOD: Final = 1008
NOT_FOR_THIS_TOKEN: Final = 4403


class Feed(msgspec.Struct, frozen=True):
    """What an app's sockets share."""

    hub: Hub
    seats: Seats


class Wish(msgspec.Struct, frozen=True):
    """What a socket was opened for."""

    since: int | None
    deployment: int | None


class Message(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The one message that a reader may send."""

    access_token: str


def register(app: Flask) -> None:
    """Give an app its feed; nothing runs before somebody listens."""
    bot: context.Bot = app.extensions[context.EXTENSION]
    app.extensions[EXTENSION] = Feed(
        Hub(Bell(bot.settings.feed_bell_dir), bot.catalogue),
        Seats(bot.settings.max_sockets),
    )
    app.config["SOCK_SERVER_OPTIONS"] = {
        "ping_interval": PING_SECONDS,
        "max_message_size": LONGEST_MESSAGE,
        "thread_class": wire.receiving,
        "selector_class": selectors.PollSelector,  # it takes no descriptor
    }


def end_when(app: Flask, is_ending: Callable[[], bool]) -> None:
    """Close the app's sockets once the server is about to end; it is asked once a second."""
    _feed(app).hub.is_ending = is_ending


@bp.before_request
def _admit() -> None:
    """Refuse before the upgrade what needs no socket to be refused. Raises Malformed, Forbidden, Unavailable."""
    g.wish = Wish(_number("since"), _number("deployment"))
    g.shown = _shown()
    seat = _feed(current_app).seats.take(Kind.KNOWN if isinstance(g.shown, Credential) else Kind.WAITING)
    if seat is None:
        raise Unavailable("there are as many websockets as this bot holds: try again shortly")
    g.seat = seat
    _prepare(request.environ)


@bp.teardown_request
def _leave(_error: BaseException | None) -> None:
    if (seat := g.pop("seat", None)) is not None:
        seat.leave()


@bp.errorhandler(RemoteProtocolError)
def _no_websocket(error: RemoteProtocolError) -> Response:
    return answers.problem(HTTPStatus.BAD_REQUEST, "This is not how a websocket begins", str(error))


@sock.route("/feed", bp=bp)  # type: ignore[untyped-decorator]  # flask-sock ships no types
def follow(ws: Server) -> None:
    """The feed, until one side has had enough."""
    Conversation(_feed(current_app).hub, ws, g.seat, g.wish).hold(g.shown)


class Conversation:
    """One socket's own thread: it sends what the hub has, and hears what the peer says."""

    def __init__(self, hub: Hub, ws: Server, seat: Seat, wish: Wish) -> None:
        self._hub = hub
        self._ws = ws
        self._wire = cast("Wire", ws.sock)
        self._wire.on_end = ws.event.set  # the library may wake this thread before it has noted the end
        self._seat = seat
        self._wish = wish
        self._messages = Budget(MESSAGES, MESSAGES_PER_SECOND)
        self._reader = Reader(wake=ws.event.set, cut=self._wire.cut, offer=self._wire.offer)
        self._noticed = 0
        """The end that the reader was told of."""
        self._log_end = 0
        self._log_at = 0.0
        """Where the log ended when the reader was told last, and when that was."""

    def hold(self, shown: Credential | Farewell | None) -> None:
        """Talk until the end, and say why it is one."""
        try:
            self._close(self._talk(shown))
        finally:
            self._hub.leave(self._reader)
            store.disconnect()

    def _talk(self, shown: Credential | Farewell | None) -> Farewell | None:
        """Answers why the bot ends it; None where the peer has."""
        try:
            self._hub.enter(self._reader)
            self._identify(shown)
            self._begin()
            while True:
                self._turn()
        except Farewell as farewell:
            return farewell
        except (ConnectionClosed, LocalProtocolError, OSError):
            return Farewell(NOT_UNDERSTOOD, "too much was sent") if self._wire.flooded else None
        except (store.DatabaseError, Unavailable) as error:
            log.warning("a websocket cannot read the database", extra={"why": str(error)})
            return Farewell(hub.TRY_AGAIN, "the database is not available: try again shortly")
        except Exception:
            log.exception("a websocket has failed")
            return Farewell(hub.FAULT, "this is a fault of the bot; its own log says more")

    # --- who it is

    def _identify(self, shown: Credential | Farewell | None) -> None:
        if isinstance(shown, Farewell):
            raise shown
        if shown is None:
            self._wait_for_token()
        else:
            self._accept(shown)

    def _wait_for_token(self) -> None:
        """Let it say who it is; then go on with it as a visitor."""
        store.disconnect()
        deadline = time.monotonic() + IDENTIFY_SECONDS
        while self._reader.credential is None and (left := deadline - time.monotonic()) > 0:
            self._ws.event.wait(left)
            self._listen()
        if self._reader.credential is None:
            self._visit()

    def _visit(self) -> None:
        if not self._hub.visitable():
            raise Farewell(hub.NOT_SIGNED_IN, hub.NOTHING_PUBLIC)
        if not self._seat.turn(Kind.VISITOR):
            raise Farewell(hub.TRY_AGAIN, "there are as many visitors as this bot holds: sign in, or try again shortly")
        self._reader.visits = True

    def _accept(self, credential: Credential) -> None:
        self._hub.accept(self._reader, credential)
        self._seat.turn(Kind.KNOWN)

    # --- what it is told

    def _begin(self) -> None:
        """Say hello, and replay what is missed, page by page, until the hub can go on with it."""
        self._reader.follows = _followed(self._wish.deployment)
        newest = feed.newest()
        self._say({"type": "hello", "id": newest})
        self._reader.position = newest
        if self._wish.since is not None:
            self._reader.position = self._wish.since
            self._replay()
        while not self._hub.join(self._reader):
            self._replay()
        store.disconnect()

    def _replay(self) -> None:
        """Send a page of what came after the reader's position."""
        try:
            events = feed.since(self._reader.position)
        except Gone:
            self._reader.position = feed.newest()
            self._say({"type": "reset"})
            return
        store.release()
        self._wire.send(b"".join(self._hub.seen(event, self._reader) for event in events))
        self._reader.position = events[-1].id if events else self._reader.position
        self._heed()

    def _turn(self) -> None:
        """Do what there is to do, and wait for more.

        In that order: to listen takes back the hub's waking, also while the reader was still replaying.
        """
        self._heed()
        self._wire.flush()
        while data := self._hub.take(self._reader):
            self._wire.send(data)
            self._heed()
        self._tell_of_log()
        self._ws.event.wait(self._patience())

    def _tell_of_log(self) -> None:
        end, now = self._hub.log_end(self._reader), time.monotonic()
        if end > self._log_end and now - self._log_at >= LOG_SECONDS:
            self._log_end, self._log_at = end, now
            self._say({"type": "log", "deployment": self._wish.deployment, "end": end})

    def _patience(self) -> float:
        """How many seconds there is nothing to do, unless somebody wakes this thread."""
        rests = [LONGEST_REST]
        if (state := self._reader.stay) is not None:
            left = state.until - clock.now()
            rests.append((left if self._noticed == state.until else left - NOTICE) / clock.SECOND)
        if self._hub.log_end(self._reader) > self._log_end:
            rests.append(self._log_at + LOG_SECONDS - time.monotonic())
        return max(0.0, min(rests))

    def _say(self, message: dict[str, object]) -> None:
        self._wire.send(wire.frame(message))

    # --- what it may

    def _listen(self) -> None:
        """Hear what the peer says, and whether the hub sends it away. Raises Farewell, ConnectionClosed."""
        while (message := self._ws.receive(timeout=0)) is not None:
            self._hear(message)
        if self._reader.farewell is not None:
            raise self._reader.farewell

    def _heed(self) -> None:
        """Listen, and see whether it may go on as it is. Raises Farewell, ConnectionClosed."""
        self._listen()
        if self._reader.reset:
            self._reader.reset = False
            self._say({"type": "reset"})
        if self._reader.credential is not None:
            self._heed_the_time()

    def _hear(self, message: str | bytes) -> None:
        if not self._messages.spend(1):
            raise Farewell(NOT_UNDERSTOOD, "too many messages")
        try:
            token = msgspec.json.decode(message, type=Message).access_token
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Farewell(NOT_UNDERSTOOD, 'expected {"access_token": "…"}') from error
        self._accept(_recognised(token))
        store.disconnect()

    def _heed_the_time(self) -> None:
        """Tell of the end that comes, and close when it has come; unless the rows say that it goes on."""
        state, now = self._reader.stay, clock.now()
        if state is not None and state.until <= now:
            self._hub.check(self._reader)
            store.disconnect()
            state = self._reader.stay
        if state is None:
            raise Farewell(hub.NOT_SIGNED_IN, "signed out, expired or revoked: sign in again")
        if state.until - now <= NOTICE and self._noticed != state.until:
            self._noticed = state.until
            self._say({"type": "expiring", "at": clock.text(state.until)})

    # --- the end

    def _close(self, farewell: Farewell | None) -> None:
        """Say why, let the peer hear it, and leave the server a connection that it has not to wait for."""
        self._wire.hurry(CLOSE_SECONDS)
        if farewell is not None:
            with suppress(ConnectionClosed, LocalProtocolError, OSError):
                self._say_goodbye(farewell)
        self._ws.thread.join(CLOSE_SECONDS)
        if self._ws.thread.is_alive():
            self._wire.cut()
            self._ws.thread.join()
        else:
            self._wire.linger(CLOSE_SECONDS)

    def _say_goodbye(self, farewell: Farewell) -> None:
        if self._wire.flooded:  # the library takes that for the peer's end
            self._wire.send(wire.closing_frame(farewell.code, farewell.reason))
        else:
            self._ws.close(farewell.code, farewell.reason)


def _feed(app: Flask) -> Feed:
    return cast("Feed", app.extensions[EXTENSION])


def _number(name: str) -> int | None:
    text = request.args.get(name)
    if text is None:
        return None
    number = numbers.read(text)
    if number is None:
        raise Malformed(f"{name}: expected a number, got {text[:60]!r}")
    return number


def _shown() -> Credential | Farewell | None:
    """What the request shows, which may be worth nothing; None where it shows nothing. Raises Forbidden."""
    session = _session()
    if "Authorization" not in request.headers:
        return session
    try:
        return _recognised(context.bearer())
    except Unauthenticated as error:
        return Farewell(hub.NOT_SIGNED_IN, str(error))
    except Farewell as farewell:
        return farewell


def _recognised(bearer: str) -> Credential:
    """The credential that a user's token is. Raises Farewell."""
    try:
        who = tokens.principal(bearer, keys=context.bot().settings.keys, now=clock.now())
    except Unauthenticated as error:
        raise Farewell(hub.NOT_SIGNED_IN, str(error)) from error
    if not access.may(who, Action.BROWSE):
        raise Farewell(NOT_FOR_THIS_TOKEN, f"a {who.kind} token may not follow the feed: show a user's")
    return Credential(Proof.TOKEN, tokens.digest(bearer))


def _session() -> Credential | None:
    """The session of the request's cookie, if it lasts. Raises Forbidden where another site's page sends it."""
    cookie = request.cookies.get(browser.cookie_name())
    origin = request.headers.get("Origin")
    if not cookie or (origin is None and "Authorization" in request.headers):
        return None
    if origin != browser.own_origin() or browser.is_from_elsewhere():
        raise Forbidden(f"with a cookie this socket is for pages of {browser.own_origin()} alone")
    return None if browser.session() is None else Credential(Proof.SESSION, tokens.digest(cookie))


def _prepare(environ: WSGIEnvironment) -> None:
    """Give the library a connection that two threads can use, and keep it from compressing.

    A frame is made once for all sockets; compressed it would have to be made for each.
    """
    environ.pop("HTTP_SEC_WEBSOCKET_EXTENSIONS", None)
    for name in SERVERS:
        if name in environ:
            environ[name] = Wire(environ[name])


def _followed(number: int | None) -> tuple[int, str] | None:
    """The deployment and its service, if there is one."""
    row = None if number is None else Deployment.get_or_none(Deployment.id == number)
    return None if row is None else (row.id, row.service.name)
