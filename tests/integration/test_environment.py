"""Faults around the bot: it says what is the matter, promises nothing that it cannot keep, and goes on by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Final

import pytest
from flask.testing import FlaskClient

from callers import Auth, Browser, GitHub, ServiceFiles, be_patient, is_problem, on_sqlite, sha, states, verdicts
from databases import Raw
from disks import full_disk
from fastdeploy_bot import store
from fastdeploy_bot.store.models import proxy
from fastdeploy_bot.web import health

SECONDS: Final = "Retry-After"


@pytest.fixture(autouse=True)
def fresh_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who asks whether the bot is ready is told what is so now, not what was so a second ago."""
    monkeypatch.setattr(health, "SECONDS", 0.0)


@contextmanager
def no_room_for_rows() -> Iterator[None]:
    """SQLite itself finds no room, as on a full disk."""
    pages = proxy.obj.execute_sql("PRAGMA page_count").fetchone()[0]
    proxy.obj.execute_sql(f"PRAGMA max_page_count = {pages}")
    yield
    proxy.obj.execute_sql("PRAGMA max_page_count = 1073741823")


@on_sqlite
@pytest.mark.parametrize(("full", "why"), [(full_disk, "disk I/O error"), (no_room_for_rows, "full")])
def test_a_push_that_a_full_disk_does_not_take_is_not_accepted(
    github: GitHub,
    client: FlaskClient,
    service: ServiceFiles,
    full: Callable[[], AbstractContextManager[None]],
    why: str,
) -> None:
    """503, to come again; and as soon as there is room the same push is taken, for the first time."""
    service("shop")
    github.push(before=sha(8), after=sha(9), pushed_at=1)

    with full():
        refused = github.push(guid="g-1", title="x" * 100_000)
        ready = client.get("/readyz") if full is full_disk else None
    again = github.push(guid="g-1", title="x" * 100_000)

    assert is_problem(refused, 503)
    assert why in refused.get_json()["detail"]
    assert int(refused.headers[SECONDS]) > 0
    assert ready is None or (is_problem(ready, 503) and why in ready.get_json()["detail"])
    assert (202, {"shop": "deploy"}) == (again.status_code, verdicts(again))
    assert [("shop", "superseded"), ("shop", "queued")] == states()
    assert 200 == client.get("/readyz").status_code


@on_sqlite
def test_a_home_without_room_is_not_ready(client: FlaskClient, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the disk is full to the last byte; with the folder in the reason."""
    with monkeypatch.context() as patch:
        patch.setattr(health, "LEAST_FREE", 1 << 60)
        refused = client.get("/readyz")

    assert is_problem(refused, 503)
    assert f"no room on the disk of {home}" in refused.get_json()["detail"]
    assert 200 == client.get("/readyz").status_code


@on_sqlite
def test_a_home_that_was_taken_away_is_not_ready(client: FlaskClient, home: Path) -> None:
    """A mount that is gone, for example."""
    home.rename(home.with_name("elsewhere"))

    refused = client.get("/readyz")

    assert is_problem(refused, 503)
    assert "No such file" in refused.get_json()["detail"]


def test_a_look_holds_for_a_second(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Anybody may ask, and no crowd of them keeps the database busy."""
    monkeypatch.setattr(health, "SECONDS", 60.0)
    looks: list[None] = []
    monkeypatch.setattr(store, "check", lambda: looks.append(None))

    assert [200] * 5 == [client.get("/readyz").status_code for _ in range(5)]
    assert 1 == len(looks)


def test_a_database_locked_by_others_is_told_and_can_be_read(
    github: GitHub,
    client: FlaskClient,
    auth: Auth,
    service: ServiceFiles,
    raw: Raw,
    database: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Webhooks and readyz: 503, to come again. Pages and the API's reads: as ever. Then all of it works again."""
    service("shop")
    pages, reader = Browser(client.application).signed_in("viewer"), auth("viewer")
    store.disconnect()
    be_patient(monkeypatch, 0.05)
    store.connect(database)
    raw.begin_writing()

    refused = [github.push(guid="g-1"), client.get("/readyz")]
    read = [pages.get("/"), client.get("/api/v1/services", headers=reader), client.get("/healthz")]
    raw.execute("ROLLBACK")

    assert [True, True] == [is_problem(each, 503) and int(each.headers[SECONDS]) > 0 for each in refused]
    assert [200, 200, 200] == [each.status_code for each in read]
    assert (202, 200) == (github.push(guid="g-1").status_code, client.get("/readyz").status_code)
