"""Signing in with GitHub: whom it lets in, as what, and that nobody else comes in by it."""

from __future__ import annotations

import html
import re
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, urlsplit

import pytest
from flask import Flask
from msgspec.structs import replace
from werkzeug.test import TestResponse

import fakehub
import signed_in
from callers import KEY, SECRET, Browser, ServiceFiles, registered, sync, user_of
from fakehub import DROPPED, FakeHub, Fault
from fastdeploy_bot import store
from fastdeploy_bot.core import clock, leases
from fastdeploy_bot.core.people import detours, sessions, users
from fastdeploy_bot.errors import Conflict
from fastdeploy_bot.forge.github import roles
from fastdeploy_bot.settings import Settings
from fastdeploy_bot.store.models import Attempt, Audit, Lease, Service, Session, User
from fastdeploy_bot.web import signin
from fastdeploy_bot.web.context import EXTENSION, Bot
from fastdeploy_bot.words import LOCAL, Role, WebhookSecret

HOUR: Final = 3_600 * clock.SECOND
ORIGIN: Final = "http://deploy.example"
START: Final = "/login/github"
BACK: Final = "/login/github/callback"
PASSWORD: Final = "correct horse"
REFUSED: Final = "GitHub gives you too little here"


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    """A GitHub to which nothing wrong may have been said in the end."""
    with FakeHub(prefix="/api/v3") as made:
        made.sign_in.callbacks = {ORIGIN + BACK}
        made.installations |= {"octo-org/blog": fakehub.INSTALLATION, "others/api": 78}
        yield made
    assert [] == made.wrongs


@pytest.fixture
def settings(home: Path, database_url: str, hub: FakeHub) -> Settings:
    """A bot with the App that people sign in by."""
    bare = Settings(
        home=home,
        database_url=database_url,
        secret_key=KEY,
        webhook_secrets=(WebhookSecret(SECRET),),
        public_url=ORIGIN,
        github_url=hub.web,
    )
    return signed_in.by_app(bare, hub, github_client_secret=fakehub.CLIENT_SECRET)


@pytest.fixture(autouse=True)
def shop(app: Flask, service: ServiceFiles) -> None:
    """One private repository is deployed."""
    service("shop")
    sync(app)


class Guest:
    """Somebody with a browser, who is somebody on GitHub."""

    def __init__(self, app: Flask, hub: FakeHub, login: str = "octocat", peer: str = "127.0.0.1") -> None:
        self.browser = Browser(app, origin=ORIGIN)
        self.hub = hub
        self.login = login
        self.peer = peer

    def get(self, path: str) -> TestResponse:
        """A page."""
        return self.browser.get(path, base_url=ORIGIN, environ_base={"REMOTE_ADDR": self.peer})

    def way(self, wanted: str = "/") -> str:
        """Begin the way; where GitHub sends the browser back to."""
        begun = self.get(f"{START}?next={wanted}")
        assert 303 == begun.status_code, begun.text
        back = urlsplit(self.hub.sign_in.agree(begun.location, self.login))
        assert ORIGIN == f"{back.scheme}://{back.netloc}"
        return f"{back.path}?{back.query}"

    def sign_in(self, wanted: str = "/") -> TestResponse:
        """All of the way."""
        return self.get(self.way(wanted))

    @property
    def is_in(self) -> bool:
        """Whether their browser is signed in."""
        return self.get("/settings/account").status_code == 200


@pytest.fixture
def octocat(app: Flask, hub: FakeHub) -> Guest:
    """Who may write to everything."""
    return Guest(app, hub)


def told(answer: TestResponse) -> str:
    """The one sentence of the card."""
    found = re.search(r'role="alert">([^<]*)<', answer.text)
    return html.unescape(found[1]) if found else ""


def people() -> dict[str, str]:
    """Every user and their role."""
    return {user.username: user.role for user in User.select()}


def written() -> list[tuple[str, str, str, str]]:
    """Who did what to what, in detail."""
    return [(row.who, row.action, row.object, row.detail) for row in Audit.select().order_by(Audit.id)]


# --- whom it lets in --------------------------------------------------------------------------------------


