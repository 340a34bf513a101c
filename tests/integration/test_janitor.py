"""The janitor: one of a database at a time, some minutes after the start and then every hour; and old run folders."""

from __future__ import annotations

import logging
import os
import threading
from pathlib import Path
from typing import Any, Final

import pytest

from callers import on_sqlite
from fastdeploy_bot import store
from fastdeploy_bot.bell import Bell
from fastdeploy_bot.core import clock
from fastdeploy_bot.core.files.catalogue import Catalogue
from fastdeploy_bot.core.keeping import retention
from fastdeploy_bot.core.keeping.retention import Removed
from fastdeploy_bot.engine import janitor
from fastdeploy_bot.engine.duty import LEASE, Duty
from fastdeploy_bot.engine.engine import Engine
from fastdeploy_bot.engine.janitor import (
    LEFT_SECONDS,
    MIRROR_DAYS,
    REST,
    UNFINISHED_SECONDS,
    Janitor,
    remove_leftovers,
)
from fastdeploy_bot.runner import removal
from fastdeploy_bot.runner.checkout import Mirrors
from fastdeploy_bot.settings import Settings
from fastdeploy_bot.store.models import Audit, Deployment, Service

NOW: Final = 1_700_000_000_000
HOUR: Final = 3_600.0

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def runs(home: Path) -> Path:
    """The folder of the run folders."""
    folder = home / "runs"
    folder.mkdir()
    return folder


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        """As a timer."""
        return self.seconds

    @property
    def now(self) -> int:
        """In Unix milliseconds."""
        return NOW + int(self.seconds * clock.SECOND)

    def wait(self, seconds: float) -> None:
        """Let so many seconds pass."""
        self.seconds += seconds


@pytest.fixture
def time() -> Clock:
    """The time of all janitors."""
    return Clock()


@pytest.fixture
def make(home: Path, runs: Path, time: Clock) -> Any:
    """Makes the janitor of a host."""

    def call(host: str) -> Janitor:
        duty = Duty("janitor", lock=home / f"{host}.lock", host=host, guests={janitor.NOBODY: REST})
        mirrors = Mirrors(home / "mirrors", limit=1 << 30)
        return Janitor(duty, runs=runs, checkouts=home / "checkouts", mirrors=mirrors, days=90, timer=time)

    return call


def note(age: int) -> None:
    """A line of the audit that is so many days old."""
    facts = {"who": "anna", "action": "start", "object": "", "peer": ""}
    store.write(lambda: Audit.create(at=NOW - age * clock.DAY, **facts))


def lines() -> int:
    """How many lines of the audit there are."""
    return Audit.select().count()


def work(one: Janitor, time: Clock, *, most: int = 100) -> None:
    """Let a janitor work until it rests."""
    for _ in range(most):
        pause = one.tick(now=time.now)
        time.wait(min(pause, 1.0))
        if pause >= janitor.LOOK_SECONDS:
            return
    raise AssertionError("it never rested")


def test_old_rows_go_every_hour(make: Any, time: Clock) -> None:
    """And not again meanwhile."""
    one = make("web1")
    note(91)
    work(one, time)
    assert 0 == lines()
    note(91)

    work(one, time)
    assert 1 == lines()

    time.wait(REST / clock.SECOND)
    work(one, time)
    assert 0 == lines()


def test_one_host_looks_for_all(make: Any, time: Clock) -> None:
    """Whichever was first; the other one, and one that was started anew, rest with it."""
    first, second = make("web1"), make("web2")
    work(first, time)
    first.end()
    note(91)

    for one in (second, make("web1")):
        work(one, time)
        assert 1 == lines()

    time.wait(REST / clock.SECOND)
    work(second, time)
    assert 0 == lines()


