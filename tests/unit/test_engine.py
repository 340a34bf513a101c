"""The engine's housekeeping: the host's name, and run folders that nobody needs."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fastdeploy_bot import store
from fastdeploy_bot.bell import Bell
from fastdeploy_bot.core.catalogue import Catalogue
from fastdeploy_bot.engine import engine
from fastdeploy_bot.engine.engine import LEFT_SECONDS, Engine, host_id, remove_leftovers
from fastdeploy_bot.settings import Settings
from fastdeploy_bot.store.models import Deployment, Service

NOW = 1_700_000_000.0


@pytest.fixture
def database(tmp_path: Path) -> Iterator[None]:
    """An empty database."""
    store.connect(f"sqlite:///{tmp_path / 'fastdeploy.db'}")
    store.migrate()
    yield
    store.disconnect()


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """The folder of the run folders."""
    folder = tmp_path / "runs"
    folder.mkdir()
    return folder


def leave(runs: Path, name: str, *, age: float) -> None:
    """Leave a run folder that was last changed `age` seconds ago."""
    (runs / name).mkdir()
    (runs / name / "log.0").write_text("output")
    os.utime(runs / name, (NOW - age, NOW - age))


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


# --- the host's name ---


def test_host_keeps_its_name(tmp_path: Path) -> None:
    """Made once; what runs under it is found again after a restart."""
    first = host_id(tmp_path)

    assert 32 == len(first)
    assert first == host_id(tmp_path)
    assert ["host-id"] == os.listdir(tmp_path)


def test_engines_that_start_together_agree_on_the_name(tmp_path: Path) -> None:
    """No engine sees the file before the name stands in it."""
    start = threading.Barrier(8)

    def name(_: int) -> str:
        start.wait()
        return host_id(tmp_path)

    with ThreadPoolExecutor(8) as pool:
        names = set(pool.map(name, range(8)))

    assert 1 == len(names)
    assert names != {""}


def test_name_is_whole_before_it_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that dies while it makes the name leaves none behind that another would take."""
    with monkeypatch.context() as dying:
        dying.setattr(os, "fsync", _dies)
        with pytest.raises(OSError, match="power cut"):
            host_id(tmp_path)

    assert not (tmp_path / "host-id").exists()
    assert 32 == len(host_id(tmp_path))
    assert ["host-id"] == os.listdir(tmp_path)


def _dies(*_: object, **__: object) -> None:
    raise OSError("power cut")


# --- leftovers ---


@pytest.mark.usefixtures("database")
def test_old_run_folder_that_no_deployment_needs_is_taken_away(runs: Path) -> None:
    """A process that died between two steps must not fill the disk."""
    leave(runs, "1-old", age=LEFT_SECONDS + 1)

    remove_leftovers(runs, now=NOW)

    assert [] == os.listdir(runs)


@pytest.mark.usefixtures("database")
def test_run_folder_of_a_running_deployment_stays(runs: Path) -> None:
    """However old it is: a script may run for days."""
    leave(runs, "1-old", age=10 * LEFT_SECONDS)
    running("1-old")

    remove_leftovers(runs, now=NOW)

    assert ["1-old"] == os.listdir(runs)


@pytest.mark.usefixtures("database")
def test_fresh_run_folder_stays(runs: Path) -> None:
    """Another engine may be about to claim its deployment."""
    leave(runs, "1-new", age=LEFT_SECONDS - 1)

    remove_leftovers(runs, now=NOW)

    assert ["1-new"] == os.listdir(runs)


@pytest.mark.usefixtures("database")
def test_run_folder_that_another_engine_takes_away_first_is_no_fault(runs: Path) -> None:
    """Two engines that start together find the same leftovers; a link to nowhere looks as such a folder does."""
    (runs / "1-gone").symlink_to("nowhere")
    leave(runs, "2-old", age=LEFT_SECONDS + 1)

    remove_leftovers(runs, now=NOW)

    assert ["1-gone"] == os.listdir(runs)


@pytest.mark.usefixtures("database")
def test_fault_while_tidying_up_does_not_stop_the_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Deployments begin all the same."""
    ticked = threading.Event()
    monkeypatch.setattr(engine, "remove_leftovers", _dies)
    settings = Settings(home=tmp_path)
    made = Engine(settings, Catalogue(settings.services_dir), Bell(settings.bell_dir))
    monkeypatch.setattr(made.dispatcher, "tick", lambda **_: ticked.set())

    made.start()

    assert ticked.wait(40)
    made.stop()