def test_who_may_write_becomes_a_deployer(octocat: Guest, hub: FakeHub) -> None:
    """At the page that was wanted, by a session of their own; written down; GitHub's token is ended at once."""
    answer = octocat.sign_in("/services/shop?before=9")

    assert (303, "/services/shop?before=9") == (answer.status_code, answer.location)
    assert octocat.is_in
    [user] = User.select()
    assert ("octocat", "deployer", 583231, "octocat", "") == (
        user.username,
        user.role,
        user.github_id,
        user.github_login,
        user.password,
    )
    assert [
        ("octocat", "add", "user octocat", "deployer, as GitHub says"),
        ("octocat", "sign in", "session 1", "as octocat on GitHub"),
    ] == written()
    assert ["127.0.0.1"] * 2 == [row.peer for row in Audit.select()]
    assert ({}, 1) == (hub.sign_in.tokens, len(hub.sign_in.ended))
    assert not Attempt.select().exists()


@pytest.mark.parametrize(
    ("role", "visibility", "expected"),
    [
        ("admin", "private", "deployer"),
        ("maintain", "private", "deployer"),
        ("write", "public", "deployer"),
        ("triage", "private", "viewer"),
        ("read", "private", "viewer"),
        ("read", "internal", None),
        ("read", "public", None),
        ("none", "public", None),
        ("none", "private", None),
    ],
)
def test_a_permission_comes_to_a_role(
    octocat: Guest, hub: FakeHub, role: str, visibility: str, expected: str | None
) -> None:
    """What everybody may makes nobody anything."""
    hub.people["octocat"] = (583231, role)
    hub.visibility["octo-org/shop"] = visibility

    answer = octocat.sign_in()

    assert ({} if expected is None else {"octocat": expected}) == people()
    assert (expected is not None) is octocat.is_in
    assert (403 if expected is None else 303) == answer.status_code
    assert (REFUSED in told(answer)) is (expected is None)


@pytest.mark.parametrize(
    ("roles", "expected"),
    [
        ({"octo-org/blog": "read"}, "viewer"),
        ({"octo-org/blog": "none"}, None),
        ({"others/api": "read"}, "viewer"),
        ({"others/api": "none"}, None),
        ({}, "deployer"),
    ],
)
def test_the_least_of_all_permissions_counts(
    app: Flask, octocat: Guest, hub: FakeHub, service: ServiceFiles, roles: dict[str, str], expected: str | None
) -> None:
    """A role is for the whole bot: to own one repository gives nothing in others."""
    hub.people["octocat"] = (583231, "admin")
    service("blog", repository="octo-org/blog")
    service("api", repository="others/api")
    service("twin", repository="octo-org/shop")
    sync(app)
    hub.roles = {(repository, "octocat"): role for repository, role in roles.items()}

    octocat.sign_in()

    assert ({} if expected is None else {"octocat": expected}) == people()
    assert 2 >= len([each for each in hub.paths() if each.endswith("/access_tokens")])


def test_a_service_that_was_removed_does_not_count(
    app: Flask, octocat: Guest, hub: FakeHub, service: ServiceFiles
) -> None:
    """Nor does its repository."""
    service("blog", repository="octo-org/blog")
    sync(app)
    service.remove("blog")
    sync(app)
    hub.roles = {("octo-org/blog", "octocat"): "none"}

    octocat.sign_in()

    assert {"octocat": "deployer"} == people()


def test_a_file_that_names_no_repository_keeps_nobody_out(app: Flask, octocat: Guest, service: ServiceFiles) -> None:
    """Nothing is deployed by it."""
    service.text("broken", "repository = 7")
    sync(app)

    octocat.sign_in()

    assert {"octocat": "deployer"} == people()


def test_where_nothing_is_deployed_nobody_is_let_in(app: Flask, octocat: Guest, service: ServiceFiles) -> None:
    """No permission is no permission."""
    service.remove("shop")
    sync(app)

    assert REFUSED in told(octocat.sign_in())
    assert {} == people()


