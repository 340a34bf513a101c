"""Sessions: how a browser signs in, for how long, and what it must show with every form."""

from __future__ import annotations

import re
from typing import Final

import msgspec
import pytest
from flask import Flask
from werkzeug.test import TestResponse

from callers import Browser, registered, user_of, without_tokens
from fastdeploy_bot import store
from fastdeploy_bot.app import create_app
from fastdeploy_bot.core import clock
from fastdeploy_bot.core.people import sessions, tokens
from fastdeploy_bot.errors import Unauthenticated
from fastdeploy_bot.settings import Settings
from fastdeploy_bot.store.models import Session

PASSWORD: Final = "correct horse"
ACCOUNT: Final = "/settings/account"


@pytest.fixture
def anna(app: Flask) -> Browser:
    """The browser of somebody who has a password, and has not signed in."""
    registered("anna", PASSWORD)
    return Browser(app)


def sign_in(browser: Browser, *, password: str = PASSWORD, next: str = "") -> TestResponse:
    """Send the form as anna."""
    return browser.post("/login", username="anna", password=password, next=next)


def cookies(answer: TestResponse) -> dict[str, str]:
    """The cookies that an answer sets, by name, with all that is said of them."""
    return {line.partition("=")[0]: line for line in answer.headers.getlist("Set-Cookie")}


def test_signing_in_leads_to_the_page_that_was_wanted(anna: Browser) -> None:
    """A visitor is asked to sign in, and comes back."""
    asked = anna.get("/settings/account?x=1")
    card = anna.client.get(asked.location)
    wanted = re.search(r'name="next" value="([^"]*)"', card.text)
    assert wanted is not None

    answer = sign_in(anna, next=wanted[1])

    assert (303, "/settings/account?x=1") == (answer.status_code, answer.location)
    assert 200 == anna.get(ACCOUNT).status_code


def test_the_card_tells_browsers_and_managers_what_its_fields_are(anna: Browser) -> None:
    """Autocomplete names, and nobody's name in it."""
    card = anna.get("/login").text

    assert 'autocomplete="username"' in card
    assert 'autocomplete="current-password"' in card


def test_a_wrong_password_is_one_sentence(anna: Browser) -> None:
    """Alike for names that do not exist; the password is not shown again."""
    wrong = sign_in(anna, password="guessed-word")
    unknown = anna.post("/login", username="anna2", password="guessed-word")

    assert [401, 401] == [wrong.status_code, unknown.status_code]
    assert "user name or password is wrong" in wrong.text
    assert without_tokens(wrong.text) == without_tokens(unknown.text).replace("anna2", "anna")
    assert "guessed-word" not in wrong.text


@pytest.mark.parametrize(
    "wanted",
    [
        "https://evil.example/",
        "//evil.example/",
        "///evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "/\t/evil.example",
        "/\n/evil.example",
        "/ /evil.example",
        " //evil.example",
        "javascript:alert(1)",
        "login",
        "@evil.example",
        "/" + "x" * 3_000,
        "/a\\..\\b",
        "/\x00",
        "",
    ],
)
def test_nobody_is_led_elsewhere(anna: Browser, wanted: str) -> None:
    """What browsers might take for the address of another host leads to the overview."""
    assert "/" == sign_in(anna, next=wanted).location


@pytest.mark.parametrize("wanted", ["/services/shop", "/deployments/7?x=%2F%2Fevil.example#L3", "/a:b", "/ä"])
def test_every_own_page_can_be_wanted(anna: Browser, wanted: str) -> None:
    """With its query and its place."""
    assert wanted.replace("ä", "%C3%A4") == sign_in(anna, next=wanted).location


def test_each_sign_in_has_a_cookie_of_its_own(anna: Browser) -> None:
    """Nobody can plant a cookie before: it is never taken over, and only its digest is stored."""
    anna.show("planted" * 6)

    values = []
    for _ in range(2):
        sign_in(anna)
        found = anna.client.get_cookie("fastdeploy")
        assert found is not None
        values.append(found.value)

    assert 2 == len({*values} - {"planted" * 6})
    assert {tokens.digest(value) for value in values} == {row.hash for row in Session.select()}


def test_over_plain_http_the_cookie_comes_back(anna: Browser) -> None:
    """HttpOnly, Lax, of the whole site; a Secure one would be dropped."""
    line = cookies(sign_in(anna))["fastdeploy"]

    assert {"HttpOnly", "Path=/", "SameSite=Lax", "Max-Age=2592000"} <= set(line.split("; "))
    assert "Secure" not in line


