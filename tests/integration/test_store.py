"""The store: rows that are on disk when it says so, and a schema that is applied once."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import peewee
import pytest
from peewee import BlobField, BooleanField, TextField

from callers import at_once, be_patient, on_sqlite
from databases import Raw, Server
from fastdeploy_bot import facts, store
from fastdeploy_bot.errors import SettingsError, Unavailable
from fastdeploy_bot.store import database, models, postgres, sqlite
from fastdeploy_bot.store.models import Attempt, Delivery, Service, proxy
from runs import eventually

MODELS = models._Row.__subclasses__()
"""Every table's model."""
ROOT = Path(__file__).resolve().parents[2]
MIGRATE = "import sys; from fastdeploy_bot import store; store.connect(sys.argv[1]); print(*store.migrate())"


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database that nothing is in yet."""
    server: Server | None = request.getfixturevalue("postgres") if request.param == "postgresql" else None
    yield f"sqlite:///{tmp_path / 'fresh.db'}" if server is None else server.empty()
    if proxy.obj is not None:
        store.disconnect()


def create(name: str) -> Service:
    """A row."""
    return Service.create(name=name, repository="octo-org/shop", created=1)


# --- writing ---


@on_sqlite
@pytest.mark.parametrize(
    ("pragma", "value"),
    [
        ("journal_mode", "wal"),
        ("synchronous", 2),
        ("foreign_keys", 1),
        ("journal_size_limit", 64 << 20),
        ("cache_size", -512),
        ("temp_store", 2),
    ],
)
def test_every_connection_is_set_up_to_keep_what_it_commits(database_url: str, pragma: str, value: object) -> None:
    """WAL and FULL, and a small cache, in the first thread's connection and in every other one's."""
    store.connect(database_url)

    def read(_number: int) -> object:
        return proxy.obj.execute_sql(f"PRAGMA {pragma}").fetchone()[0]

    assert [value] * 3 == [read(0), *at_once(read, 2)]
    store.disconnect()


@pytest.mark.usefixtures("database")
def test_a_write_is_there_for_everybody_when_it_returns(raw: Raw) -> None:
    """Committed, and answered with what the function answered."""
    row = store.write(lambda: create("shop"))

    assert [(row.id, "shop")] == raw.execute("SELECT id, name FROM service")


@pytest.mark.usefixtures("database")
def test_a_write_that_raises_leaves_nothing(raw: Raw) -> None:
    """All of it or none of it; the error comes out as it is."""

    def half() -> None:
        create("shop")
        raise KeyError("oops")

    with pytest.raises(KeyError, match="oops"):
        store.write(half)

    assert [] == raw.execute("SELECT * FROM service")
    assert "next" == store.write(lambda: create("next")).name


@pytest.mark.usefixtures("database")
def test_writes_from_many_threads_all_arrive() -> None:
    """Each one after the other: what one reads and writes cannot be changed between the two."""
    store.write(lambda: create("0"))

    def increase(_number: int) -> None:
        def add() -> None:
            row = Service.get()
            row.name = str(int(row.name) + 1)
            row.save()

        for _ in range(5):
            store.write(add)

    at_once(increase, 8)

    assert "40" == Service.get().name


@pytest.mark.usefixtures("database")
def test_a_writer_waits_for_another_program(raw: Raw) -> None:
    """A backup or a command may hold the lock for a moment."""
    raw.begin_writing()
    raw.execute("INSERT INTO service (name, repository, problem, created) VALUES ('first', '', '', 1)")

    def act(number: int) -> None:
        if number == 0:
            store.write(lambda: create("second"))
        else:
            raw.execute("COMMIT")

    at_once(act, 2)

    assert ["first", "second"] == [row.name for row in Service.select().order_by(Service.id)]


@pytest.mark.usefixtures("database")
def test_readers_go_on_beside_a_writer(raw: Raw) -> None:
    """A read waits for nobody, and sees what was committed."""
    store.write(lambda: create("shop"))
    raw.begin_writing()
    raw.execute("UPDATE service SET name = 'changed'")

    assert "shop" == Service.get().name
    raw.execute("ROLLBACK")


# --- putting off ---


@pytest.mark.usefixtures("database")
def test_what_is_put_off_is_written_when_one_of_its_answers_is_asked_for(raw: Raw) -> None:
    """All of it, in its order, in one commit; and what is to come then comes once."""
    rung: list[int] = []

    def ring() -> None:
        rung.append(len(raw.execute("SELECT * FROM service")))

    put_off = [store.later(partial(create, name), ring) for name in ("first", "second", "third")]
    before = raw.execute("SELECT * FROM service")
    last = put_off[2].answer().id

    assert [] == before
    assert [3] == rung
    assert [("first",), ("second",), ("third",)] == raw.execute("SELECT name FROM service ORDER BY id")
    assert [last - 2, last - 1, last] == [each.answer().id for each in put_off]
    assert [3] == rung


@pytest.mark.usefixtures("database")
def test_what_is_put_off_and_raises_undoes_nothing_else(raw: Raw) -> None:
    """Whoever put it off is told; a write that is not put off waits for none that is."""
    first, wrong, second = store.later(partial(create, "first")), store.later(refuse), store.later(lambda: create("2"))
    store.write(lambda: create("at once"))

    with pytest.raises(KeyError, match="oops"):
        wrong.answer()

    assert "first" == first.answer().name
    assert "2" == second.answer().name
    assert [("at once",), ("first",), ("2",)] == raw.execute("SELECT name FROM service ORDER BY id")


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize(("wrong", "transactions"), [((), 1), ((3,), 4), ((0,), 3), ((9,), 3), ((3, 7), 7)], ids=str)
def test_what_is_put_off_and_raises_costs_the_others_few_transactions(
    raw: Raw, monkeypatch: pytest.MonkeyPatch, wrong: Sequence[int], transactions: int
) -> None:
    """All before it have one, and all behind it: a script that is refused again and again slows down no webhook."""
    begun, dialect = list[float](), database._dialect()
    writing = dialect.writing

    def count_and_write(base: object, seconds: float) -> Any:
        begun.append(seconds)
        return writing(base, seconds)

    monkeypatch.setattr(dialect, "writing", count_and_write)
    put_off = [store.later(refuse if number in wrong else partial(create, f"{number}")) for number in range(10)]

    told = [_told(each.answer) for each in put_off]

    assert list(wrong) == [number for number, each in enumerate(told) if isinstance(each, KeyError)]
    assert [(f"{n}",) for n in range(10) if n not in wrong] == raw.execute("SELECT name FROM service ORDER BY id")
    assert transactions == len(begun)


@pytest.mark.usefixtures("database")
def test_what_was_put_off_can_be_forgotten_until_it_is_written(raw: Raw) -> None:
    """After that, to forget it changes nothing."""
    forgotten, kept = store.later(partial(create, "forgotten")), store.later(partial(create, "kept"))

    forgotten.forget()
    kept.answer()
    kept.forget()

    assert [("kept",)] == raw.execute("SELECT name FROM service")
    with pytest.raises(Unavailable):
        forgotten.answer()


@pytest.mark.usefixtures("database")
def test_what_was_put_off_for_another_database_is_not_written(database_url: str, raw: Raw) -> None:
    """It would be found among what others asked for."""
    store.later(lambda: create("meant for another one"))
    store.connect(database_url)

    store.later(lambda: create("shop")).answer()

    assert [("shop",)] == raw.execute("SELECT name FROM service")


def test_every_thread_puts_off_for_itself(raw: Raw) -> None:
    """To ask for an answer writes nothing of another thread's."""
    mine = store.later(partial(create, "mine"))

    at_once(lambda _: store.later(partial(create, "other's")).answer(), 1)

    assert [("other's",)] == raw.execute("SELECT name FROM service")
    assert "mine" == mine.answer().name


