"""Users and what they are signed in with: changed by admins, by themselves and by commands, and always written down."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from typing import Final

import pytest
from flask import Flask
from flask.testing import FlaskClient

from callers import Auth, Browser, ServiceFiles, at_once, bearer, issue_for_user, registered, sync, user_of
from fastdeploy_bot import store
from fastdeploy_bot.core import clock
from fastdeploy_bot.core.people import idempotency, passwords, sessions, tokens, users
from fastdeploy_bot.core.people.idempotency import Answered
from fastdeploy_bot.errors import Conflict, Invalid, NotFound
from fastdeploy_bot.store.models import Answer, Audit, Session, Token, User
from fastdeploy_bot.words import LOCAL, Role
from reading import text

V1: Final = "/api/v1"
PASSWORD: Final = "correct horse"
NEW: Final = "battery staple"
ACCOUNT: Final = "/settings/account"
USERS: Final = "/settings/users"
TOKENS: Final = "/settings/tokens"

CHANGES: Final[dict[str, Callable[[], None]]] = {
    "password": lambda: users.set_password("anna", NEW, by=LOCAL, now=clock.now()),
    "role": lambda: users.set_role("anna", Role.DEPLOYER, by=LOCAL, now=clock.now()),
    "sign-out": lambda: users.sign_out_everywhere("anna", by=LOCAL, now=clock.now()),
    "removal": lambda: users.remove("anna", by=LOCAL, now=clock.now()),
}


def written() -> list[tuple[str, str, str, str, str]]:
    """All that was written down: who, what, to what, in detail, from where."""
    return [(row.who, row.action, row.object, row.detail, row.peer) for row in Audit.select().order_by(Audit.id)]


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_a_change_ends_all_that_the_user_is_signed_in_with(
    app: Flask, client: FlaskClient, change: Callable[[], None]
) -> None:
    """Every session and token of theirs, with the next request; nobody else's."""
    browsers = [Browser(app).signed_in("viewer", name="anna") for _ in range(2)]
    other = Browser(app).signed_in("viewer", name="ben")
    headers = [bearer(issue_for_user("viewer", name=name)) for name in ("anna", "ben")]

    change()

    assert [303, 303, 200] == [each.get(ACCOUNT).status_code for each in [*browsers, other]]
    assert [401, 200] == [client.get(f"{V1}/services", headers=each).status_code for each in headers]


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
@pytest.mark.usefixtures("database")
def test_a_change_is_written_down(change: Callable[[], None]) -> None:
    """In its own transaction, without a secret."""
    user_of("viewer", name="anna")

    change()

    ((who, action, thing, detail, peer),) = written()
    assert ("local", "user anna", "host") == (who, thing, peer)
    assert action in {"set password", "set role", "sign out everywhere", "remove"}
    assert detail == ("viewer → deployer" if action == "set role" else "")


@pytest.mark.parametrize(
    "change",
    [lambda: users.remove("root", by=LOCAL, now=1), lambda: users.set_role("root", Role.VIEWER, by=LOCAL, now=1)],
)
@pytest.mark.usefixtures("database")
def test_the_last_admin_stays(change: Callable[[], None]) -> None:
    """Somebody has to be able to let others in; nothing of it is done."""
    root = user_of("admin", name="root")
    user_of("deployer", name="anna")
    store.write(lambda: sessions.begin(root, peer="", agent="", now=clock.now()))

    with pytest.raises(Conflict, match="last admin"):
        change()

    assert "admin" == users.find("root").role
    assert 1 == len(sessions.of_user(root, now=clock.now()))
    assert [] == written()


@pytest.mark.usefixtures("database")
def test_two_admins_cannot_remove_each_other_at_once() -> None:
    """One of them is the last."""
    for name in ("anna", "ben"):
        user_of("admin", name=name)

    def remove(number: int) -> str:
        try:
            users.remove(("anna", "ben")[number], by=LOCAL, now=1)
        except Conflict:
            return "refused"
        return "removed"

    assert ["refused", "removed"] == sorted(at_once(remove, 2))
    assert 1 == User.select().count()


@pytest.mark.usefixtures("database")
def test_a_removed_users_name_can_be_given_anew() -> None:
    """To somebody else: nothing of the first one is theirs."""
    users.add("anna", PASSWORD, Role.ADMIN, by=LOCAL, now=1)
    user_of("admin", name="root")
    request = idempotency.Request(principal="user anna", key="k", content=b"", secrets=["s"])
    idempotency.once(request, lambda: Answered(201, b"secret"), now=clock.now())

    users.remove("anna", by=LOCAL, now=2)
    users.add("anna", NEW, Role.VIEWER, by=LOCAL, now=3)

    assert not Answer.select().exists()
    assert not Session.select().exists()
    assert [("add", "admin"), ("remove", ""), ("add", "viewer")] == [(each[1], each[3]) for each in written()]