@pytest.mark.parametrize("name", ["someone/elsewhere", "octo-org/unchosen"])
def test_where_the_app_sees_a_repository_not_the_card_says_so(
    app: Flask, octocat: Guest, service: ServiceFiles, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody can say who may what there; the bot's log alone says where. It is no fault of whoever signs in."""
    caplog.set_level("INFO")
    octocat.sign_in()
    service("elsewhere", repository=name)
    sync(app)

    answer = Guest(app, octocat.hub).sign_in()

    assert (403, False) == (answer.status_code, REFUSED in told(answer))
    assert "App does not see every repository" in told(answer)
    assert name.partition("/")[2] not in answer.text
    assert [name] == [vars(row)["repository"] for row in caplog.records if "given nothing" in row.message]
    assert ("fastdeploy", "sign out everywhere", "user octocat", "GitHub cannot say what they may do") == written()[-1]


def test_many_repositories_are_asked_about_at_once(
    app: Flask, octocat: Guest, hub: FakeHub, service: ServiceFiles
) -> None:
    """A few, by one token for each owner; the least of all counts, wherever it stands."""
    names = [f"{owner}/repo-{number:02}" for owner in ("octo-org", "others") for number in range(15)]
    for number, name in enumerate(names):
        service(f"service-{number}", repository=name)
        hub.installations[name] = fakehub.INSTALLATION if name.startswith("octo") else 78
    sync(app)
    hub.roles = {("others/repo-07", "octocat"): "read"}
    hub.fail(*[Fault(hold=threading.Barrier(roles.AT_ONCE))] * roles.AT_ONCE, on="/permission")

    octocat.sign_in()

    assert {"octocat": "viewer"} == people()
    assert 31 == len([each for each in hub.paths() if each.endswith("/permission")])
    assert 2 == len([each for each in hub.paths() if each.endswith("/access_tokens")])


def test_nobody_waits_for_github_for_ever(octocat: Guest, hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long it takes over one call."""
    gate = threading.Event()
    monkeypatch.setattr(roles, "PATIENCE", 0.1)
    hub.fail(Fault(hold=gate), on="/permission")

    answer = octocat.sign_in()
    gate.set()

    assert (503, {}) == (answer.status_code, people())
    assert "GitHub could not be asked" in told(answer)


def test_another_repository_of_the_same_name_gives_nothing(octocat: Guest, hub: FakeHub) -> None:
    """The one that is deployed has another id."""
    store.write(lambda: Service.update(repository_id=hub.remote().id + 1).execute())

    assert REFUSED in told(octocat.sign_in())
    assert {} == people()


# --- again ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "permission", "after"),
    [
        ("deployer", "read", "viewer"),
        ("viewer", "write", "viewer"),
        ("admin", "write", "admin"),
        ("admin", "read", "viewer"),
        ("deployer", "write", "deployer"),
    ],
)
def test_a_role_is_lowered_and_never_raised(
    octocat: Guest, hub: FakeHub, before: str, permission: str, after: str
) -> None:
    """It is asked each time; whom an admin has made an admin stays one while they may write. Other sessions end."""
    user_of("admin", name="root")
    octocat.sign_in()
    store.write(lambda: User.update(role=before).where(User.username == "octocat").execute())
    hub.people["octocat"] = (583231, permission)
    elsewhere = Guest(octocat.browser.app, hub)

    elsewhere.sign_in()

    assert after == people()["octocat"]
    assert elsewhere.is_in
    assert (before == after) is octocat.is_in
    lowered = ("fastdeploy", "set role", "user octocat", f"{before} → {after}, as GitHub says")
    assert (before != after) is (lowered in written())


def test_whom_github_gives_nothing_any_more_is_shut_out(octocat: Guest, hub: FakeHub) -> None:
    """All that they were signed in with ends; their user stays, with nothing to sign in by."""
    octocat.sign_in()
    hub.people["octocat"] = (583231, "none")

    for _ in range(2):
        assert REFUSED in told(Guest(octocat.browser.app, hub).sign_in())

    assert not octocat.is_in
    assert {"octocat": "deployer"} == people()
    ended = ("fastdeploy", "sign out everywhere", "user octocat", "GitHub gives them too little")
    assert [ended] == [row for row in written() if row[0] == "fastdeploy"]


def test_the_last_admin_is_not_lowered(octocat: Guest, hub: FakeHub) -> None:
    """They are not let in either."""
    octocat.sign_in()
    store.write(lambda: User.update(role="admin").execute())
    hub.people["octocat"] = (583231, "read")

    answer = Guest(octocat.browser.app, hub).sign_in()

    assert (409, "octocat is the last admin: make somebody else one first") == (answer.status_code, told(answer))
    assert {"octocat": "admin"} == people()


def test_people_are_known_by_their_number(octocat: Guest, hub: FakeHub) -> None:
    """A new name on GitHub is the same user; whoever gets the old name is somebody else."""
    octocat.sign_in()
    hub.people = {"octopus": (583231, "write"), "octocat": (99, "write")}

    renamed, other = Guest(octocat.browser.app, hub, "octopus"), Guest(octocat.browser.app, hub, "octocat")
    renamed.sign_in()
    other.sign_in()

    assert {"octocat": 583231, "octocat.99": 99} == {user.username: user.github_id for user in User.select()}
    assert "octopus" == users.find("octocat").github_login


@pytest.mark.parametrize("name", ["octocat", "OctoCat"])
def test_a_users_name_is_never_taken_over(octocat: Guest, name: str) -> None:
    """Whoever has it here keeps it, in whatever case, with their password and their role."""
    user_of("admin", name=name)

    octocat.sign_in()

    assert {name: "admin", "octocat.583231": "deployer"} == people()


@pytest.mark.parametrize("login", ["local", "fastdeploy", "Visitor"])
def test_names_of_the_bots_own_are_nobodys(app: Flask, hub: FakeHub, login: str) -> None:
    """The audit tells of them."""
    hub.people[login.lower()] = (5, "write")

    Guest(app, hub, login).sign_in()

    assert {f"{login}.5": "deployer"} == people()


def test_a_name_that_cannot_be_is_told(octocat: Guest) -> None:
    """Both that there could be are taken."""
    for name in ("octocat", "octocat.583231"):
        user_of("viewer", name=name)

    assert "ask an admin for another one" in told(octocat.sign_in())
    assert not octocat.is_in


def test_who_signs_in_by_github_alone_has_no_password(app: Flask, octocat: Guest) -> None:
    """None is right, an empty one neither; the account says so, and changes none."""
    octocat.sign_in()

    for word in ("", "x" * 8):
        assert 401 == Browser(app, origin=ORIGIN).post("/login", username="octocat", password=word).status_code
    assert "You have none" in octocat.get("/settings/account").text


def test_a_guests_session_lasts_a_day_at_most(octocat: Guest) -> None:
    """Then GitHub is asked again, however busy they were; whoever has a password has 30 days."""
    octocat.sign_in()
    begun = clock.now()

    hours = {}
    for user in (users.find("octocat"), registered("anna", PASSWORD)):
        cookie = store.write(partial(sessions.begin, user, peer="", agent="", now=begun)).cookie
        for later in (8, 16, 23):
            now = begun + later * HOUR
            found = sessions.prolong(sessions.find(cookie, now=now), now=now)
        hours[user.username] = (found.expires - begun) / HOUR

    assert {"octocat": 24, "anna": 35} == hours


# --- users who have a password ----------------------------------------------------------------------------


@pytest.mark.parametrize("role", list(Role))
def test_whom_an_admin_has_linked_signs_in_as_themselves(octocat: Guest, hub: FakeHub, role: Role) -> None:
    """With the role that they have here, whatever they may do on GitHub: what it says of that is not asked for."""
    registered("anna", PASSWORD, role)
    users.link("anna", 583231, by=LOCAL, now=clock.now())
    hub.people["octocat"] = (583231, "none")

    octocat.sign_in()

    assert {"anna": role.value} == people()
    assert octocat.is_in
    assert not [path for path in hub.paths() if "/repos/" in path]
    assert ("anna", "sign in", "session 1", "as octocat on GitHub") in written()


def test_an_admin_links_and_unlinks(app: Flask, octocat: Guest) -> None:
    """By GitHub's number; what was signed in with ends; one account is one user."""
    registered("anna", PASSWORD)
    octocat.sign_in()
    admin = Browser(app, origin=ORIGIN).signed_in("admin")
    [cookie] = (admin.client._cookies or {}).values()
    admin.client.set_cookie("fastdeploy", cookie.value, domain="deploy.example")
    path = "/settings/users/anna/github"

    answers = [
        admin.post(path, github=number) for number in ("583231", "x", "0", "9" * 30, "9" * 5_000, "²", "-1", "7", "")
    ]
    alone = admin.post("/settings/users/octocat/github", github="")

    assert [409, 422, 422, 422, 422, 422, 422, 303, 303] == [each.status_code for each in answers]
    assert "octocat already" in told(answers[0])
    assert (409, True) == (alone.status_code, "signs in by GitHub alone" in told(alone))
    assert users.find("anna").github_id is None
    assert [("admin", "link", "user anna", "GitHub account 7"), ("admin", "unlink", "user anna", "")] == written()[-2:]


def test_a_link_ends_what_was_signed_in_with(app: Flask) -> None:
    """As every change of a user does."""
    registered("anna", PASSWORD)
    anna = Browser(app).signed_in("viewer", name="anna")

    users.link("anna", 7, by=LOCAL, now=clock.now())

    assert 303 == anna.get("/settings/account").status_code


def test_one_account_cannot_be_two_users() -> None:
    """The database forbids it as well."""
    for name in ("anna", "ben"):
        registered(name, PASSWORD)
    users.link("anna", 7, by=LOCAL, now=1)

    with pytest.raises(Conflict):
        users.link("ben", 7, by=LOCAL, now=1)
    with pytest.raises(store.DatabaseError):
        store.write(lambda: User.update(github_id=7).where(User.username == "ben").execute())


# --- whom it does not let in ------------------------------------------------------------------------------


def test_it_is_offered_where_there_is_an_app_with_a_secret(octocat: Guest) -> None:
    """By a link, since no form may lead to another site; with the page that was wanted."""
    page = octocat.get("/login?next=/services/shop%3Fbefore%3D9").text

    assert '<a class="button" href="/login/github?next=%2Fservices%2Fshop%3Fbefore%3D9">Sign in with GitHub</a>' in page


def test_where_there_is_none_it_is_not_there(app: Flask) -> None:
    """Neither the link nor the pages."""
    set_in(app, github_client_secret=None)
    client = app.test_client()

    assert "GitHub" not in client.get("/login").text
    assert [404, 404] == [client.get(path).status_code for path in (START, BACK)]


@pytest.mark.parametrize("wanted", ["//evil.example", "https://evil.example/", "/\\evil", "javascript:alert(1)", ""])
def test_it_leads_to_pages_of_ours_alone(octocat: Guest, wanted: str) -> None:
    """Whatever was wanted."""
    assert "/" == octocat.sign_in(wanted).location


def test_the_way_there_tells_github_what_it_needs(octocat: Guest, hub: FakeHub) -> None:
    """And what belongs to it stays in a cookie that no script reads and no other site sends."""
    answer = octocat.get(START)

    there = urlsplit(answer.location)
    query = parse_qs(there.query)
    cookie = answer.headers["Set-Cookie"]
    assert f"{hub.web}/login/oauth/authorize" == f"{there.scheme}://{there.netloc}{there.path}"
    assert [[fakehub.CLIENT_ID], [ORIGIN + BACK], ["S256"]] == [
        query[name] for name in ("client_id", "redirect_uri", "code_challenge_method")
    ]
    assert cookie.startswith("fastdeploy-github=")
    assert all(each in cookie for each in ("HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=600"))
    assert 0 == len(hub.calls)


def test_a_state_of_another_browser_is_refused(app: Flask, octocat: Guest, hub: FakeHub) -> None:
    """Nobody is signed in as somebody else by a link that they follow, and GitHub is not asked."""
    victim = Guest(app, hub, "mona")
    victim.get(START)

    answers = [victim.get(octocat.way()), Guest(app, hub).get(octocat.way())]

    assert [403, 403] == [each.status_code for each in answers]
    assert ["this way back did not begin in your browser: sign in once more"] * 2 == [told(each) for each in answers]
    assert not victim.is_in
    assert [] == hub.paths()


def test_a_way_back_is_good_once(octocat: Guest) -> None:
    """Its cookie goes, and GitHub takes the code once."""
    way = octocat.way()
    kept = octocat.browser.client.get_cookie("fastdeploy-github", domain="deploy.example")
    assert kept is not None
    octocat.get(way)
    octocat.get("/login")
    assert octocat.browser.client.get_cookie("fastdeploy-github", domain="deploy.example") is None

    octocat.browser.client.set_cookie("fastdeploy-github", kept.value, domain="deploy.example")
    answer = octocat.get(way)

    assert (401, "GitHub takes its answer back only once, and soon: sign in once more") == (
        answer.status_code,
        told(answer),
    )
    assert 1 == Session.select().count()


def test_a_code_of_somebody_elses_way_is_refused(app: Flask, octocat: Guest, hub: FakeHub) -> None:
    """Whoever gets hold of a code cannot trade it: its verifier is in the other browser."""
    stolen = parse_qs(urlsplit(octocat.way()).query)["code"][0]
    thief = Guest(app, hub, "mona")
    state = parse_qs(urlsplit(thief.way()).query)["state"][0]

    answer = thief.get(f"{BACK}?code={stolen}&state={state}")

    assert 401 == answer.status_code
    assert {} == people()


@pytest.mark.parametrize("code", ["", "x", "a b", "../x", "%00", "a" * 300])
def test_strange_codes_are_refused(octocat: Guest, code: str) -> None:
    """In one sentence."""
    state = parse_qs(urlsplit(octocat.way()).query)["state"][0]

    answer = octocat.get(f"{BACK}?code={code}&state={state}")

    assert (401, True) == (answer.status_code, "sign in once more" in told(answer))


def test_who_says_no_is_not_signed_in(octocat: Guest, hub: FakeHub) -> None:
    """The card says so; the password's form is still there, and leads where they wanted to go."""
    state = parse_qs(urlsplit(octocat.way("/services/shop")).query)["state"][0]

    answer = octocat.get(f"{BACK}?error=access_denied&state={state}")

    assert "GitHub was not allowed to say who you are, so nobody is signed in" == told(answer)
    assert 'name="next" value="/services/shop"' in answer.text
    assert [] == hub.paths()


def test_the_card_of_a_failed_way_takes_a_password(octocat: Guest, hub: FakeHub) -> None:
    """Its form is one of ours."""
    registered("anna", PASSWORD)
    hub.people["octocat"] = (583231, "none")

    card = octocat.sign_in().text
    token = re.search(r'name="form_token" value="([^"]*)"', card)
    assert token is not None
    answer = octocat.browser.post("/login", form_token=token[1], username="anna", password=PASSWORD)

    assert 303 == answer.status_code
    assert octocat.is_in


@pytest.mark.parametrize(
    "fault", [DROPPED, Fault(status=500), Fault(status=502, raw=b"<html>"), Fault(status=403, message="API rate limit")]
)
@pytest.mark.parametrize("on", ["access_token", "/user", "installation", "/permission", "/repos/octo-org/shop"])
def test_github_being_away_is_one_calm_sentence(octocat: Guest, hub: FakeHub, fault: Fault, on: str) -> None:
    """At whatever call; nobody becomes anything, and the next try succeeds, once GitHub may be asked again."""
    way = octocat.way()
    hub.fail(fault, on=on)

    answer = octocat.get(way)

    assert 503 == answer.status_code
    assert "GitHub could not be asked: try again shortly, or sign in with a password" == told(answer)
    assert {} == people()
    store.write(lambda: Lease.delete().where(Lease.name == leases.SILENCE).execute())
    assert 303 == octocat.sign_in().status_code


@pytest.mark.parametrize("raw", [b"{}", b"[]", b'{"access_token": 7}', b'{"error": "incorrect_client_credentials"}'])
def test_an_answer_without_a_token_is_no_answer(octocat: Guest, hub: FakeHub, raw: bytes) -> None:
    """GitHub tells errors there with the status 200."""
    way = octocat.way()
    hub.fail(Fault(status=200, raw=raw), on="access_token")

    assert 503 == octocat.get(way).status_code
    assert {} == people()


def test_a_token_that_cannot_be_ended_keeps_nobody_out(octocat: Guest, hub: FakeHub) -> None:
    """It ends by itself, and nobody has it."""
    way = octocat.way()
    hub.fail(DROPPED, on="/applications/")

    assert 303 == octocat.get(way).status_code


def test_while_github_wants_silence_it_is_not_asked(octocat: Guest, hub: FakeHub) -> None:
    """Not for this either."""
    way = octocat.way()
    later = clock.now() + 60 * clock.SECOND
    leases.be_silent(until=later, now=clock.now())

    answer = octocat.get(way)

    assert 503 == answer.status_code
    assert "GitHub wants to be asked nothing for a while" in told(answer)
    assert [] == hub.paths()


def test_a_limit_that_a_sign_in_hears_of_holds_for_everybody(octocat: Guest, hub: FakeHub) -> None:
    """It is the App that is limited, and not only who comes in."""
    hub.fail(Fault(429, "Slow down", {"Retry-After": "60"}), on="/permission")

    assert 503 == octocat.get(octocat.way()).status_code
    assert leases.silent_until(now=clock.now()) is not None


def test_few_wait_for_github_at_once(app: Flask, hub: FakeHub) -> None:
    """The threads of the others are for pushes."""
    gate = threading.Event()
    guests = [Guest(app, hub) for _ in range(signin.MOST_AT_GITHUB + 1)]
    ways = [guest.way() for guest in guests]
    hub.fail(*[Fault(hold=gate)] * signin.MOST_AT_GITHUB, on="access_token")
    answers: list[int] = []

    def come_back(number: int) -> None:
        try:
            answers.append(guests[number].get(ways[number]).status_code)
        finally:
            store.disconnect()

    threads = [threading.Thread(target=come_back, args=(number,)) for number in range(signin.MOST_AT_GITHUB)]
    for thread in threads:
        thread.start()
    while signin._places._left._value:
        assert hub.held.wait(60)
    last = guests[-1].get(ways[-1])
    gate.set()
    for thread in threads:
        thread.join(60)

    assert 503 == last.status_code
    assert [303] * signin.MOST_AT_GITHUB == answers


def test_those_who_are_refused_are_throttled(app: Flask, hub: FakeHub) -> None:
    """One account a few times, from wherever it comes; it is not asked for any more, and written down once."""
    hub.people["octocat"] = (583231, "none")

    told_each = [told(Guest(app, hub, peer=f"10.0.0.{number}").sign_in()) for number in range(11)]

    assert [True] * 10 == [REFUSED in each for each in told_each[:10]]
    assert "too many attempts to sign in failed: try again in 15 min" == told_each[10]
    assert 10 == len([path for path in hub.paths() if path.endswith("/permission")])
    assert [("visitor", "fail to sign in", "octocat on GitHub", "refused for a while")] == written()


def test_strange_codes_are_throttled_by_address(app: Flask, hub: FakeHub) -> None:
    """GitHub is asked 30 times at most; passwords from there are not looked at either, and others are."""
    statuses = []
    for _ in range(31):
        guest = Guest(app, hub)
        state = parse_qs(urlsplit(guest.way()).query)["state"][0]
        statuses.append(guest.get(f"{BACK}?code=guessed&state={state}").status_code)

    assert [*[401] * 30, 429] == statuses
    assert 30 == len([path for path in hub.paths() if path.endswith("/access_token")])
    assert 303 == Guest(app, hub, peer="10.0.0.9").sign_in().status_code
    assert 429 == Browser(app, origin=ORIGIN).post("/login", username="anna", password=PASSWORD).status_code


def test_a_way_that_takes_long_is_refused(octocat: Guest, monkeypatch: pytest.MonkeyPatch) -> None:
    """As GitHub's code is."""
    way = octocat.way()
    monkeypatch.setattr(detours, "LONGEST", 0)

    assert "this way back took longer than ten minutes: sign in once more" == told(octocat.get(way))


def test_by_https_the_cookie_is_of_this_host_alone(app: Flask) -> None:
    """Then no neighbour can plant one of their own."""
    set_in(app, public_url="https://deploy.example")

    answer = app.test_client().get(START, base_url="https://deploy.example")

    assert answer.headers["Set-Cookie"].startswith("__Host-fastdeploy-github=")
    assert "Secure" in answer.headers["Set-Cookie"]


def set_in(app: Flask, **settings: str | None) -> None:
    """Have the bot work with other settings."""
    bot: Bot = app.extensions[EXTENSION]
    app.extensions[EXTENSION] = replace(bot, settings=replace(bot.settings, **settings))
