"""Refusals: signed webhooks that were refused, kept for admins to see, and never at others' cost."""

from __future__ import annotations

from typing import Final

import pytest
from flask import Flask
from flask.testing import FlaskClient

from callers import Browser, GitHub, document
from fastdeploy_bot.core import clock
from fastdeploy_bot.core.pushes import refusals
from fastdeploy_bot.errors import Unavailable
from fastdeploy_bot.store.models import Refusal

NOW: Final = 1_700_000_000_000
DELIVERIES: Final = "/deliveries"

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture(autouse=True)
def meter(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that has rested."""
    monkeypatch.setattr(refusals, "meter", refusals.Meter())


def kept() -> list[tuple[str, str, str]]:
    """From where, which event and why, the newest first."""
    return [(row.peer, row.event, row.reason) for row in refusals.latest()]


def keep(event: str = "", *, now: int) -> None:
    """Have a refusal kept, if there is room for one."""
    if (noted := refusals.note(peer="", event=event, reason="", now=now)) is not None:
        noted.answer()


def test_a_wrong_signature_is_kept_with_its_reason(github: GitHub) -> None:
    """Without anything of the body, which nobody has vouched for."""
    github.deliver(document(actor="mallory"), secret="guessed").close()

    ((peer, event, reason),) = kept()
    assert ("127.0.0.1", "push") == (peer, event)
    assert "secret" in reason
    assert "mallory" not in str([*Refusal.select().dicts()])


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [(b"{}", "text/plain", 415), (b"{", "application/json", 400), (b"[]", "application/json", 400)],
)
def test_what_cannot_be_read_is_kept(github: GitHub, body: bytes, content_type: str, status: int) -> None:
    """So that whoever set up the webhook sees what to mend."""
    answer = github.deliver(body, content_type=content_type)
    answer.close()

    assert status == answer.status_code
    assert [answer.get_json()["detail"]] == [reason for _, _, reason in kept()]


def test_a_body_that_is_too_large_is_kept(github: GitHub, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its size is all that is known of it."""
    monkeypatch.setattr("fastdeploy_bot.web.hooks.LARGEST", 100)

    answer = github.deliver(b"x" * 200)
    answer.close()

    assert 413 == answer.status_code
    assert ["the body has more than 100 bytes"] == [reason for _, _, reason in kept()]


def test_unsigned_requests_leave_nothing(github: GitHub) -> None:
    """Anybody can send those."""
    github.deliver(document(), secret=None).close()

    assert [] == kept()


def test_accepted_ones_leave_nothing(github: GitHub) -> None:
    """They are deliveries."""
    github.push().close()

    assert [] == kept()


def test_twenty_are_kept() -> None:
    """The newest ones."""
    for number in range(50):
        keep(event=f"e{number}", now=NOW + number * clock.SECOND)

    assert [f"e{number}" for number in range(49, 29, -1)] == [event for _, event, _ in kept()]
    assert refusals.KEPT == Refusal.select().count()


def test_a_flood_writes_little(github: GitHub, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty at once, then one a second."""
    writes: list[int] = []
    monkeypatch.setattr(refusals, "_keep", lambda *_: writes.append(1))
    for number in range(1_000):
        keep(now=NOW + number * 10)

    assert refusals.KEPT + 9 == len(writes)
    assert 401 == github.deliver(document(), secret="guessed").status_code


def test_what_is_kept_is_short_and_plain(client: FlaskClient) -> None:
    """Whatever the header held."""
    headers = {"X-Hub-Signature-256": "sha256=0", "X-GitHub-Event": "<b>\x1b[31m\x80" + "x" * 1_000}

    client.post("/webhooks/github", data=b"{}", headers=headers, content_type="application/json").close()

    ((_, event, _),) = kept()
    assert refusals.LONGEST == len(event)
    assert event.startswith("<b> [31m")
    assert event.isprintable()


def test_a_database_that_cannot_be_written_changes_no_answer(github: GitHub, monkeypatch: pytest.MonkeyPatch) -> None:
    """A refusal is written once it has been answered, and given up with a line in the log."""

    def fail(*_: object) -> None:
        raise Unavailable("the database is busy")

    monkeypatch.setattr(refusals, "_keep", fail)

    answer = github.deliver(document(), secret="guessed")
    answer.close()

    assert 401 == answer.status_code
    assert [] == kept()


def test_only_admins_see_them(app: Flask, github: GitHub) -> None:
    """On the page of the deliveries; as text."""
    github.deliver(document(), event="<b>", secret="guessed").close()

    pages = {role: Browser(app).signed_in(role).get(DELIVERIES).text for role in ("viewer", "deployer", "admin")}

    assert ["admin"] == [role for role, page in pages.items() if "&lt;b&gt;" in page]
    assert "<b>" not in pages["admin"]