def test_another_host_goes_on_where_one_died(make: Any, time: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """When its lease has run out."""
    monkeypatch.setattr("fastdeploy_bot.core.keeping.removing.WORK", 1)
    first, second = make("web1"), make("web2")
    for _ in range(3):
        note(91)
    while lines() == 3:
        first.tick(now=time.now)

    work(second, time)
    assert 2 == lines()

    time.wait(LEASE / clock.SECOND)
    work(second, time)
    assert 0 == lines()


def test_a_clock_that_was_set_back_does_not_prolong_its_rest(make: Any, time: Clock) -> None:
    """By no more than hosts may differ."""
    one = make("web1")
    time.wait(HOUR)
    work(one, time)
    note(91)

    time.wait(-HOUR)
    work(one, time)

    assert 0 == lines()


def test_it_pauses_after_each_write(make: Any, time: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four times as long as that took, so that others have the database most of the time."""
    one = make("web1")

    def slow(*_: object, **__: object) -> Any:
        for number in (1, 2):
            time.wait(0.5)
            yield Removed(audit=number)

    monkeypatch.setattr(retention, "prune", slow)

    assert [2.0, 2.0, janitor.LOOK_SECONDS] == [one.tick(now=NOW) for _ in range(3)]


def test_what_goes_wrong_is_tried_again(
    make: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A full disk, for example: it is said, and the thread lives on."""
    one = make("web1")
    note(91)
    stopping = threading.Event()
    pauses: list[float] = []

    def wait(seconds: float) -> bool:
        pauses.append(seconds)
        if len(pauses) == 2:
            patch.undo()
        return janitor.LOOK_SECONDS == pauses[-1] and len(pauses) > 2

    monkeypatch.setattr(stopping, "wait", wait)
    patch = pytest.MonkeyPatch()
    patch.setattr(retention, "prune", _dies)

    with caplog.at_level(logging.INFO):
        one.run(stopping)

    assert [janitor.FIRST_SECONDS, janitor.LOOK_SECONDS] == pauses[:2]
    assert ["the janitor failed; it tries again", "old rows removed"] == [each.message for each in caplog.records]
    assert 0 == lines()


def test_an_engine_has_one(settings: Settings, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the days of the settings."""
    done = threading.Event()
    monkeypatch.setattr(janitor, "FIRST_SECONDS", 0.0)
    monkeypatch.setattr(retention, "prune", lambda days, **_: done.set() if days == 90 else None)
    made = Engine(settings, Catalogue(settings.services_dir), Bell(home / "bell"))

    made.start()

    assert done.wait(40)
    made.stop()


def _dies(*_: object, **__: object) -> None:
    raise OSError("no space left")


# --- run folders


def leave(runs: Path, name: str, *, age: float) -> None:
    """Leave a run folder that was last changed `age` seconds ago."""
    (runs / name).mkdir()
    (runs / name / "log.0").write_text("output")
    then = NOW / clock.SECOND - age
    os.utime(runs / name, (then, then))


def running(run: str) -> None:
    """A deployment that runs in that folder."""
    service = Service.create(name="shop", repository="octo-org/shop", created=0)
    Deployment.create(
        service=service,
        state="running",
        origin="manual",
        sha="1" * 40,
        ref="refs/heads/main",
        repository="octo-org/shop",
        actor="anna",
        created=0,
        run=run,
    )


@on_sqlite
def test_old_run_folder_that_no_deployment_needs_is_taken_away(runs: Path) -> None:
    """A process that died between two steps must not fill the disk."""
    leave(runs, "1-old", age=LEFT_SECONDS + 1)

    remove_leftovers(runs, now=NOW)

    assert [] == os.listdir(runs)


@on_sqlite
@pytest.mark.parametrize("name", ["next-1", "old-next-1"])
def test_run_folder_is_out_of_the_way_before_anything_in_it_is_taken(
    runs: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """An engine may come to use it just then, and a run that lacks a file is lost; what was left half way goes, too."""
    found: list[tuple[bool, list[str]]] = []
    monkeypatch.setattr(removal, "remove", lambda path: found.append(((runs / "next-1").exists(), os.listdir(path))))
    leave(runs, name, age=LEFT_SECONDS + 1)

    remove_leftovers(runs, now=NOW)

    assert [(False, ["log.0"])] == found
    assert ["old-next-1"] == os.listdir(runs)


@on_sqlite
def test_run_folder_of_a_running_deployment_stays(runs: Path) -> None:
    """However old it is: a script may run for days."""
    leave(runs, "1-old", age=10 * LEFT_SECONDS)
    running("1-old")

    remove_leftovers(runs, now=NOW)

    assert ["1-old"] == os.listdir(runs)


@on_sqlite
def test_fresh_run_folder_stays(runs: Path) -> None:
    """Another engine may be about to claim its deployment."""
    leave(runs, "1-new", age=LEFT_SECONDS - 1)

    remove_leftovers(runs, now=NOW)

    assert ["1-new"] == os.listdir(runs)


@on_sqlite
def test_run_folder_that_another_engine_takes_away_first_is_no_fault(runs: Path) -> None:
    """Two engines that start together find the same leftovers; a link to nowhere looks as such a folder does."""
    (runs / "1-gone").symlink_to("nowhere")
    leave(runs, "2-old", age=LEFT_SECONDS + 1)

    remove_leftovers(runs, now=NOW)

    assert ["1-gone"] == os.listdir(runs)


@on_sqlite
def test_each_host_looks_after_its_own_folders(make: Any, runs: Path, time: Clock) -> None:
    """Every hour, whoever looks after the rows."""
    first, second = make("web1"), make("web2")
    work(first, time)
    leave(runs, "1-old", age=LEFT_SECONDS + 1)

    second.tick(now=time.now)
    assert [] == os.listdir(runs)

    leave(runs, "2-old", age=LEFT_SECONDS + 1)
    second.tick(now=time.now)
    assert ["2-old"] == os.listdir(runs)

    time.wait(REST / clock.SECOND)
    second.tick(now=time.now)
    assert [] == os.listdir(runs)


@on_sqlite
def test_checkouts_that_never_began_go(make: Any, home: Path, time: Clock) -> None:
    """Those that are being made stay."""
    checkouts = home / "checkouts"
    checkouts.mkdir()
    leave(checkouts, "1-old", age=UNFINISHED_SECONDS + 1)
    leave(checkouts, "2-new", age=UNFINISHED_SECONDS - 60)

    make("web1").tick(now=time.now)

    assert ["2-new"] == os.listdir(checkouts)


@on_sqlite
def test_mirrors_that_nobody_used_for_long_go(make: Any, home: Path, time: Clock) -> None:
    """One that was used yesterday stays."""
    (home / "mirrors").mkdir()
    for name, days in (("octo-org+old.git", MIRROR_DAYS + 1), ("octo-org+shop.git", 1)):
        leave(home / "mirrors", name, age=0)
        moment = (NOW - days * clock.DAY) / clock.SECOND
        (home / "mirrors" / name / "used").touch()
        os.utime(home / "mirrors" / name / "used", (moment, moment))

    make("web1").tick(now=time.now)

    assert ["octo-org+shop.git"] == [path.name for path in (home / "mirrors").glob("*.git")]


@on_sqlite
def test_read_only_folders_in_a_left_run_go_as_well(runs: Path) -> None:
    """As some tools make them for what they download."""
    leave(runs, "1-old", age=LEFT_SECONDS + 1)
    deep = runs / "1-old" / "checkout" / "cache"
    deep.mkdir(parents=True)
    (deep / "file").touch()
    deep.chmod(0o500)
    os.utime(runs / "1-old", (0, 0))

    remove_leftovers(runs, now=NOW)

    assert [] == os.listdir(runs)
