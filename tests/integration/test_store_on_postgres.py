"""PostgreSQL: what it alone can do wrong, and what a bot with many threads must not do to it."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from typing import Any

import peewee
import pytest
from flask.testing import FlaskClient

from callers import KEY, SECRET, Auth, at_once, be_patient, bearer
from databases import Raw, Server, migrated
from fastdeploy_bot import store
from fastdeploy_bot.app import create_app
from fastdeploy_bot.core.commits import between, deliveries, drift, heads, links
from fastdeploy_bot.core.pushes import deciding, reconciling
from fastdeploy_bot.errors import SettingsError, Unavailable
from fastdeploy_bot.settings import Settings
from fastdeploy_bot.store import postgres as dialect
from fastdeploy_bot.store.models import Service, proxy
from fastdeploy_bot.words import VerdictKind, WebhookSecret
from runs import eventually

OURS = "datname = current_database() AND application_name = 'fastdeploy'"
"""Which of a server's connections are the bot's."""


@pytest.fixture
def database_url(postgres: Server) -> str:
    """Here, no other database."""
    return postgres.ready()


@pytest.fixture
def empty(postgres: Server) -> Iterator[str]:
    """A database with nothing in it, which a test may spoil."""
    yield postgres.empty()
    store.disconnect()


PAST = """
INSERT INTO delivery (guid, event, repository_id, ref, before, after, pushed_at, reason, peer, headers, received)
SELECT 'g-' || n, 'push', 1, 'refs/heads/main', 'b' || n, 'a' || n, n, '', '', '{}', n
FROM generate_series(1, 20000) AS past (n);
INSERT INTO verdict (delivery_id, service_id, verdict, reason, counts, decided)
SELECT id, 1, 'ignore', '', TRUE, received FROM delivery;
UPDATE service SET newest = (SELECT max(id) FROM verdict)
"""
"""Many pushes of one ref."""
MAIN = "refs/heads/main"


def create(name: str) -> Service:
    """A row."""
    return Service.create(name=name, repository="octo-org/shop", created=1)


def connections(raw: Raw) -> int:
    """How many the bot has now."""
    return int(raw.execute(f"SELECT count(*) FROM pg_stat_activity WHERE {OURS}")[0][0])  # noqa: S608 - our own


def cut(raw: Raw) -> int:
    """Cut every connection of the bot's, as a server that restarts does; answers how many there were."""
    return len(raw.execute(f"SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE {OURS}"))  # noqa: S608


# --- how it writes and reads ---


def test_a_commit_is_on_disk_whatever_the_server_is_set_to(empty: str) -> None:
    """A 202 is a promise: the bot asks for what it promises."""
    admin = Raw(empty)
    admin.execute(f"ALTER DATABASE {admin.execute('SELECT current_database()')[0][0]} SET synchronous_commit = off")
    admin.close()
    store.connect(empty)

    modes = at_once(lambda _: store.write(lambda: proxy.obj.execute_sql("SHOW synchronous_commit").fetchone()[0]), 3)

    assert ["on"] * 3 == modes


@pytest.mark.usefixtures("database")
def test_a_write_sees_all_that_was_committed_before_its_turn(raw: Raw) -> None:
    """Each statement reads anew, so that nothing decided before the wait is outdated."""
    raw.begin_writing()
    raw.execute("INSERT INTO service (name, repository, problem, created) VALUES ('first', '', '', 1)")

    def act(number: int) -> int:
        if number:
            raw.execute("COMMIT")
            return 1
        return store.write(lambda: Service.select().count())

    assert [1, 1] == at_once(act, 2)


