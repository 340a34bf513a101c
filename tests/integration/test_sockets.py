"""The feed over websockets: who may follow it, what they are told, and when they are sent away."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
import requests
from flask import Flask
from websockets.exceptions import ConnectionClosed
from werkzeug.serving import make_server

from callers import Auth, GitHub, Host, ServiceFiles, at_once, expire, on_sqlite, revoke, sync
from fastdeploy_bot import store
from fastdeploy_bot.app import create_app
from fastdeploy_bot.bell import Bell
from fastdeploy_bot.core import clock
from fastdeploy_bot.core.files.catalogue import Catalogue
from fastdeploy_bot.core.output import logs
from fastdeploy_bot.core.people import tokens
from fastdeploy_bot.core.people.credentials import Stay
from fastdeploy_bot.core.telling import changes, feed
from fastdeploy_bot.core.telling.feed import Told
from fastdeploy_bot.settings import Settings
from fastdeploy_bot.store.models import Event, Service, Session, Token, User
from fastdeploy_bot.web.live import frames, hub, sockets
from fastdeploy_bot.web.live.hub import Farewell, Hub, Reader
from fastdeploy_bot.web.live.seats import Kind
from fastdeploy_bot.web.live.sockets import EXTENSION, Feed
from fastdeploy_bot.web.live.wire import Wire, closing_frame
from fastdeploy_bot.words import Principal, PrincipalKind
from feeds import Follower, Json, refusal


class Server:
    """The app on a port of its own."""

    def __init__(self, app: Flask, auth: Auth) -> None:
        self.app = app
        self.auth = auth
        self._server = make_server("127.0.0.1", 0, app, threaded=True)
        self.url = f"http://127.0.0.1:{self._server.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()

    @property
    def token(self) -> str:
        """A viewer's."""
        return shown(self.auth("viewer"))

    @property
    def feed(self) -> Feed:
        """What the app's sockets share."""
        shared: Feed = self.app.extensions[EXTENSION]
        return shared

    def user(self, query: str = "", **options: Any) -> Follower:
        """A viewer who follows the feed."""
        return Follower(self.url, query, token=self.token, **options)

    def visitor(self, query: str = "", **options: Any) -> Follower:
        """Somebody who shows nothing at first."""
        return Follower(self.url, query, **options)

    def close(self) -> None:
        """Stop, once every socket is gone."""
        wait_for(lambda: not self.feed.seats.taken.total() and not hubs())
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def server(app: Flask, auth: Auth) -> Iterator[Server]:
    """The app, reachable by websockets."""
    app.teardown_request(lambda _error: store.disconnect())  # its threads end with their requests
    running = Server(app, auth)
    yield running
    running.close()


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is given long to show who they are, and rows are looked at often."""
    monkeypatch.setattr(sockets, "IDENTIFY_SECONDS", 0.2)
    monkeypatch.setattr(hub, "CHECK_SECONDS", 0.1)
    monkeypatch.setattr(hub, "POLL_SECONDS", 0.1)


@pytest.fixture
def few_seats(server: Server) -> None:
    """There are three seats."""
    server.feed.seats.most = 3


def wait_for(condition: Callable[[], object]) -> None:
    """Wait until it holds."""
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def hubs() -> list[str]:
    """The hubs that run in this process."""
    return [thread.name for thread in threading.enumerate() if thread.name == "feed-hub"]


def shown(headers: dict[str, str]) -> str:
    """The token that such headers show."""
    return headers["Authorization"].removeprefix("Bearer ")


def tell(name: str = "shop") -> int:
    """Let something happen to a service; answers its event's id."""

    def change() -> int:
        Service.insert(name=name, repository="octo-org/shop", created=1).on_conflict_ignore().execute()
        changes.of_service(Service.get(Service.name == name).id)
        return feed.newest() + 1

    return store.write(change)


