"""The throttle: how often somebody may try to sign in, and that nobody can keep somebody else out."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any, Final

import msgspec
import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.security import generate_password_hash

from callers import Browser, at_once, is_problem, registered
from fastdeploy_bot import store
from fastdeploy_bot.app import create_app
from fastdeploy_bot.core import clock
from fastdeploy_bot.core.people import passwords, sessions, signin, throttle, users
from fastdeploy_bot.core.people.few import Few
from fastdeploy_bot.core.people.signin import Given
from fastdeploy_bot.errors import TooMany, Unauthenticated
from fastdeploy_bot.settings import Settings
from fastdeploy_bot.store.models import Attempt, Audit, User
from fastdeploy_bot.words import LOCAL, Role

PASSWORD: Final = "correct horse"
HERE: Final = "192.0.2.1"
NOW: Final = 1_700_000_000_000
MINUTE: Final = 60 * clock.SECOND

pytestmark = pytest.mark.usefixtures("database")


class Looks:
    """Counts how often a password was looked at, and what it was compared with."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.kept: list[str] = []
        monkeypatch.setattr(passwords, "check_password_hash", self._look)

    def _look(self, kept: str, password: str) -> bool:
        self.kept.append(kept)
        return password == PASSWORD and not kept.startswith("scrypt")


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> Looks:
    """Every look at a password."""
    return Looks(monkeypatch)


@pytest.fixture(autouse=True)
def anna(database: str) -> User:
    """Somebody with a password."""
    assert database
    return registered("anna", PASSWORD)


def attempt(name: str = "anna", *, password: str = "guessed", peer: str = HERE, now: int = NOW) -> str:
    """How an attempt to sign in ends: `in`, `wrong`, or after how many seconds to try again."""
    try:
        signin.issue_token(Given(username=name, password=password, peer=peer), now=now)
    except Unauthenticated:
        return "wrong"
    except TooMany as error:
        return f"{error.retry_after} s"
    return "in"


def attempts(count: int, **how: Any) -> list[str]:
    """How so many attempts end."""
    return [attempt(**how) for _ in range(count)]


def test_the_sixth_attempt_for_a_name_from_an_address_is_not_looked_at(looks: Looks) -> None:
    """Even with the right password; it has to wait for the oldest of the failures."""
    failed = [attempt(now=NOW + number * MINUTE) for number in range(throttle.MOST_OF_PAIR)]

    refused = attempt(password=PASSWORD, now=NOW + 11 * MINUTE)

    assert ["wrong"] * 5 == failed
    assert "240 s" == refused
    assert throttle.MOST_OF_PAIR == len(looks.kept)


@pytest.mark.usefixtures("looks")
def test_waiting_is_enough() -> None:
    """What was refused does not count, so that trying on does no harm."""
    attempts(throttle.MOST_OF_PAIR)
    attempts(20, now=NOW + MINUTE)

    assert "1 s" == attempt(password=PASSWORD, now=NOW + throttle.WINDOW - 1)
    assert "in" == attempt(password=PASSWORD, now=NOW + throttle.WINDOW)


@pytest.mark.usefixtures("looks")
def test_others_are_not_held_up_by_one_who_fails() -> None:
    """Neither another name from there, nor that name from elsewhere."""
    registered("ben", PASSWORD)
    attempts(throttle.MOST_OF_PAIR)

    assert ["in", "in"] == [
        attempt("ben", password=PASSWORD),
        attempt(password=PASSWORD, peer="192.0.2.2"),
    ]


@pytest.mark.usefixtures("looks")
def test_signing_in_forgives_earlier_slips() -> None:
    """Of that name from that address; those of the address go on counting."""
    attempts(4)
    assert "in" == attempt(password=PASSWORD)

    assert [*["wrong"] * 5, "900 s"] == attempts(6)
    assert 9 == Attempt.select().where(Attempt.key == throttle._key("address", HERE)).count()


@pytest.mark.usefixtures("looks")
def test_an_address_may_not_try_name_after_name() -> None:
    """Thirty in all."""
    answered = [attempt(f"name{number}") for number in range(throttle.MOST_OF_ADDRESS + 1)]

    assert [*["wrong"] * throttle.MOST_OF_ADDRESS, "900 s"] == answered


