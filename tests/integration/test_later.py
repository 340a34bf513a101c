"""Answers that are made when the server comes to send them: several webhooks, and one commit."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pytest
from flask import Flask
from werkzeug.test import EnvironBuilder

from callers import SECRET, ServiceFiles, be_patient, document, on_sqlite, sha
from databases import Raw
from fastdeploy_bot import store
from fastdeploy_bot.forge.github import signatures
from fastdeploy_bot.store.models import Delivery, Deployment
from fastdeploy_bot.web.context import EXTENSION

WRONG = "guessed"


class Asked:
    """A push that the app was asked, as a server does."""

    def __init__(self, app: Flask, number: int, *, secret: str = SECRET, guid: str = "") -> None:
        body = document(before=sha(number), after=sha(number + 1), pushed_at=1_700_000_000 + number)
        headers = {
            "X-GitHub-Event": "push",
            "X-GitHub-Delivery": guid or f"guid-{number}",
            "X-Hub-Signature-256": signatures.sign(secret, body),
        }
        builder = EnvironBuilder("/webhooks/github", method="POST", data=body, headers=[*headers.items()])
        builder.content_type = "application/json"
        self.status = ""
        self.headers: dict[str, str] = {}
        self._parts: Iterable[bytes] = app(builder.get_environ(), self._start)

    def read(self) -> Any:
        """Its answer, JSON."""
        text = b"".join(self._parts)
        self.close()
        return json.loads(text)

    def close(self) -> None:
        """The server is done with it."""
        self._parts.close()  # type: ignore[attr-defined]  # WSGI: where there is one

    def _start(self, status: str, headers: list[tuple[str, str]], *_: object) -> Any:
        self.status, self.headers = status, dict(headers)


@pytest.fixture(autouse=True)
def _shop(service: ServiceFiles) -> None:
    service()


@pytest.fixture
def rings(app: Flask, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many deliveries there were at each ring of the engine's bell."""
    found: list[int] = []
    monkeypatch.setattr(
        type(app.extensions[EXTENSION].bell), "ring", lambda _: found.append(Delivery.select().count()), raising=True
    )
    return found


def test_several_webhooks_share_a_commit_and_each_has_its_answer(app: Flask, rings: list[int]) -> None:
    """Those that came twice, or are not believed, as well; nothing is on disk before one of them is read."""
    asked = [Asked(app, 1), Asked(app, 2), Asked(app, 3, secret=WRONG), Asked(app, 4, guid="guid-1"), Asked(app, 5)]
    refused, before = asked[2].status, Delivery.select().count()

    told = [each.read() for each in asked]

    assert ("401 UNAUTHORIZED", 0) == (refused, before)
    assert ["202", "202", "401", "202", "202"] == [each.status[:3] for each in asked]
    assert [False, False, None, True, False] == [each.get("duplicate") for each in told]
    assert [1, 2, 3] == [told[number]["verdicts"][0]["deployment"] for number in (0, 1, 4)]
    assert ["superseded", "superseded", "queued"] == [row.state for row in Deployment.select().order_by(Deployment.id)]
    assert {3} == set(rings)
    assert "application/json" == asked[0].headers["Content-Type"]
    assert "no-store" in asked[0].headers["Cache-Control"]


def test_what_nobody_reads_is_not_kept(app: Flask) -> None:
    """GitHub was told nothing, and will be asked for it once more; the others are kept."""
    unread, read = Asked(app, 1), Asked(app, 2)

    unread.close()
    read.read()

    assert ["guid-2"] == [row.guid for row in Delivery.select()]


@on_sqlite
def test_where_nothing_can_be_written_each_is_told(app: Flask, raw: Raw, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a problem, with the time to wait; and what comes after that is kept."""
    be_patient(monkeypatch, 0.1)
    store.disconnect()
    store.connect(app.extensions[EXTENSION].settings.effective_database_url)
    raw.begin_writing()

    asked = [Asked(app, 1), Asked(app, 2)]
    told = [each.read() for each in asked]
    raw.execute("ROLLBACK")
    later = Asked(app, 3)
    later.read()

    assert ["503"] * 2 == [each.status[:3] for each in asked]
    assert [503] * 2 == [each["status"] for each in told]
    assert all("Retry-After" in each.headers for each in asked)
    assert "202" == later.status[:3]
    assert ["guid-3"] == [row.guid for row in Delivery.select()]