def sign_in(auth: Auth, *, lasts: int = 12 * 3_600 * clock.SECOND) -> str:
    """A viewer's session; answers its cookie."""
    assert auth("viewer")
    now, viewer = clock.now(), User.get(User.username == "viewer")
    hashed = tokens.digest("cookie")
    store.write(lambda: Session.create(hash=hashed, user=viewer, created=now, expires=now + lasts, peer="", agent=""))
    return "cookie"


def change_session(**values: int | None) -> None:
    """Let the viewer's session be otherwise."""
    store.write(lambda: Session.update(**values).execute())


def with_cookie(cookie: str, origin: str | None, *, name: str = "fastdeploy") -> dict[str, Any]:
    """How a browser connects from a page of that origin."""
    return {"headers": {"Cookie": f"{name}={cookie}"}, "origin": origin}


def end_in(token: str, milliseconds: int) -> int:
    """Let a token end so soon; answers when."""
    until = clock.now() + milliseconds
    store.write(lambda: Token.update(expires=until).where(Token.hash == tokens.digest(token)).execute())
    return until


def opened(name: str) -> int:
    """How many descriptors of this process are of a file of that name."""
    links = [_target(link) for link in Path("/proc/self/fd").iterdir()]
    return len([link for link in links if link.endswith(name)])


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except FileNotFoundError:
        return ""


def viewer(server: Server) -> User:
    """The one whom `server.token` speaks for."""
    assert server.token
    return User.get(User.username == "viewer")


def subject(told: Json) -> str:
    """What an event is about."""
    return str(told[told["type"]].get("service") or told[told["type"]]["name"])


def is_log(told: Json) -> bool:
    """Whether it is a notice of a log."""
    return bool(told["type"] == "log")


# --- what is told


def test_hello_names_the_newest_event_and_only_later_ones_follow(server: Server) -> None:
    """Without `since` nothing old is told."""
    old = tell()

    with server.user() as follower:
        hello = follower.hear()
        new = tell()
        event = follower.hear()

    assert {"type": "hello", "id": old} == hello
    assert (new, "service", "shop") == (event["id"], event["type"], event["service"]["name"])


def test_since_replays_all_later_events_and_goes_on_with_live_ones(server: Server) -> None:
    """Each once, oldest first, over more than one page."""
    first = tell()
    later = [tell() for _ in range(feed.PAGE + 20)]

    with server.user(f"?since={first}") as follower:
        hello = follower.hear()
        replayed = follower.events(len(later))
        live = [tell(), tell()]

        assert live == follower.events(2)
    assert later == replayed
    assert {"type": "hello", "id": later[-1]} == hello