@pytest.fixture
def secure(settings: Settings, app: Flask) -> Browser:
    """A browser at a bot that is reached by https."""
    assert app.testing
    origin = "https://deploy.example"
    return Browser(another(msgspec.structs.replace(settings, public_url=origin)), origin=origin)


def another(settings: Settings) -> Flask:
    """The bot once more, with other settings."""
    store.disconnect()
    return create_app(settings)


def test_over_https_the_cookies_are_this_hosts_alone(secure: Browser) -> None:
    """`__Host-` needs Secure, the whole path and no domain."""
    registered("anna", PASSWORD)
    card = cookies(secure.get("/login", base_url="https://deploy.example"))

    line = cookies(sign_in(secure))["__Host-fastdeploy"]

    assert ["__Host-fastdeploy-form"] == list(card)
    for each in (line, card["__Host-fastdeploy-form"]):
        assert {"Secure", "HttpOnly", "Path=/", "SameSite=Lax"} <= set(each.split("; "))
        assert "Domain" not in each


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("https://deploy.example", 401),
        ("https://deploy.example:443", 401),
        ("https://DEPLOY.example", 401),
        ("http://deploy.example", 403),
        ("https://deploy.example:8443", 403),
        ("https://deploy.example.evil.example", 403),
        ("http://127.0.0.1:8000", 403),
        ("null", 403),
        ("", 403),
        ("https://[", 403),
        ("https://deploy.example:x", 403),
    ],
)
def test_with_a_public_url_forms_come_from_there_alone(secure: Browser, origin: str, status: int) -> None:
    """Whatever host the request itself was sent to."""
    answer = secure.post("/login", headers={"Origin": origin}, username="anna", password="x")

    assert status == answer.status_code


@pytest.mark.parametrize("origin", ["http://127.0.0.1:8000", "http://localhost:8000", "http://[::1]:8000"])
def test_without_a_public_url_forms_come_from_where_the_browser_found_the_bot(app: Flask, origin: str) -> None:
    """On one's own machine every name of it will do."""
    registered("anna", PASSWORD)
    browser = Browser(app, origin=origin)

    assert 303 == sign_in(browser).status_code


@pytest.mark.parametrize(
    "headers", [{"Sec-Fetch-Site": "same-origin"}, {"Referer": "http://localhost/login"}], ids=["fetch", "referer"]
)
def test_a_browser_without_an_origin_may_show_it_otherwise(anna: Browser, headers: dict[str, str]) -> None:
    """By what it says of where the request comes from."""
    answer = anna.post("/login", headers=headers, username="anna", password=PASSWORD)

    assert 303 == answer.status_code


def test_nobody_is_signed_in_by_a_foreign_page(app: Flask, anna: Browser) -> None:
    """The first form has a token, too: one from another browser's card does not do."""
    stranger = Browser(app)

    answer = anna.post("/login", form_token=stranger.form_token("/login"), username="anna", password=PASSWORD)

    assert 403 == answer.status_code
    assert "fastdeploy" not in cookies(answer)


def test_forms_outlive_a_change_of_the_secret_key(settings: Settings, app: Flask) -> None:
    """Their tokens hold while the old key is among the fallbacks; sessions do not depend on it."""
    before = Browser(app).signed_in("viewer")
    token = before.form_token("/session/renew")
    cookie = before.client.get_cookie("fastdeploy")
    assert cookie is not None
    changed = {"secret_key": "n" * 64, "secret_key_fallbacks": (settings.secret_key or "",)}
    after = Browser(another(msgspec.structs.replace(settings, **changed)))
    after.show(cookie.value)
    without = Browser(another(msgspec.structs.replace(settings, secret_key="n" * 64)))
    without.show(cookie.value)

    assert 200 == after.post("/session/renew", form_token=token).status_code
    assert 403 == without.post("/session/renew", form_token=token).status_code
    assert 200 == without.get(ACCOUNT).status_code


def test_a_session_ends_after_twelve_hours() -> None:
    """To the millisecond."""
    cookie = begin(now=1_000)

    assert sessions.find(cookie, now=999 + sessions.LIFE).expires == 1_000 + sessions.LIFE
    with pytest.raises(Unauthenticated, match="expired"):
        sessions.find(cookie, now=1_000 + sessions.LIFE)