@pytest.mark.parametrize("analyzed", [False, True], ids=["new", "analyzed"])
def test_the_newest_pushes_are_found_without_going_through_those_before(empty: str, analyzed: bool) -> None:
    """However many there are, and whatever the server knows of them."""
    store.connect(migrated(empty))
    create("shop")
    proxy.obj.execute_sql(PAST)
    if analyzed:
        proxy.obj.execute_sql("ANALYZE delivery, verdict")

    of_ref = (deciding._ANY, deciding._NEWEST, reconciling._NEWEST, between._PUSHES, drift._PUSHES)
    for plan in (*(_explained(query, 1, MAIN, 1) for query in of_ref), _explained(deciding._LATER, 1, MAIN, 1, 20_000)):
        assert links.LOOK_BACK >= max(int(rows) for rows in re.findall(r"actual .*?rows=(\d+)", plan)), plan
    for query, kinds in ((deliveries._LAST, len(VerdictKind)), (heads._LAST, len(VerdictKind) - len(heads.UNTOLD))):
        plan = _explained(query, 1)
        assert kinds == len(re.findall(r"Scan Backward using verdict_\w+ on verdict", plan)), plan
    with proxy.obj.atomic():  # what the overview asks took minutes where each push was held against all of them
        proxy.obj.execute_sql("SET LOCAL statement_timeout = '5s'")
        assert links.LOOK_BACK + 1 == len(between.sizes([1])[1])


def _explained(query: store.Prepared[Any], *values: object) -> str:
    """What the server does to answer it, with how many rows each step finds."""
    found = query._made(type(proxy.obj))
    filled = [*values, *found.constants]
    places = range(len(filled)) if found.order is None else found.order
    rows = proxy.obj.execute_sql(f"EXPLAIN ANALYZE {found.sql}", [filled[place] for place in places])
    return "\n".join(row[0] for row in rows.fetchall())


@pytest.mark.usefixtures("database")
def test_a_read_cannot_write() -> None:
    """What is called a read is one."""
    with pytest.raises(peewee.DatabaseError, match="read-only"):
        store.read(lambda: create("shop"))

    assert not Service.select().exists()


def test_a_database_that_takes_no_writes_is_told(empty: str) -> None:
    """Unavailable, also by the check: a standby answers reads and is not ready."""
    store.connect(empty)
    store.migrate()
    store.disconnect()
    admin = Raw(empty)
    name = admin.execute("SELECT current_database()")[0][0]
    admin.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    admin.close()

    for act in (store.check, lambda: store.write(lambda: create("shop"))):
        with pytest.raises(Unavailable, match="read-only"):
            act()
    assert [] == list(Service.select())


# --- connections ---


def test_threads_take_turns_at_few_connections(database: str, raw: Raw) -> None:
    """However many threads there are; who waits for the write lock keeps none from the one who has it."""
    assert database

    opened: list[int] = []
    all_done = threading.Barrier(4 * dialect.CONNECTIONS, action=lambda: opened.append(connections(raw)))

    def work(number: int) -> None:
        Service.select().count()
        store.write(lambda: create(f"s{number}"))
        store.release()
        all_done.wait(60)  # at the end of their thread, they close what is idle

    at_once(work, 4 * dialect.CONNECTIONS)

    assert 0 < opened[0] <= dialect.CONNECTIONS
    assert 4 * dialect.CONNECTIONS == Service.select().count()