def test_what_happens_during_the_replay_is_told_right_after_it(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the hub has woken the reader for it while the reader was still replaying."""
    first, second = tell(), tell()
    looks: list[int] = []
    meanwhile: list[int] = []
    turn, since = Hub._turn, feed.since

    def turned(self: Hub) -> float:
        rest = turn(self)
        looks.append(self.newest)
        return rest

    def replayed(number: int) -> list[Told]:
        found = since(number)
        if threading.current_thread().name != "feed-hub" and not meanwhile:
            meanwhile.append(tell())
            wait_for(lambda: looks and looks[-1] == meanwhile[0])
        return found

    monkeypatch.setattr(Hub, "_turn", turned)
    monkeypatch.setattr(feed, "since", replayed)

    with server.user(f"?since={first}") as follower:
        told = follower.events(2)

    assert [second, *meanwhile] == told


@pytest.mark.parametrize("since", [10**17, 1])
def test_where_the_events_are_not_kept_it_begins_anew(
    server: Server, since: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`reset` says so, whether they were removed or there never was such an id; live events follow."""
    monkeypatch.setattr(feed, "KEPT", 2)
    for _ in range(5):
        tell()
    store.write(lambda: Event.delete().where(Event.id <= 3).execute())

    with server.user(f"?since={since}") as follower:
        told = [follower.hear(), follower.hear()]
        new = tell()

        assert [new] == follower.events(1)
    assert [{"type": "hello", "id": 5}, {"type": "reset"}] == told


def test_everybody_begins_anew_where_the_feed_is_another_one(server: Server) -> None:
    """Somebody has put an older database back."""
    for _ in range(5):
        tell()
    with server.user() as follower:
        follower.hear()
        store.write(lambda: Event.delete().where(Event.id >= 3).execute())

        assert {"type": "reset"} == follower.hear()


def test_followers_who_come_and_go_miss_nothing_while_many_write(server: Server) -> None:
    """Each event once and in order for those who stay and for those who resume by id again and again."""
    start, writers, each = tell(), 4, 40
    wanted = writers * each
    assert server.token

    def act(number: int) -> list[int]:
        if number < writers:
            return [tell(f"service-{number}") for _ in range(each)]
        return follow(start, wanted, at_a_time=7 if number % 2 else wanted)

    def follow(since: int, count: int, at_a_time: int) -> list[int]:
        seen: list[int] = []
        while len(seen) < count:
            with server.user(f"?since={seen[-1] if seen else since}") as follower:
                seen += follower.events(min(at_a_time, count - len(seen)))
        return seen

    heard = at_once(act, writers + 4)[writers:]

    assert [event.id for event in feed.since(start)] == heard[0]
    assert [heard[0]] * 4 == heard


def test_what_another_process_writes_is_told_without_a_ring(server: Server, hasty: None) -> None:
    """Other hosts cannot ring here."""
    assert hasty is None
    with server.user() as follower:
        follower.hear()
        store.when_changed(None)
        new = tell()

        assert [new] == follower.events(1)


@pytest.mark.parametrize("query", ["since=", "since=x", "since=-1", "since=1e3", "since=" + "9" * 19, "deployment=x"])
def test_a_malformed_query_is_refused_before_the_upgrade(server: Server, query: str) -> None:
    """With 400, as a problem."""
    assert 400 == refusal(server.url, f"?{query}", token=server.token)


def test_what_is_no_websocket_is_refused(server: Server) -> None:
    """Plainly, or in how it begins."""
    beginning = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
    answers = [requests.get(f"{server.url}/feed", headers=headers, timeout=30) for headers in ({}, beginning)]

    assert [400, 400] == [answer.status_code for answer in answers]
    assert ["application/problem+json"] * 2 == [answer.headers["Content-Type"] for answer in answers]


# --- who may


def test_a_user_shows_a_token_in_the_header_or_in_a_first_message(server: Server) -> None:
    """Both are greeted alike; the second one only then."""
    ways: list[dict[str, Any]] = [{"token": server.token}, {"first": {"access_token": server.token}}]
    for way in ways:
        with Follower(server.url, **way) as follower:
            assert {"type": "hello", "id": 0} == follower.hear()


def test_a_browser_shows_its_cookie_from_the_bots_own_pages(server: Server) -> None:
    """As long as the session lasts."""
    with server.visitor(**with_cookie(sign_in(server.auth), server.url)) as follower:
        assert {"type": "hello", "id": 0} == follower.hear()


@pytest.mark.parametrize("origin", ["https://evil.example", "http://127.0.0.1:1", "http://127.0.0.1", "null", None])
def test_a_cookie_from_elsewhere_is_refused(server: Server, origin: str | None) -> None:
    """Browsers send cookies with the websockets of any page, and name the page's origin."""
    assert 403 == refusal(server.url, **with_cookie(sign_in(server.auth), origin))
    assert 403 == refusal(server.url, **with_cookie("unknown", origin))


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_browser_that_says_another_site_opens_the_socket_is_believed(server: Server, site: str) -> None:
    """Whatever the origin is."""
    shown = with_cookie(sign_in(server.auth), server.url)

    assert 403 == refusal(server.url, **shown | {"headers": shown.get("headers", {}) | {"Sec-Fetch-Site": site}})


def test_with_a_public_url_its_pages_alone_may_use_their_cookie(settings: Settings, auth: Auth) -> None:
    """Not the pages of whatever name the bot was found by; and by https the cookie has another name."""
    app = create_app(msgspec.structs.replace(settings, public_url="https://deploy.example"))
    app.teardown_request(lambda _error: store.disconnect())
    cookie, name = sign_in(auth), "__Host-fastdeploy"

    with closing(Server(app, auth)) as server:
        assert 403 == refusal(server.url, **with_cookie(cookie, server.url, name=name))
        with server.visitor(**with_cookie(cookie, "https://deploy.example", name=name)) as follower:
            assert "hello" == follower.hear()["type"]


def test_a_token_in_a_first_message_may_come_from_any_page(server: Server) -> None:
    """No page can make a browser add it."""
    with server.visitor(origin="https://elsewhere.example", first={"access_token": server.token}) as follower:
        assert "hello" == follower.hear()["type"]


def test_what_is_no_users_token_closes_the_socket(server: Server, service: ServiceFiles, host: Host) -> None:
    """Both as a header and as a message; 4403 for valid ones of the wrong kind, 4401 for all others."""
    service("shop")
    sync(server.app)
    github = GitHub(server.app.test_client())
    github.push()
    script = shown(host.begin(1))
    expired, revoked = (tokens.for_user(viewer(server), now=clock.now()).token for _ in range(2))
    expire(expired)
    revoke(revoked)
    codes = {
        shown(server.auth.service("shop")): 4403,
        script: 4403,
        "fdu_" + "x" * 43: 4401,
        script.rpartition(".")[0] + ".": 4401,
        "": 4401,
        expired: 4401,
        revoked: 4401,
    }

    for token, code in codes.items():
        for way in ({"token": token}, {"first": {"access_token": token}}):
            with Follower(server.url, **way) as follower:
                assert (code, []) == follower.end(), way


@pytest.mark.usefixtures("hasty")
def test_nobody_follows_a_bot_without_anything_for_visitors(server: Server, service: ServiceFiles) -> None:
    """4401, without hello; neither an ended session nor a token in the address changes that."""
    service("shop")
    sync(server.app)
    cookie = sign_in(server.auth)
    change_session(ended=1)
    ways: list[tuple[str, dict[str, Any]]] = [
        ("", {}),
        (f"?access_token={server.token}&token={server.token}", {}),
        ("", with_cookie(cookie, server.url)),
        ("", with_cookie(server.token, server.url)),
    ]

    for query, way in ways:
        with server.visitor(query, **way) as follower:
            assert (4401, []) == follower.end()


@pytest.mark.usefixtures("hasty")
def test_visitors_see_of_each_service_what_is_for_everyone(
    server: Server, service: ServiceFiles, github: GitHub, host: Host
) -> None:
    """Nothing, the states of its deployments, or also commits and steps; replayed and live alike."""
    for number, visibility in enumerate(("private", "status", "public")):
        name = f"octo-org/{visibility}"
        service(visibility, repository=name, visibility=visibility)
        github.push(repository=name, repository_id=number + 1)

    with server.visitor("?since=0") as follower:
        replayed = follower.hear_until(lambda told: told.get("deployment", {}).get("service") == "public")
        for number in (1, 2, 3):
            host.begin(number, steps=["Build"])
        live = follower.hear_until(
            lambda told: told["type"] == "deployment" and told["deployment"]["service"] == "public"
        )

    seen = {(told["type"], subject(told)) for told in replayed[1:] + live}
    assert {
        ("service", "status"),
        ("deployment", "status"),
        ("service", "public"),
        ("deployment", "public"),
        ("step", "Build"),
    } == seen
    facts = {each["deployment"]["service"]: each["deployment"].keys() for each in live if each["type"] == "deployment"}
    assert "sha" in facts["public"]
    assert not {"sha", "ref", "title", "actor", "reason"} & facts["status"]
    assert not {"actor", "reason", "delivery"} & facts["public"]


@pytest.mark.usefixtures("hasty")
def test_visitors_are_sent_away_when_nothing_is_for_everyone_any_more(server: Server, service: ServiceFiles) -> None:
    """What the file says counts now."""
    service("shop", visibility="public")

    with server.visitor() as follower:
        assert "hello" == follower.hear()["type"]
        service("shop", visibility="private")

        assert (4401, []) == follower.end()


@pytest.mark.usefixtures("hasty")
def test_a_visitor_who_shows_a_token_goes_on_as_its_user(server: Server, service: ServiceFiles) -> None:
    """On the same socket, from the same place."""
    service("shop", visibility="status")
    service("secret", repository="octo-org/secret")

    with server.visitor() as follower:
        follower.hear()
        tell("secret")
        seen = tell("shop")
        assert [seen] == follower.events(1)

        follower.say({"access_token": server.token})
        wait_for(lambda: server.feed.seats.taken[Kind.KNOWN])
        private = tell("secret")

        assert [private] == follower.events(1)


# --- how long


def test_a_session_that_ends_soon_is_announced_and_then_closed(server: Server) -> None:
    """At once where less than five minutes are left, with the moment; 4401 at the end."""
    token = server.token
    until = end_in(token, 1_000)

    with Follower(server.url, token=token) as follower:
        code, told = follower.end()

    assert [{"type": "hello", "id": 0}, {"type": "expiring", "at": clock.text(until)}] == told
    assert 4401 == code
    assert until <= clock.now()


def test_the_end_is_announced_some_time_before_it_comes(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Five minutes; here a second. Before that there is nothing to tell."""
    monkeypatch.setattr(sockets, "NOTICE", 1_000)
    token = server.token
    until = end_in(token, 2_500)

    with Follower(server.url, token=token) as follower:
        follower.hear()
        told = follower.hear()
        heard = clock.now()

        assert (4401, []) == follower.end()
    assert {"type": "expiring", "at": clock.text(until)} == told
    assert until - 1_000 <= heard


def test_a_new_token_on_the_same_socket_prolongs_it(server: Server) -> None:
    """And a token that ends soon as well is announced in its turn."""
    first, second, third = (tokens.for_user(viewer(server), now=clock.now()).token for _ in range(3))
    ends = [end_in(first, 1_500), end_in(second, 60_000)]

    with Follower(server.url, token=first) as follower:
        told = [follower.hear(), follower.hear()]
        follower.say({"access_token": second})
        told.append(follower.hear())
        follower.say({"access_token": third})
        wait_for(lambda: clock.now() > ends[0])
        new = tell()

        assert [new] == follower.events(1)
    assert [clock.text(end) for end in ends] == [each["at"] for each in told[1:]]


def test_a_session_that_its_page_prolongs_goes_on(server: Server) -> None:
    """The row decides, also at the moment at which the socket would have ended."""
    cookie = sign_in(server.auth, lasts=1_000)
    ends = clock.now() + 1_000

    with server.visitor(**with_cookie(cookie, server.url)) as follower:
        assert ["hello", "expiring"] == [follower.hear()["type"], follower.hear()["type"]]
        change_session(expires=ends + 3_600_000)
        wait_for(lambda: clock.now() > ends)
        new = tell()

        assert [new] == follower.events(1)


def test_what_is_taken_back_ends_open_sockets(server: Server) -> None:
    """A revoked token, an ended session: 4401 within seconds, though nothing happens otherwise."""
    cookie = sign_in(server.auth)

    with server.user() as by_token, server.visitor(**with_cookie(cookie, server.url)) as by_cookie:
        for follower in (by_token, by_cookie):
            follower.hear()
        revoke(server.token)
        change_session(ended=1)

        assert [(4401, []), (4401, [])] == [by_token.end(), by_cookie.end()]


# --- the log


@pytest.fixture
def two_logs(server: Server, service: ServiceFiles, github: GitHub, host: Host) -> Callable[[int], None]:
    """Deployments 1 of public and 2 of private run; gives both so much output more."""
    service("public", visibility="public")
    service("private", repository="octo-org/private")
    sync(server.app)
    github.push()
    github.push(repository="octo-org/private", repository_id=2)
    host.begin(1)
    host.begin(2)

    def write(size: int) -> None:
        for number in (1, 2):
            store.write(lambda number=number: grow(number, size))  # type: ignore[misc]  # bound at once

    def grow(number: int, size: int) -> None:
        logs.append(number, logs.end(number), b"x" * size, limit=1 << 20)
        changes.of_log(number)

    return write


def test_who_follows_a_deployment_is_told_how_far_its_log_is(server: Server, two_logs: Callable[[int], None]) -> None:
    """Where it stands at first, then at most four times a second; nobody else is told."""
    two_logs(10)

    with server.user("?deployment=2") as follower, server.user() as other:
        assert ["hello", "log"] == [follower.hear()["type"], follower.hear()["type"]]
        began, notices = time.monotonic(), []
        for _ in range(100):
            two_logs(1)
            time.sleep(0.01)
        notices = follower.hear_until(lambda told: told["end"] == 110)
        took = time.monotonic() - began
        other.hear()
        new = tell()

        assert new == other.hear()["id"]
    assert {"log"} == {told["type"] for told in notices}
    assert {2} == {told["deployment"] for told in notices}
    assert len(notices) <= 4 * took + 1


@pytest.mark.usefixtures("hasty")
def test_visitors_are_told_of_logs_that_are_for_everyone(
    server: Server, service: ServiceFiles, two_logs: Callable[[int], None]
) -> None:
    """And of no others, until the file says otherwise."""
    two_logs(10)

    with server.visitor("?deployment=1") as of_public, server.visitor("?deployment=2") as of_private:
        assert {"type": "log", "deployment": 1, "end": 10} == of_public.hear_until(is_log)[-1]
        of_private.hear()
        service("private", repository="octo-org/private", visibility="public")

        assert {"type": "log", "deployment": 2, "end": 10} == of_private.hear_until(is_log)[-1]


def test_a_deployment_that_does_not_exist_has_no_log(server: Server) -> None:
    """Its socket follows the feed as any other."""
    with server.user("?deployment=99") as follower:
        follower.hear()
        new = tell()

        assert new == follower.hear()["id"]


# --- limits


@pytest.mark.usefixtures("few_seats")
def test_sockets_over_the_limit_are_refused(server: Server) -> None:
    """With 503, before the upgrade; a seat that was left is free again."""
    with ExitStack() as stack:
        held = [stack.enter_context(server.user()) for _ in range(3)]
        for follower in held:
            follower.hear()

        assert 503 == refusal(server.url, token=server.token)
        held[0].close()
        wait_for(lambda: server.feed.seats.taken.total() < 3)

        assert 101 == refusal(server.url, token=server.token)


@pytest.mark.usefixtures("few_seats")
def test_at_most_half_of_the_sockets_belong_to_nobody_known(server: Server) -> None:
    """Those who have yet to show a token are counted with them; users still find a seat."""
    with server.visitor() as stranger:
        assert 503 == refusal(server.url)
        assert 101 == refusal(server.url, token=server.token)
        stranger.say({"access_token": server.token})
        stranger.hear()

        assert 101 == refusal(server.url)


@pytest.mark.parametrize(
    "message", ["", "[]", "null", "{", '{"access_token": 5}', '{"token": "x"}', '{"access_token": "x", "more": 1}']
)
def test_a_message_that_is_not_understood_closes_the_socket(server: Server, message: str) -> None:
    """With 1008, also after hello."""
    with server.user() as follower:
        follower.hear()
        follower.socket.send(message)

        assert (1008, []) == follower.end()


@pytest.mark.parametrize("message", [b"\xff\xfe", b"{}"])
def test_bytes_are_not_understood_either(server: Server, message: bytes) -> None:
    """Messages are text."""
    with server.user() as follower:
        follower.hear()
        follower.socket.send(message)

        assert (1008, []) == follower.end()


def test_messages_are_bounded_in_size_and_rate(server: Server) -> None:
    """1009 for one that is too long; 1008 for too many, however small they are."""
    with server.user() as follower:
        follower.hear()
        follower.say({"access_token": "x" * 5_000})
        assert (1009, []) == follower.end()

    with server.user() as follower:
        follower.hear()
        for _ in range(sockets.MESSAGES + 1):
            follower.say({"access_token": server.token})
        assert (1008, []) == follower.end()


def test_a_flood_of_anything_is_cut_off(server: Server) -> None:
    """Pings as well, which are no messages."""
    with server.user() as follower:
        follower.hear()
        with pytest.raises(ConnectionClosed) as closed:  # noqa: PT012 - whenever it is noticed
            while True:
                follower.socket.ping(b"x" * 100 + str(time.monotonic_ns()).encode()[-20:])

    assert closed.value.rcvd is None or 1008 == closed.value.rcvd.code


def test_who_has_fallen_out_of_the_window_is_sent_away(settings: Settings, database: str, monkeypatch: Any) -> None:
    """1013, with the id to resume by; the window is bounded in number and in bytes."""
    assert database
    monkeypatch.setattr(frames, "KEPT_FRAMES", 3)
    shared = Hub(Bell(settings.feed_bell_dir), Catalogue(settings.services_dir))
    woken = threading.Event()
    reader = Reader(wake=woken.set, cut=woken.set, offer=lambda _data: 0)
    shared.enter(reader)
    assert shared.join(reader)
    for _ in range(10):
        tell()
    wait_for(lambda: shared.newest == 10)

    with pytest.raises(Farewell, match="since=0") as farewell:
        shared.take(reader)

    assert 1013 == farewell.value.code
    shared.leave(reader)
    wait_for(lambda: not hubs())


def test_the_hub_runs_while_somebody_listens(server: Server) -> None:
    """An app starts no thread, and one hub is enough for all."""
    before = hubs()
    with server.user() as first, server.user() as second:
        first.hear()
        second.hear()
        during = hubs()

    assert ([], ["feed-hub"]) == (before, during)
    wait_for(lambda: not hubs())


@on_sqlite
def test_sockets_that_wait_hold_no_connection_to_the_database(server: Server) -> None:
    """Whether they have told who they are or not."""
    with ExitStack() as stack:
        for _ in range(5):
            stack.enter_context(server.user()).hear()
            stack.enter_context(server.visitor())
        wait_for(lambda: server.feed.seats.taken.total() == 10)

        # SQLite itself keeps the descriptor of a closed connection for the next one.
        assert opened("fastdeploy.db") < 5


def test_a_write_is_whole_or_the_last_one() -> None:
    """A peer that takes nothing is given up, and nothing is sent after half a frame."""
    here, there = socket.socketpair()
    wire = Wire(here)
    wire.hurry(0.1)

    with here, there:
        with pytest.raises(TimeoutError):
            wire.send(b"x" * (8 << 20))
        with pytest.raises(OSError, match=r"[Bb]roken pipe"):
            wire.send(b"y")


def test_what_is_offered_goes_before_all_that_is_sent_later() -> None:
    """What the kernel does not take at once waits for the next write; until then nothing more is taken."""
    here, there = socket.socketpair()
    wire = Wire(here)
    data = bytes(range(256)) * (4 << 10)
    heard: list[bytes] = []

    with here, there:
        sent = wire.offer(data)
        refused = wire.offer(b"more")
        reader = threading.Thread(target=lambda: heard.extend(iter(lambda: there.recv(1 << 16), b"")))
        reader.start()
        wire.send(b"last")
        wire.flush()
        wait_for(lambda: wire.offer(b"now"))  # as soon as the reader has made room
        wire.cut()
        reader.join()

    assert 0 < sent < len(data)
    assert 0 == refused
    assert data + b"lastnow" == b"".join(heard)
    assert 0 == wire.offer(b"after the end")


def test_nothing_that_is_offered_follows_the_last_frame() -> None:
    """While a peer has a moment to answer why it is sent away. Source: RFC 6455, 5.5.1."""
    here, there = socket.socketpair()
    wire = Wire(here)
    last = closing_frame(1008, "too many messages")

    with here, there:
        wire.hurry(1)
        wire.send(last)
        offered = wire.offer(b"more")
        heard = there.recv(1_000)

    assert (0, last) == (offered, heard)


def test_who_has_room_is_told_by_the_hub_and_who_has_none_by_themselves(settings: Settings, database: str) -> None:
    """One that takes nothing, or a part, keeps nobody waiting: it is woken, and finds in the window what it lacks."""
    assert database
    shared = Hub(Bell(settings.feed_bell_dir), Catalogue(settings.services_dir))
    offered: list[bytes] = []
    woken: list[str] = []

    def reader(name: str, part: float) -> Reader:
        made = Reader(wake=lambda: woken.append(name), cut=woken.clear, offer=lambda data: take(data, part))
        made.stay = Stay(Principal(PrincipalKind.USER, name), clock.now() + 60_000)
        shared.enter(made)
        assert (True, b"") == (shared.join(made), shared.take(made))
        return made

    def take(data: bytes, part: float) -> int:
        offered.append(data)
        return int(len(data) * part)

    idle, half, full = readers = [reader("idle", 1), reader("half", 0.5), reader("full", 0)]

    first = tell()
    wait_for(lambda: len(woken) == 2)

    assert {"half", "full"} == set(woken)
    assert [first, first, 0] == [each.position for each in readers]
    assert [b"", b"", offered[0]] == [shared.take(each) for each in (idle, half, full)]

    second = tell()
    wait_for(lambda: idle.position == second)

    assert 5 == len(offered)  # only who has taken all that there is, is offered more
    for each in readers:
        shared.leave(each)
    wait_for(lambda: not hubs())


def listening(hub: Hub, *, given: list[bytes], woken: threading.Event, since: int = 0) -> Reader:
    """A user who has all that there is, and room for more; what the hub gives them, and whether it wakes them."""

    def offer(data: bytes) -> int:
        given.append(data)
        return len(data)

    reader = Reader(wake=woken.set, cut=woken.clear, offer=offer)
    reader.stay = Stay(Principal(PrincipalKind.USER, "viewer"), clock.now() + 60_000)
    hub.enter(reader)
    reader.position = since
    assert (True, b"") == (hub.join(reader), hub.take(reader))
    return reader


@pytest.fixture
def alone(settings: Settings, database: str) -> Iterator[Hub]:
    """A hub without a server."""
    assert database
    made = Hub(Bell(settings.feed_bell_dir), Catalogue(settings.services_dir))
    yield made
    for reader in made._present():
        made.leave(reader)
    wait_for(lambda: not hubs())


def test_who_comes_during_a_look_is_told_of_what_it_finds(alone: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """They found the window empty, and wait already."""
    given: list[bytes] = []
    woken, came = threading.Event(), threading.Event()
    found = feed.since

    def look(number: int) -> list[Told]:
        events = found(number)
        if events and not came.is_set():
            came.set()
            listening(alone, given=given, woken=woken)
        return events

    listening(alone, given=[], woken=threading.Event())
    monkeypatch.setattr(feed, "since", look)
    tell()

    wait_for(lambda: given or woken.is_set())


def test_nothing_new_goes_before_the_word_that_the_feed_is_another_one(alone: Hub) -> None:
    """Not while the reader's own thread is about to say so, either."""
    given: list[bytes] = []
    woken = threading.Event()
    reader = listening(alone, given=given, woken=woken, since=tell())
    store.write(lambda: Event.delete().execute())
    wait_for(lambda: reader.reset)
    woken.clear()

    reader.reset = False  # and says it, which takes its time
    tell()
    wait_for(woken.is_set)

    assert [] == given
    assert (True, b"") == (bool(alone.take(reader)), alone.take(reader))
    last = tell()
    wait_for(lambda: given)
    assert last == reader.position


def test_a_hub_that_could_not_begin_begins_with_the_next_reader(alone: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """The database may have been away just then."""
    with monkeypatch.context() as patched:
        patched.setattr(feed, "newest", _away)
        with pytest.raises(store.DatabaseError):
            listening(alone, given=[], woken=threading.Event())
    given: list[bytes] = []

    listening(alone, given=given, woken=threading.Event())
    tell()

    wait_for(lambda: given)


def _away() -> int:
    raise store.DatabaseError("the server closed the connection unexpectedly")