def test_a_session_is_prolonged_up_to_thirty_days() -> None:
    """Then it ends, however busy its owner is."""
    now = 1_000
    cookie = begin(now=now)
    while now < 1_000 + sessions.LONGEST - sessions.LIFE // 2:
        now += sessions.LIFE // 2
        sessions.prolong(sessions.find(cookie, now=now), now=now)

    assert 1_000 + sessions.LONGEST == sessions.find(cookie, now=now).expires


def test_an_ended_session_is_not_prolonged() -> None:
    """Not even by a request that found it a moment before."""
    cookie = begin(now=1_000)
    found = sessions.find(cookie, now=2_000)
    store.write(lambda: sessions.end_all(user_of("viewer"), now=2_000))

    sessions.prolong(found, now=sessions.LIFE)

    with pytest.raises(Unauthenticated, match="ended"):
        sessions.find(cookie, now=sessions.LIFE)


def test_old_sessions_are_forgotten() -> None:
    """Thirty days after they began."""
    begin(now=1_000)

    begin(now=1_000 + sessions.LONGEST)

    assert [1_000 + sessions.LONGEST] == [row.created for row in Session.select()]


def test_reading_prolongs_nothing_and_writing_does(app: Flask) -> None:
    """A page left open, which asks again and again, does not keep its reader signed in."""
    began = clock.now() - sessions.LIFE // 2
    browser = Browser(app).signed_in("viewer", now=began)

    browser.get("/")
    browser.get(ACCOUNT)
    read = Session.get().expires
    told = browser.post("/session/renew").get_json()

    assert began + sessions.LIFE == read
    assert read < Session.get().expires
    assert clock.text(Session.get().expires) == told["expires"]


def test_signing_out_ends_the_session_itself(app: Flask) -> None:
    """A copy of the cookie is worth nothing from then on."""
    browser = Browser(app).signed_in("viewer")
    cookie = browser.client.get_cookie("fastdeploy")
    assert cookie is not None

    browser.post("/logout")

    assert browser.client.get_cookie("fastdeploy") is None
    browser.show(cookie.value)
    assert 303 == browser.get(ACCOUNT).status_code


def test_a_form_after_the_session_ended_does_nothing_and_says_so(app: Flask) -> None:
    """401, with a way to sign in."""
    browser = Browser(app).signed_in("viewer")
    token = browser.form_token("/settings/account/sign-out")
    store.write(lambda: sessions.end_all(user_of("viewer"), now=clock.now()))

    answer = browser.post(
        "/settings/account/sign-out", form_token=token, headers={"Origin": browser.origin, "Accept": "text/html"}
    )

    assert 401 == answer.status_code
    assert "Nothing was done" in answer.text
    assert 'href="/login"' in answer.text


def test_what_a_browser_calls_itself_is_cut_and_harmless(app: Flask) -> None:
    """Shown as text, whatever it holds."""
    registered("anna", PASSWORD)
    browser = Browser(app)
    browser.client.environ_base["HTTP_USER_AGENT"] = "<b>\x1b[31m" + "x" * 1_000

    sign_in(browser)

    assert "<b>[31m" + "x" * (sessions.LONGEST_AGENT - 7) == Session.get().agent
    assert "&lt;b&gt;[31mx" in browser.get(ACCOUNT).text


def test_large_forms_are_refused(app: Flask) -> None:
    """Before they are read."""
    browser = Browser(app).signed_in("viewer")

    assert 413 == browser.post("/session/renew", filler="x" * 70_000).status_code


def begin(*, now: int) -> str:
    """A session of a viewer; its cookie."""
    user = user_of("viewer")
    return store.write(lambda: sessions.begin(user, peer="192.0.2.1", agent="", now=now)).cookie


pytestmark = pytest.mark.usefixtures("database")


def test_how_long_a_session_lasts_can_be_asked(app: Flask) -> None:
    """Which does not prolong it; with what the forms of this session carry."""
    now = clock.now()
    browser = Browser(app).signed_in("viewer", now=now - sessions.LIFE + 60_000)

    told = [browser.get("/session").get_json() for _ in range(2)]

    assert 55 < told[1]["left"] <= told[0]["left"] <= 60
    renewed = browser.post("/session/renew", form_token=told[0]["form_token"])
    assert sessions.LIFE / 1_000 - 60 < renewed.get_json()["left"]


def test_who_is_not_signed_in_has_no_time_left(app: Flask) -> None:
    """Nor a token for anything."""
    assert {"name": "", "expires": None, "left": 0, "form_token": ""} == Browser(app).get("/session").get_json()