@pytest.mark.parametrize("name", ["", "local", "-a", "a b", "a/b", "ä", "a\n", "a" * 64, "<b>", "../x"])
@pytest.mark.usefixtures("database")
def test_some_names_cannot_be(name: str) -> None:
    """Nothing that has to be quoted anywhere."""
    with pytest.raises(Invalid):
        users.add(name, PASSWORD, Role.VIEWER, by=LOCAL, now=1)


@pytest.mark.parametrize("password", ["", "7 chars", "x" * 1_001, "surrogate\ud800"])
@pytest.mark.usefixtures("database")
def test_some_passwords_cannot_be(password: str) -> None:
    """Too short, too long, or no text; the message does not show it."""
    with pytest.raises(Invalid) as caught:
        users.add("anna", password, Role.VIEWER, by=LOCAL, now=1)

    assert not password or password not in str(caught.value)


@pytest.mark.usefixtures("database")
def test_what_does_not_exist_cannot_be_changed() -> None:
    """NotFound, and nothing is written down."""
    for change in CHANGES.values():
        with pytest.raises(NotFound):
            change()

    assert [] == written()


def test_an_admin_manages_users_by_the_page(app: Flask) -> None:
    """Adds one, gives them a role and a password, signs them out and takes them away; each is written down."""
    admin = Browser(app).signed_in("admin")

    answers = [
        admin.post(USERS, username="anna", password=PASSWORD, role="viewer"),
        admin.post(f"{USERS}/anna/role", role="deployer"),
        admin.post(f"{USERS}/anna/password", password=NEW),
        admin.post(f"{USERS}/anna/sign-out"),
    ]
    listed = admin.get(USERS).text
    answers.append(admin.post(f"{USERS}/anna/remove"))

    assert [(303, USERS)] * 5 == [(each.status_code, each.location) for each in answers]
    assert '<td class="name">anna</td><td>deployer</td>' in listed
    assert [
        ("admin", "add", "user anna", "viewer", "127.0.0.1"),
        ("admin", "set role", "user anna", "viewer → deployer", "127.0.0.1"),
        ("admin", "set password", "user anna", "", "127.0.0.1"),
        ("admin", "sign out everywhere", "user anna", "", "127.0.0.1"),
        ("admin", "remove", "user anna", "", "127.0.0.1"),
    ] == written()


@pytest.mark.parametrize(
    ("path", "fields", "status", "told"),
    [
        (USERS, {"username": "a b", "password": PASSWORD, "role": "viewer"}, 422, "user name"),
        (USERS, {"username": "anna", "password": "short", "role": "viewer"}, 422, "8 to 1000 characters"),
        (USERS, {"username": "anna", "password": PASSWORD, "role": "root"}, 422, "viewer, deployer, admin"),
        (USERS, {"username": "admin", "password": PASSWORD, "role": "viewer"}, 409, "already a user admin"),
        (USERS, {"username": "Admin", "password": PASSWORD, "role": "viewer"}, 409, "already a user admin"),
        (USERS, {"username": "Local", "password": PASSWORD, "role": "viewer"}, 422, "none of"),
        (f"{USERS}/admin/remove", {}, 409, "last admin"),
        (f"{USERS}/admin/role", {"role": "viewer"}, 409, "last admin"),
        (f"{USERS}/admin/role", {"role": "admin"}, 409, "admin already"),
        (TOKENS, {"service": "shop", "days": "0", "nonce": "n"}, 422, "1 to 366"),
        (TOKENS, {"service": "shop", "days": "367", "nonce": "n"}, 422, "1 to 366"),
        (TOKENS, {"service": "shop", "days": "²", "nonce": "n"}, 422, "1 to 366"),
        (TOKENS, {"service": "shop", "days": "1", "name": "x" * 61, "nonce": "n"}, 422, "at most 60 characters"),
        (TOKENS, {"service": "shop", "days": "1", "name": "two\nlines", "nonce": "n"}, 422, "in one line"),
    ],
)
def test_what_cannot_be_is_told_on_the_page(
    app: Flask, service: ServiceFiles, path: str, fields: dict[str, str], status: int, told: str
) -> None:
    """One sentence above the form; passwords are not shown again."""
    service("shop")
    sync(app)
    page = Browser(app).signed_in("admin").post(path, headers=None, **fields)

    alert = re.search(r'role="alert">([^<]*)<', page.text)
    assert status == page.status_code
    assert alert is not None
    assert told in alert[1]
    assert PASSWORD not in page.text