@pytest.mark.usefixtures("looks")
@pytest.mark.parametrize(
    ("one", "another"),
    [
        ("2001:db8::1", "2001:db8::2"),
        ("2001:db8:0:0:1::", "2001:db8::ffff:ffff:ffff:ffff"),
        ("192.0.2.1", "::ffff:192.0.2.1"),
        ("fe80::1%eth0", "fe80::2%eth1"),
    ],
)
def test_another_address_of_the_same_network_is_no_way_around(one: str, another: str) -> None:
    """With IPv6 everybody has 2^64 addresses."""
    attempts(throttle.MOST_OF_PAIR, peer=one)

    assert "900 s" == attempt(peer=another)


@pytest.mark.usefixtures("looks")
def test_many_addresses_are_no_way_around() -> None:
    """Fifty failures for a name, from wherever."""
    answered = [attempt(peer=f"198.51.100.{number}") for number in range(throttle.MOST_OF_NAME + 1)]

    assert [*["wrong"] * throttle.MOST_OF_NAME, "900 s"] == answered


@pytest.mark.usefixtures("looks")
def test_nobody_is_kept_out_by_others(anna: User) -> None:
    """Whoever signed in from an address before is not held up there by what others do."""
    store.write(lambda: sessions.begin(anna, peer="203.0.113.9", agent="", now=NOW - clock.DAY))
    for number in range(throttle.MOST_OF_NAME):
        attempt(peer=f"198.51.100.{number}")

    assert "900 s" == attempt(password=PASSWORD)
    assert "in" == attempt(password=PASSWORD, peer="203.0.113.9")


def test_a_known_address_is_held_to_its_own_failures(anna: User, looks: Looks) -> None:
    """Five for the name, as everywhere."""
    store.write(lambda: sessions.begin(anna, peer=HERE, agent="", now=NOW - clock.DAY))

    assert [*["wrong"] * 5, "900 s"] == attempts(6)
    assert 5 == len(looks.kept)


def test_many_at_once_are_no_way_around(looks: Looks, monkeypatch: pytest.MonkeyPatch) -> None:
    """An attempt counts before its password is looked at."""
    monkeypatch.setattr(passwords, "_places", Few(50, ""))
    monkeypatch.setattr(passwords, "PATIENCE", 60)

    answered = at_once(lambda _: attempt(), 20)

    assert {"wrong": 5, "900 s": 15} == {each: answered.count(each) for each in set(answered)}
    assert 5 == len(looks.kept)


def test_an_unknown_name_is_as_much_work(looks: Looks) -> None:
    """One look each, at hashes of the same making."""
    users.add("ben", PASSWORD, Role.VIEWER, by=LOCAL, now=NOW)

    answered = [attempt("ben"), attempt("nobody"), attempt("no name \N{SNOWMAN}"), attempt("")]

    assert ["wrong"] * 4 == answered
    assert [generate_password_hash("x").partition("$")[0]] * 4 == [each.partition("$")[0] for each in looks.kept]


def test_the_hash_of_nobody_can_be_looked_at() -> None:
    """It has the form that werkzeug's have, and lets nobody in."""
    with passwords.turn():
        assert not passwords.is_right("guessed", None)
        assert not passwords.is_right("", None)


@pytest.mark.usefixtures("looks")
def test_old_failures_are_forgotten() -> None:
    """The table does not grow."""
    for number in range(40):
        attempt(f"name{number}", peer=f"198.51.100.{number}")

    for number in range(40):
        attempt(f"name{number}", peer=f"198.51.100.{number}", now=NOW + throttle.WINDOW)

    assert {NOW + throttle.WINDOW} == {row.at for row in Attempt.select()}


@pytest.mark.usefixtures("looks")
def test_what_was_typed_is_not_kept() -> None:
    """A password in the field of the name is nowhere to be found afterwards."""
    attempts(throttle.MOST_OF_PAIR, name="hunter2-my-password")

    kept = [str(row) for model in (Attempt, Audit) for row in model.select().dicts()]

    assert kept
    assert not any("hunter2" in each for each in kept)