# --- sharing a commit ---


class Line:
    """Writers in a line: the first one waits for another program, the others wait behind it."""

    def __init__(self, raw: Raw, monkeypatch: pytest.MonkeyPatch) -> None:
        self._raw = raw
        self.lots: list[int] = []
        """How many writes were in each transaction, in their order."""
        work = database._writers._work

        def count_and_work(parts: Sequence[Any]) -> None:
            self.lots.append(len(parts))
            work(parts)

        monkeypatch.setattr(database._writers, "_work", count_and_work)

    def run(self, *writes: Callable[[], object]) -> list[object]:
        """What they answer or raise, in the order of the line; those behind the first one share a commit."""
        return self.ask(*(partial(store.write, fn) for fn in writes))

    def ask(self, *asks: Callable[[], object]) -> list[object]:
        """The same of what has something written."""
        self._raw.begin_writing()
        with ThreadPoolExecutor(len(asks)) as pool:
            answers = []
            for number, ask in enumerate(asks):
                answers.append(pool.submit(_told, ask))
                eventually(partial(self._stands, number), "in the line")
            self._raw.execute("COMMIT")
        return [answer.result() for answer in answers]

    def _stands(self, number: int) -> bool:
        return self.lots == [1] and len(database._writers._waiting) == number


def _told(ask: Callable[[], object]) -> object:
    """What a thread of its own is answered, or the error it gets."""
    try:
        return ask()
    except (KeyError, Unavailable) as error:
        return error
    finally:
        store.disconnect()