def test_want_of_a_connection_is_told(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unavailable for writes, a database error for reads; as soon as one is given back, all goes on."""
    store.disconnect()
    be_patient(monkeypatch, 0.05)
    store.connect(database)
    held, done = threading.Barrier(dialect.CONNECTIONS + 1), threading.Event()

    def hold() -> None:
        Service.select().count()
        held.wait(60)
        done.wait(60)
        store.disconnect()

    threads = [threading.Thread(target=hold) for _ in range(dialect.CONNECTIONS)]
    for thread in threads:
        thread.start()
    held.wait(60)

    with pytest.raises(Unavailable, match="every connection is in use"):
        store.write(lambda: create("shop"))
    with pytest.raises(store.DatabaseError, match="every connection is in use"):
        Service.select().count()
    done.set()
    for thread in threads:
        thread.join()

    assert "shop" == store.write(lambda: create("shop")).name


def test_a_request_gives_its_connection_back(client: FlaskClient, auth: Auth) -> None:
    """At its end, whatever it was answered with."""
    headers = auth("viewer")
    for path, status in (("/readyz", 200), ("/api/v1/services", 200), ("/api/v1/services/none", 404)):
        assert status == client.get(path, headers=headers).status_code
        assert proxy.obj.is_closed()


def test_nothing_stays_open_before_a_fork(database: str, raw: Raw) -> None:
    """Two processes at one connection would garble what they say."""
    assert database
    at_once(lambda number: store.write(lambda: create(f"s{number}")), 3)
    assert "s0" == Service.get(Service.name == "s0").name

    store.disconnect()

    eventually(lambda: connections(raw) == 0, "the end of every connection")


# --- a server that goes away ---


def test_connections_cut_between_requests_are_not_noticed(client: FlaskClient, auth: Auth, raw: Raw) -> None:
    """Each is looked at before it is used."""
    headers = auth("viewer")
    assert 200 == client.get("/api/v1/services", headers=headers).status_code

    assert cut(raw) > 0

    assert 200 == client.get("/api/v1/services", headers=headers).status_code
    assert 200 == client.get("/readyz").status_code


@pytest.mark.usefixtures("database")
def test_a_write_that_is_cut_off_is_told_and_undone(raw: Raw) -> None:
    """Unavailable; the next one goes through."""

    def interrupted() -> None:
        create("first")
        cut(raw)
        create("second")

    with pytest.raises(Unavailable, match="try again"):
        store.write(interrupted)

    assert "third" == store.write(lambda: create("third")).name
    assert ["third"] == [row.name for row in Service.select()]


@pytest.mark.usefixtures("database")
def test_a_thread_whose_connection_was_cut_off_gets_another(raw: Raw) -> None:
    """The look that meets it fails; the next one works, though nobody gave the connection back."""
    assert 0 == Service.select().count()
    cut(raw)

    with pytest.raises(store.DatabaseError):
        Service.select().count()

    assert 0 == Service.select().count()
    assert 0 == store.read(lambda: Service.select().count())


def test_a_request_that_is_cut_off_is_told_to_come_again(
    client: FlaskClient, auth: Auth, raw: Raw, monkeypatch: pytest.MonkeyPatch
) -> None:
    """503 with Retry-After; the next one is answered."""
    headers = auth("viewer")
    with monkeypatch.context() as patch:
        patch.setattr("fastdeploy_bot.core.people.access.authorize", lambda *_args, **_more: cut(raw))
        refused = client.get("/api/v1/services", headers=headers)

    assert 503 == refused.status_code
    assert int(refused.headers["Retry-After"]) > 0
    assert 200 == client.get("/api/v1/services", headers=headers).status_code


def test_a_server_that_is_not_there_is_told_without_its_password(home: Any) -> None:
    """503 from what needs it; the process itself is well."""
    settings = Settings(
        home=home,
        database_url="postgresql://bot:hunter2@127.0.0.1:1/bot",
        secret_key=KEY,
        webhook_secrets=(WebhookSecret(SECRET),),
    )
    client = create_app(settings).test_client()

    answers = [client.get("/readyz"), client.get("/api/v1/services", headers=bearer("fdu_x"))]

    assert [503, 503] == [answer.status_code for answer in answers]
    assert "bot on 127.0.0.1" in answers[0].get_json()["detail"]
    assert not any("hunter2" in answer.text for answer in answers)
    assert 200 == client.get("/healthz").status_code
    store.disconnect()


def test_a_missing_driver_is_told_with_the_extra(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is tried."""
    monkeypatch.setattr(peewee, "psycopg", None)

    with pytest.raises(SettingsError, match=r"fastdeploy_bot\[postgres\]"):
        create_app(settings)


def test_the_url_may_say_how_to_connect(database: str) -> None:
    """Its parameters win over the bot's own."""
    store.disconnect()
    store.connect(f"{database}&application_name=other")

    assert "other" == proxy.obj.execute_sql("SHOW application_name").fetchone()[0]