def test_users_change_their_own_password(app: Flask) -> None:
    """With the present one; then they sign in anew."""
    registered("anna", PASSWORD)
    browser = Browser(app).signed_in("viewer", name="anna")

    wrong = browser.post(f"{ACCOUNT}/password", present="guessed", new=NEW, again=NEW)
    unlike = browser.post(f"{ACCOUNT}/password", present=PASSWORD, new=NEW, again=NEW + "r")
    right = browser.post(f"{ACCOUNT}/password", present=PASSWORD, new=NEW, again=NEW)

    assert [401, 422, 303] == [each.status_code for each in (wrong, unlike, right)]
    assert "/login?next=/settings/account" == right.location
    assert 303 == browser.get(ACCOUNT).status_code
    assert 303 == browser.post("/login", username="anna", password=NEW).status_code
    assert ["set password", "sign in"] == [each[1] for each in written()]


def test_guessing_the_present_password_is_throttled(app: Flask) -> None:
    """A borrowed session is no way to guess it."""
    registered("anna", PASSWORD)
    browser = Browser(app).signed_in("viewer", name="anna")

    answered = [
        browser.post(f"{ACCOUNT}/password", present=word, new=NEW, again=NEW).status_code
        for word in [*["guessed"] * 5, PASSWORD]
    ]

    assert [*[401] * 5, 429] == answered


def test_users_end_their_own_sessions_and_nobody_elses(app: Flask) -> None:
    """One, or all of them at once."""
    here, there = (Browser(app).signed_in("viewer", name="anna") for _ in range(2))
    other = Browser(app).signed_in("viewer", name="ben")

    assert 303 == here.post(f"{ACCOUNT}/sessions/2/end").status_code
    assert 404 == here.post(f"{ACCOUNT}/sessions/3/end").status_code
    assert [200, 303, 200] == [each.get(ACCOUNT).status_code for each in (here, there, other)]

    assert 303 == here.post(f"{ACCOUNT}/sign-out").status_code
    assert [303, 200] == [each.get(ACCOUNT).status_code for each in (here, other)]


def test_an_account_shows_its_sessions_alone(app: Flask) -> None:
    """From where and with what; which of them this is; without a cookie's digest."""
    here = Browser(app).signed_in("viewer", name="anna")
    Browser(app).signed_in("viewer", name="ben")

    page = here.get(ACCOUNT).text

    assert 1 == page.count("<bdi>a browser</bdi>") == page.count("this one")
    assert Session.get_by_id(1).hash not in page


def test_a_service_token_is_shown_once(app: Flask, client: FlaskClient, service: ServiceFiles) -> None:
    """It works as the page says; the list tells what it may, and revoking ends it at once."""
    service("shop")
    sync(app)
    admin = Browser(app).signed_in("admin")

    made = admin.post(TOKENS, service="shop", days="30", nonce="n-1")
    listed = admin.get(TOKENS).text

    found = re.search(r"fds_[\w-]+", made.text)
    assert found is not None
    assert f'http://127.0.0.1:8000{V1}/deployments -H "Authorization: Bearer {found[0]}"' in made.text.replace(
        "&#34;", '"'
    )
    assert 200 == client.get(f"{V1}/services", headers=bearer(found[0])).status_code
    assert "fds_" not in listed
    assert "start and read deployments of" in listed
    assert Token.get().hash not in listed

    assert 303 == admin.post(f"{TOKENS}/shop/1/revoke").status_code
    assert 401 == client.get(f"{V1}/services", headers=bearer(found[0])).status_code
    assert "revoked" in admin.get(TOKENS).text
    assert [("create", "token 1", "service shop, 30 days"), ("revoke", "token 1", "service shop")] == [
        each[1:4] for each in written()
    ]


def test_a_form_sent_twice_makes_one_token(app: Flask, service: ServiceFiles) -> None:
    """A double click, or a page loaded again, shows the same one; no form without its number is taken."""
    service("shop")
    sync(app)
    admin = Browser(app).signed_in("admin")

    first, second = (admin.post(TOKENS, service="shop", days="30", nonce="n-1").text for _ in range(2))
    without = admin.post(TOKENS, service="shop", days="30")

    assert re.findall(r"fds_[\w-]+", first) == re.findall(r"fds_[\w-]+", second)
    assert 1 == Token.select().count()
    assert 400 == without.status_code


def test_programs_are_written_down_too(app: Flask, client: FlaskClient, auth: Auth, service: ServiceFiles) -> None:
    """Signing in, tokens and sync by the API, with the address they came from."""
    service("shop")
    sync(app)
    registered("root", PASSWORD, "admin")
    answer = client.post(f"{V1}/token", json={"username": "root", "password": PASSWORD})
    headers = bearer(answer.get_json()["token"])
    service("other", repository="octo-org/other")

    client.post(f"{V1}/services/shop/tokens", json={"days": 1}, headers=headers)
    client.delete(f"{V1}/services/shop/tokens/2", headers=headers)
    client.delete(f"{V1}/services/shop/tokens/2", headers=headers)
    client.post(f"{V1}/services/sync", headers=headers)
    client.post(f"{V1}/services/shop/tokens", json={"days": 1}, headers=auth("viewer"))

    assert [
        ("root", "sign in", "token 1", "", "127.0.0.1"),
        ("root", "create", "token 2", "service shop, 1 day", "127.0.0.1"),
        ("root", "revoke", "token 2", "service shop", "127.0.0.1"),
        ("root", "sync", "services", "added other", "127.0.0.1"),
    ] == written()