@pytest.mark.usefixtures("looks")
def test_a_burst_is_written_down_once() -> None:
    """By name where there is such a user, with the address."""
    attempts(20)

    assert [("visitor", "fail to sign in", "user anna", HERE)] == [
        (row.who, row.action, row.object, row.peer) for row in Audit.select()
    ]


def test_a_password_changed_meanwhile_lets_nobody_in(looks: Looks, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who was looked at with the old one has not signed in yet."""
    look = looks._look

    def change_first(kept: str, password: str) -> bool:
        right = look(kept, password)
        store.write(lambda: User.update(password="another").execute())
        return right

    monkeypatch.setattr(passwords, "check_password_hash", change_first)

    assert "wrong" == attempt(password=PASSWORD)


class Crowd:
    """Threads that wait for their turn at passwords, which never comes."""

    def __init__(self, count: int) -> None:
        self._threads = [threading.Thread(target=self._wait) for _ in range(count)]

    def __enter__(self) -> Crowd:
        passwords._one_at_a_time.acquire()
        for thread in self._threads:
            thread.start()
        while passwords._places._left._value:  # how many are left
            threading.Event().wait(0.01)
        return self

    def __exit__(self, *_: object) -> None:
        passwords._one_at_a_time.release()
        for thread in self._threads:
            thread.join()

    @staticmethod
    def _wait() -> None:
        with passwords.turn():
            pass


@pytest.fixture
def crowd(monkeypatch: pytest.MonkeyPatch) -> Iterator[Crowd]:
    """As many as may wait, and all of them do."""
    monkeypatch.setattr(passwords, "PATIENCE", 60)
    with Crowd(passwords.MOST_WAITING + 1) as waiting:
        yield waiting


@pytest.mark.usefixtures("crowd")
def test_a_crowd_is_sent_away_at_once(client: FlaskClient) -> None:
    """503: no more threads wait for hashes than others can spare; whoever is not signing in notices nothing."""
    refused = client.post("/api/v1/token", json={"username": "anna", "password": PASSWORD})

    assert is_problem(refused, 503)
    assert "5" == refused.headers["Retry-After"]
    assert 200 == client.get("/readyz").status_code
    assert not Attempt.select().exists()


@pytest.mark.usefixtures("looks")
def test_programs_and_browsers_share_it(app: Flask, client: FlaskClient) -> None:
    """429 with Retry-After: a problem for the one, a sentence for the other."""
    browser = Browser(app)
    for _ in range(3):
        browser.post("/login", username="anna", password="guessed")
        client.post("/api/v1/token", json={"username": "anna", "password": "guessed"})

    program = client.post("/api/v1/token", json={"username": "anna", "password": PASSWORD})
    page = browser.post("/login", username="anna", password=PASSWORD)

    assert is_problem(program, 429)
    assert 429 == page.status_code
    assert "try again in 15 min" in page.text
    assert all(890 < int(answer.headers["Retry-After"]) <= 900 for answer in (program, page))


@pytest.mark.usefixtures("looks")
def test_it_outlives_a_restart(app: Flask, settings: Settings) -> None:
    """Another process of the bot, or the same one later, goes on counting."""
    for _ in range(throttle.MOST_OF_PAIR):
        Browser(app).post("/login", username="anna", password="guessed")
    store.disconnect()

    again = Browser(create_app(msgspec.structs.replace(settings)))

    assert 429 == again.post("/login", username="anna", password=PASSWORD).status_code


@pytest.mark.parametrize("password", ["", "\ud800", "\0", "x" * 2_000, PASSWORD + " "])
def test_a_strange_password_is_a_wrong_one(password: str) -> None:
    """Whatever it holds."""
    assert "wrong" == attempt(password=password)


@pytest.mark.usefixtures("looks")
def test_a_clock_that_was_set_back_keeps_nobody_out() -> None:
    """What failed an hour from now, failed before that; what fails from now on counts."""
    expected = [*["wrong"] * throttle.MOST_OF_PAIR, "900 s"]

    assert expected == attempts(throttle.MOST_OF_PAIR + 1, now=NOW + 60 * MINUTE)
    assert expected == attempts(throttle.MOST_OF_PAIR + 1, now=NOW)