@pytest.fixture
def line(raw: Raw, monkeypatch: pytest.MonkeyPatch) -> Line:
    """Makes writers wait in a line."""
    return Line(raw, monkeypatch)


def refuse() -> None:
    """Write a row, and think better of it."""
    create("refused")
    raise KeyError("oops")


def test_writes_that_wait_share_a_commit(line: Line, raw: Raw) -> None:
    """In the order in which they came; each is answered what its own function answered."""
    names = [f"s{number}" for number in range(8)]

    rows = line.run(*(partial(create, name) for name in names))

    assert [1, 7] == line.lots
    assert [(getattr(row, "id", None), name) for row, name in zip(rows, names, strict=True)] == raw.execute(
        "SELECT id, name FROM service ORDER BY id"
    )


def test_a_write_that_raises_undoes_none_that_shared_its_commit(line: Line) -> None:
    """Those before it and those behind it are written and answered; it has its own error, and leaves nothing."""
    answers = line.run(*(partial(create, name) for name in ("first", "before")), refuse, partial(create, "behind"))

    assert ["Service", "Service", "KeyError", "Service"] == [type(answer).__name__ for answer in answers]
    assert ["first", "before", "behind"] == [row.name for row in Service.select().order_by(Service.id)]


def test_nothing_of_a_shared_commit_is_answered_before_it_is_made(line: Line, raw: Raw) -> None:
    """What another program sees when a write is answered has all of the lot in it."""
    seen: list[list[tuple[int]]] = []

    def write(name: str) -> Callable[[], object]:
        def create_and_look() -> None:
            create(name)
            if name == "last":
                seen.append(raw.execute("SELECT count(*) FROM service"))

        return create_and_look

    line.run(write("first"), write("second"), write("last"))

    assert [[(1,)]] == seen
    assert [(3,)] == raw.execute("SELECT count(*) FROM service")


def test_what_is_wanted_at_the_end_of_a_write_is_done_in_its_place(line: Line) -> None:
    """At the end of each function, so that events stand in the order of the writes; who follows is woken once a lot."""
    told, rings = list[str](), list[int]()

    def write(number: int) -> None:
        told.append(f"write {number}")
        for what in ("feed", "feed", "log"):
            store.at_end((what, number), partial(told.append, f"{what} {number}"))

    store.when_changed(lambda: rings.append(len(told)))
    try:
        line.run(*(partial(write, number) for number in range(3)))
    finally:
        store.when_changed(None)

    assert [f"{what} {number}" for number in range(3) for what in ("write", "feed", "log")] == told
    assert [3, 9] == rings


def test_a_write_runs_in_the_context_of_who_asked(line: Line) -> None:
    """What is logged meanwhile carries the facts of its own request, whichever thread does the work."""

    def ask(number: int) -> object:
        with facts.about(request=number):
            return store.write(lambda: facts.of(logging.makeLogRecord({}))["request"])

    assert [0, 1, 2] == line.ask(*(partial(ask, number) for number in range(3)))


def test_a_database_that_fails_one_write_fails_no_other(line: Line) -> None:
    """A disk may be too full for one and have room for the next."""

    def too_large() -> None:
        create("too large")
        raise peewee.OperationalError("database or disk is full")

    answers = line.run(*(partial(create, name) for name in ("first", "before")), too_large, partial(create, "behind"))

    assert ["Service", "Service", "StoreUnavailable", "Service"] == [type(answer).__name__ for answer in answers]
    assert "disk is full" in str(answers[2])
    assert ["first", "before", "behind"] == [row.name for row in Service.select().order_by(Service.id)]