def test_a_service_tokens_deeds_are_not_mistaken_for_a_users(
    app: Flask, client: FlaskClient, auth: Auth, service: ServiceFiles
) -> None:
    """A user and a service may have the same name."""
    service("shop")
    sync(app)
    headers = auth.service("shop")
    client.post(f"{V1}/deployments", json={"sha": "1" * 40, "ref": "main"}, headers=headers)

    assert "service shop" == written()[-1][0]


def test_sessions_are_written_down(app: Flask) -> None:
    """Signing in and out; never the cookie."""
    registered("anna", PASSWORD)
    browser = Browser(app)
    browser.post("/login", username="anna", password=PASSWORD)
    cookie = browser.client.get_cookie("fastdeploy")
    assert cookie is not None

    browser.post("/logout")

    assert [
        ("anna", "sign in", "session 1", "", "127.0.0.1"),
        ("anna", "sign out", "session 1", "", "127.0.0.1"),
    ] == written()
    assert cookie.value not in str(written())
    assert tokens.digest(cookie.value) not in str(written())


def test_the_list_tells_how_and_when_each_signs_in(app: Flask) -> None:
    """By what, and when last, as far as that is known; of one who is alone it says so."""
    registered("anna", PASSWORD)
    store.write(
        lambda: User.create(username="mona", password="", role="viewer", created=0, github_id=3, github_login="mona-l")
    )
    admin = Browser(app).signed_in("admin")
    Browser(app).signed_in("viewer", name="anna", now=clock.now() - 3 * clock.DAY)
    issue_for_user("viewer", name="anna")

    page = text(admin, USERS)

    assert re.search(r"\banna\s?viewer password (just now|\d+ s ago)", page)
    assert "monaviewer GitHub, as mona-l not within 30 days" in page
    assert "You are the only one." not in page
    assert "3 d ago" not in page


def test_a_bot_without_users_says_how_the_first_one_gets_in(app: Flask) -> None:
    """By the host alone; nobody becomes an admin by being the first at the page."""
    hint = "fastdeploy init</code>, on the bot's host"

    before = app.test_client().get("/login").text
    user_of("viewer")

    assert hint in before
    assert hint not in app.test_client().get("/login").text


def test_a_single_user_is_told_to_add_others(app: Flask) -> None:
    """What comes next."""
    assert "You are the only one." in Browser(app).signed_in("admin").get(USERS).text


def test_the_tokens_page_tells_names_uses_and_ends(app: Flask, client: FlaskClient, service: ServiceFiles) -> None:
    """What each is for, when it was used last, how long it lasts, and which of them end soon."""
    service("shop")
    sync(app)
    admin = Browser(app).signed_in("admin")
    assert "There is none yet." in admin.get(TOKENS).text
    admin.post(TOKENS, service="shop", name="<CI>", days="13", nonce="n-1")
    [token, _] = re.findall(r"fds_[\w-]+", admin.post(TOKENS, service="shop", days="15", nonce="n-2").text)
    client.get(f"{V1}/services", headers=bearer(token)).close()

    page = text(admin, TOKENS)

    assert "1 <CI>start and read deployments of shop" in page
    assert "never 12 days left, ends soon Revoke" in page
    assert re.search(r"(just now|\d+ s ago) 14 days left Revoke", page)


def test_a_new_token_comes_with_what_uses_it(app: Flask, service: ServiceFiles) -> None:
    """Each to copy: itself, a command, and a step for GitHub Actions that names a secret and not the token."""
    service("my-shop")
    sync(app)

    page = html.unescape(Browser(app).signed_in("admin").post(TOKENS, service="my-shop", days="30", nonce="n").text)

    assert 2 == len(re.findall(r"fds_[\w-]+", page))
    assert re.findall(r'data-copy="([^"]*)"', page) == re.findall(r'<pre class="code" id="([^"]*)"', page)
    assert "token: ${{ secrets.FASTDEPLOY_TOKEN_MY_SHOP }}" in page
    assert "FASTDEPLOY_TOKEN_MY_SHOP</code> of the repository" in page


def test_a_password_is_hashed_by_scrypt() -> None:
    """With a salt of its own."""
    one, another = passwords.hashed(PASSWORD), passwords.hashed(PASSWORD)

    assert one.startswith("scrypt:")
    assert one != another