def test_a_database_that_is_away_is_told_to_all_who_wait(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """After one try: to wait for it once for each of them would take minutes. Nobody is told another's very error."""
    tries = []

    def away(_base: object, _seconds: float) -> None:
        tries.append(1)
        raise peewee.OperationalError("gone")

    answers = line.run(
        lambda: monkeypatch.setattr(database._dialect(), "writing", away),
        *(partial(create, name) for name in ("one", "two")),
    )

    assert ["NoneType", "StoreUnavailable", "StoreUnavailable"] == [type(answer).__name__ for answer in answers]
    assert answers[1] is not answers[2]
    assert [1] == tries


def test_a_lot_that_falls_apart_waits_for_the_lock_but_once_more(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where another program has taken it in between: each part by itself would wait for as long again."""
    writing, tries = database._dialect().writing, list[float]()

    @contextmanager
    def have_it_once(base: Any, seconds: float) -> Iterator[None]:
        tries.append(seconds)
        if len(tries) > 1:
            raise peewee.OperationalError("database is locked")
        with writing(base, seconds):
            yield

    answers = line.run(
        lambda: monkeypatch.setattr(database._dialect(), "writing", have_it_once),
        *(partial(create, "one"), refuse, partial(create, "two")),
    )

    assert ["NoneType", *["StoreUnavailable"] * 3] == [type(answer).__name__ for answer in answers]
    assert 2 == len(tries)
    assert [] == list(Service.select())


def test_a_write_that_has_waited_for_its_turn_waits_the_less_for_the_lock(
    database_url: str, raw: Raw, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In all no longer than one that came first, and a moment."""
    store.disconnect()
    be_patient(monkeypatch, 1.0)
    store.connect(database_url)
    writing, waits = database._dialect().writing, list[float]()

    @contextmanager
    def note(base: Any, seconds: float) -> Iterator[None]:
        waits.append(seconds)
        with writing(base, seconds):
            yield

    monkeypatch.setattr(database._dialect(), "writing", note)
    raw.begin_writing()
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(_told, partial(store.write, partial(create, "first")))
        eventually(lambda: 1 == len(waits), "waiting")
        second = pool.submit(_told, partial(store.write, partial(create, "second")))
        eventually(lambda: 1 == len(database._writers._waiting), "in the line")
    raw.execute("ROLLBACK")

    assert ["StoreUnavailable"] * 2 == [type(each.result()).__name__ for each in (first, second)]
    assert [1.0, database.MOMENT] == pytest.approx([waits[0], *(waits[1:] or [database.MOMENT])], abs=0.2)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
@pytest.mark.parametrize("made", [True, False])
def test_a_commit_that_may_have_been_made_is_not_made_again(
    line: Line, monkeypatch: pytest.MonkeyPatch, made: bool
) -> None:
    """Where the connection breaks at the commit, nobody knows: all who share it are told to look, and to try again."""
    writing, broken = postgres.writing, list[str]()

    @contextmanager
    def break_once(base: Any, seconds: float) -> Iterator[None]:
        with writing(base, seconds):
            yield
            if not made:
                base.rollback()
        if not broken:
            broken.append("the connection")
            base.connection().close()
            raise peewee.OperationalError("server closed the connection unexpectedly")

    answers = line.run(
        lambda: monkeypatch.setattr(postgres, "writing", break_once),
        *(partial(Attempt.create, key=key, at=1) for key in ("one", "two")),
    )

    assert ["NoneType", "StoreUnavailable", "StoreUnavailable"] == [type(answer).__name__ for answer in answers]
    assert "it may have been made" in str(answers[1])
    assert (["one", "two"] if made else []) == [row.key for row in Attempt.select().order_by(Attempt.id)]


@on_sqlite
def test_the_write_ahead_log_is_cut_after_a_long_look(database: str, raw: Raw, monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as somebody reads, what is written beside it piles up; the disk gets it back afterwards."""
    monkeypatch.setitem(sqlite.PRAGMAS, "journal_size_limit", 1 << 20)
    store.disconnect()
    store.connect(database)
    file = Path(f"{database.removeprefix('sqlite:///')}-wal")

    def write(letter: str) -> None:
        store.write(lambda: Service.update(repository=letter * (3 << 20)).execute())

    store.write(lambda: create("shop"))
    raw.execute("BEGIN")
    raw.execute("SELECT * FROM service")
    write("a")
    write("b")
    piled_up = file.stat().st_size
    raw.execute("COMMIT")
    write("c")
    store.write(lambda: create("next"))

    assert 6 << 20 < piled_up
    assert 1 << 20 >= file.stat().st_size


def test_a_lock_that_is_held_for_long_is_told(raw: Raw, database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unavailable: the caller may try again; nothing was written."""
    store.disconnect()
    be_patient(monkeypatch, 0.05)
    store.connect(database)
    raw.begin_writing()

    with pytest.raises(Unavailable, match="try again"):
        store.write(lambda: create("shop"))

    raw.execute("ROLLBACK")
    assert [] == raw.execute("SELECT * FROM service")


@on_sqlite
def test_a_database_that_may_only_be_read_is_told(database: str) -> None:
    """Unavailable for writes, while reads go on."""
    store.disconnect()
    store.connect(database)
    proxy.obj.execute_sql("PRAGMA query_only = 1")

    with pytest.raises(Unavailable, match="readonly"):
        store.write(lambda: create("shop"))

    assert [] == list(Service.select())


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    """Unavailable, for writing as well as for looking at the schema."""
    store.connect(f"sqlite:///{tmp_path / 'none' / 'fastdeploy.db'}")

    with pytest.raises(Unavailable):
        store.write(lambda: None)
    with pytest.raises(Unavailable):
        store.pending()


def test_a_thread_that_is_to_write_much_keeps_more_pages_once_there_is_a_database(tmp_path: Path) -> None:
    """Nothing is opened before: what is away then may be there when it is needed."""
    store.connect(f"sqlite:///{tmp_path / 'late' / 'fastdeploy.db'}")

    def pages() -> int:
        store.expect_writes()
        with pytest.raises(Unavailable):
            store.write(lambda: None)
        (tmp_path / "late").mkdir()
        store.write(lambda: None)
        return int(proxy.obj.execute_sql("PRAGMA cache_size").fetchone()[0])

    with ThreadPoolExecutor() as threads:
        assert sqlite.WRITERS_CACHE == threads.submit(pages).result()
    assert sqlite.PRAGMAS["cache_size"] == proxy.obj.execute_sql("PRAGMA cache_size").fetchone()[0]


@pytest.mark.parametrize("url", ["mysql://user:hunter2@host/db", "fastdeploy.db", ""])
def test_another_kind_of_database_is_refused_without_its_password(url: str) -> None:
    """What is not built is an error that says what is expected."""
    with pytest.raises(SettingsError, match="database_url") as caught:
        store.connect(url)

    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: str(model.__name__))
def test_an_id_is_never_used_again(model: type[models.Service], raw: Raw) -> None:
    """Also when the newest row is gone: links and tokens that name it mean nothing else from then on."""
    raw.forget_references()
    first = insert(raw, model)
    raw.execute(f'DELETE FROM "{model._meta.table_name}"')  # noqa: S608 - our own tables

    assert first + 1 == insert(raw, model)


def insert(raw: Raw, model: type[models.Service]) -> int:
    """Insert a row with something in each column that needs it; answers its id."""
    samples = {TextField: "x", BlobField: b"x", BooleanField: True}
    needed = {
        field.column_name: next((sample for kind, sample in samples.items() if isinstance(field, kind)), 1)
        for field in model._meta.sorted_fields[1:]
        if not field.null
    }
    names, marks = ", ".join(f'"{name}"' for name in needed), ", ".join("?" * len(needed))
    query = f'INSERT INTO "{model._meta.table_name}" ({names}) VALUES ({marks}) RETURNING id'  # noqa: S608
    return int(raw.execute(query, *needed.values())[0][0])


# --- the schema ---


def test_a_fresh_database_is_brought_up_to_date_once(url: str) -> None:
    """The second time there is nothing to do."""
    store.connect(url)

    assert ["0001_initial"] == store.pending()[:1]
    applied = store.migrate()
    assert applied[0] == "0001_initial"
    assert [] == store.pending()
    assert [] == store.migrate()
    store.check()


def test_rows_of_the_version_before_are_taken_along(url: str) -> None:
    """Each service knows its newest push, stale ones aside and where one was told; what nobody noted is not made up."""
    store.connect(url)
    database._runner().up("0005_github")
    raw = Raw(url)
    for name in ("shop", "blog", "idle"):
        raw.execute("INSERT INTO service (name, repository, problem, created) VALUES (?, 'octo-org/shop', '', 1)", name)
    told: list[tuple[str, int | None, str]] = [("shop", 10, "deploy"), ("shop", 30, "ignore"), ("shop", 20, "deploy")]
    told += [("shop", None, "wait"), ("shop", 40, "stale"), ("shop", 50, "refused"), ("blog", None, "deploy")]
    for number, (name, pushed_at, verdict) in enumerate(told, start=1):
        raw.execute(
            "INSERT INTO delivery (guid, event, pushed_at, reason, peer, headers, received) "
            "VALUES (?, 'push', ?, '', '', '', 1)",
            *(f"g-{number}", pushed_at),
        )
        raw.execute(
            "INSERT INTO verdict (delivery_id, service_id, verdict, reason, counts, decided) "
            "SELECT delivery.id, service.id, ?, '', ?, 1 FROM delivery, service WHERE guid = ? AND name = ?",
            *(verdict, verdict != "refused", f"g-{number}", name),
        )
    raw.close()

    assert ["0006_page", "0007_newest_first"] == store.migrate()

    assert {"shop": 2, "blog": 7, "idle": None} == {row.name: row.newest for row in Service.select()}
    assert {(None, None)} == {(row.size, row.commits) for row in Delivery.select()}


def test_processes_that_migrate_at_once_apply_it_once(url: str) -> None:
    """Under a lock: one applies it, the others wait and find it done."""
    environ = os.environ | {"PYTHONPATH": str(ROOT)}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", MIGRATE, url], env=environ, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        for _ in range(4)
    ]
    outputs = [process.communicate(timeout=100) for process in processes]

    assert [0] * 4 == [process.returncode for process in processes], outputs
    assert 1 == sum("0001_initial" in output for output, _ in outputs)
    store.connect(url)
    store.check()


def test_a_schema_that_is_too_old_is_told(url: str) -> None:
    """Unavailable, with the command that mends it."""
    store.connect(url)

    with pytest.raises(Unavailable, match="fastdeploy migrate"):
        store.check()


def test_a_schema_of_a_newer_version_is_refused(raw: Raw) -> None:
    """Nothing is changed in it: its version knows more than this one."""
    raw.execute("UPDATE schema_migration SET name = '9999_later' WHERE name = '0001_initial'")
    try:
        for act in (store.pending, store.migrate, store.check):
            with pytest.raises(Unavailable, match="9999_later"):
                act()
    finally:
        raw.execute("UPDATE schema_migration SET name = '0001_initial' WHERE name = '9999_later'")


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize("model", MODELS, ids=lambda model: str(model.__name__))
def test_the_schema_is_what_the_models_say(model: type[models.Service]) -> None:
    """Every column by its name, and null only where both say so."""
    expected = {field.column_name: field.null for field in model._meta.sorted_fields if field.column_name != "id"}

    columns = proxy.obj.get_columns(model._meta.table_name)

    assert expected == {column.name: column.null for column in columns if column.name != "id"}


@pytest.mark.usefixtures("database")
def test_every_table_has_a_model() -> None:
    """And nothing else is in the schema but its history."""
    known = {model._meta.table_name for model in MODELS}

    assert known | {"schema_migration"} == {name for name in proxy.obj.get_tables() if not name.startswith("sqlite_")}


def test_a_migration_that_fails_leaves_nothing_half_done(
    url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What it had made is undone, and the next attempt starts anew."""
    folder = tmp_path / "migrations"
    folder.mkdir()
    good = folder / "0001_initial.py"
    good.write_text('def up(_, database):\n    database.execute_sql("CREATE TABLE one (id INTEGER)")\n')
    bad = folder / "0002_bad.py"
    bad.write_text(
        "def up(_, database):\n"
        '    database.execute_sql("CREATE TABLE two (id INTEGER)")\n'
        '    database.execute_sql("CREATE TABLE one (id INTEGER)")\n'
    )
    monkeypatch.setattr(store.database, "MIGRATIONS", folder)
    store.connect(url)

    with pytest.raises(Unavailable):
        store.migrate()

    assert ["0002_bad"] == store.pending()
    assert "one" in proxy.obj.get_tables()
    assert "two" not in proxy.obj.get_tables()


# --- prepared queries ---


@pytest.mark.usefixtures("database")
def test_a_prepared_query_answers_what_its_expression_answers() -> None:
    """Whole rows, in order, with values of their fields' types; and again with other values."""
    query = store.Prepared[Service](lambda name: Service.select().where(Service.name != name).order_by(Service.id))
    store.write(lambda: [create(name) for name in ("shop", "blog", "docs")])
    rows = [row.__data__ for row in Service.select().order_by(Service.id)]

    assert rows[1:] == [row.__data__ for row in query.all("shop")]
    assert rows[:2] == [row.__data__ for row in query.all("docs")]
    assert rows[0] == getattr(query.first("blog"), "__data__", None)


@pytest.mark.usefixtures("database")
def test_a_prepared_query_tells_that_there_is_nothing_and_how_much_it_changed() -> None:
    """No row is None, and a change counts its rows."""
    rename = store.Prepared[Service](lambda new, old: Service.update(name=new).where(Service.name == old))
    named = store.Prepared[Service](lambda name: Service.select().where(Service.name == name))
    store.write(lambda: create("shop"))

    assert (0, 1) == store.write(lambda: (rename.run("blog", "docs"), rename.run("blog", "shop")))
    assert named.first("shop") is None
    assert "blog" == getattr(named.first("blog"), "name", None)


@pytest.mark.usefixtures("database")
def test_a_prepared_insert_answers_the_row_as_it_is_kept() -> None:
    """With its id and the model's defaults; a NUL, which not every engine takes, becomes what stands for it."""
    insert = store.Insert(Service, "name", "repository", "created")

    made = store.write(lambda: insert.run(name="sh\0op", repository="octo-org/shop", created=7))

    kept = Service.get_by_id(made.id)
    assert ("sh\N{REPLACEMENT CHARACTER}op", "octo-org/shop", 7, "") == (
        kept.name,
        kept.repository,
        kept.created,
        made.problem,
    )


@pytest.mark.usefixtures("database")
def test_a_prepared_insert_makes_no_row_where_a_unique_value_is_taken() -> None:
    """Then it says so, and nothing has changed; the id alone is had where nobody needs the row."""
    insert = store.Insert(Service, "name", "repository", "created")
    made = store.write(lambda: insert.run_if_new(name="shop", repository="octo-org/shop", created=7))

    assert store.write(lambda: insert.run_if_new(name="shop", repository="octo-org/other", created=8)) is None
    number = store.write(lambda: insert.number(name="blog", repository="octo-org/blog", created=9))

    assert [(made and made.id, "octo-org/shop"), (number, "octo-org/blog")] == [
        (row.id, row.repository) for row in Service.select().order_by(Service.id)
    ]


@pytest.mark.usefixtures("database")
def test_what_the_driver_refuses_is_raised_as_peewee_names_it() -> None:
    """On each engine, and by queries that were prepared as by others."""
    insert = store.Insert(Service, "name", "repository", "created")
    store.write(lambda: create("shop"))

    with pytest.raises(peewee.IntegrityError):
        store.write(lambda: insert.run(name="shop", repository="octo-org/shop", created=7))
    with pytest.raises(peewee.IntegrityError):
        store.write(lambda: create("shop"))


def test_a_prepared_query_is_made_anew_for_another_engine(postgres: Server, tmp_path: Path) -> None:
    """Each engine writes places for values in its own way."""
    query = store.Prepared[Service](lambda name: Service.select().where(Service.name == name))
    seen = []
    for url in (f"sqlite:///{tmp_path / 'one.db'}", postgres.empty()):
        store.connect(url)
        store.migrate()
        store.write(lambda: create("shop"))
        seen.append(getattr(query.first("shop"), "name", None))
        store.disconnect()

    assert ["shop", "shop"] == seen
