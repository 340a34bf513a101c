"""Backups: one archive that holds all, or none at all; the bot works on meanwhile."""

from __future__ import annotations

import sqlite3
import tarfile
import threading
from contextlib import closing
from pathlib import Path
from typing import Final

import pytest

from callers import ServiceFiles, on_sqlite
from disks import full_disk
from fastdeploy_bot import store
from fastdeploy_bot.core.files import secrets
from fastdeploy_bot.core.keeping import backups
from fastdeploy_bot.core.keeping.backups import BackupFailed
from fastdeploy_bot.errors import Unavailable
from fastdeploy_bot.settings import Settings
from fastdeploy_bot.store.models import Service

NOW: Final = 1_700_000_000_000

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where backups go."""
    made = tmp_path / "backups"
    made.mkdir()
    return made


def create(name: str) -> None:
    """A row."""
    store.write(lambda: Service.create(name=name, repository="octo-org/shop", created=0))


def names(archive: Path) -> list[str]:
    """The files in it."""
    with tarfile.open(archive) as opened:
        return sorted(each.name for each in opened.getmembers() if each.isfile())


def services_in(archive: Path, folder: Path) -> list[str]:
    """What its database holds."""
    with tarfile.open(archive) as opened:
        opened.extract("fastdeploy.db", folder, filter="data")
    with closing(sqlite3.connect(folder / "fastdeploy.db")) as rows:
        return [name for (name,) in rows.execute("SELECT name FROM service ORDER BY name")]


@on_sqlite
def test_an_archive_holds_all_that_makes_a_bot(settings: Settings, service: ServiceFiles, folder: Path) -> None:
    """Settings, secrets, services and rows; neither run folders nor locks nor what else lies in the home."""
    create("shop")
    service("shop")
    secrets.put(settings.secrets_dir, "shop", "PASSWORD", "open sesame")
    (settings.home / "fastdeploy.toml").write_text('secret_key_file = "keys/first"\ngithub_token_file = "/etc/hosts"\n')
    for path in ("keys/first", "keys/other", "host-id", "github-app.json", "runs/1-a/log.0", "relay.lock", "notes"):
        (settings.home / path).parent.mkdir(parents=True, exist_ok=True)
        (settings.home / path).write_text("x")

    written = backups.write(settings, folder / "bot.tar", with_database=True, now=NOW)

    expected = {"fastdeploy.db", "fastdeploy.toml", "github-app.json", "host-id", "keys/first"}
    assert expected | {"secrets/shop/PASSWORD", "services/shop/service.toml"} == set(names(written))
    assert ["shop"] == services_in(written, folder)
    assert 0o600 == written.stat().st_mode & 0o777


@on_sqlite
def test_a_folder_gets_a_file_with_the_moment_in_its_name(settings: Settings, folder: Path) -> None:
    """So that a nightly one does not replace the last; nothing else is left there."""
    written = backups.write(settings, folder, with_database=True, now=NOW)

    assert folder / "fastdeploy-2023-11-14T221320Z.tar" == written
    assert [written] == list(folder.iterdir())


@on_sqlite
def test_an_archive_is_packed_where_its_name_says_so(settings: Settings, folder: Path) -> None:
    """As tar would do."""
    written = backups.write(settings, folder / "bot.tar.gz", with_database=True, now=NOW)

    assert b"\x1f\x8b" == written.read_bytes()[:2]
    assert "fastdeploy.db" in names(written)


@on_sqlite
def test_a_link_to_the_services_is_followed(settings: Settings, service: ServiceFiles, folder: Path) -> None:
    """They may be a checkout elsewhere."""
    service("shop")
    settings.services_dir.rename(folder / "checkout")
    settings.services_dir.symlink_to(folder / "checkout")

    assert "services/shop/service.toml" in names(
        backups.write(settings, folder / "bot.tar", with_database=True, now=NOW)
    )


@on_sqlite
def test_writers_go_on_beside_a_backup(settings: Settings, folder: Path) -> None:
    """All that was written before is in it, and it is of one moment: no gaps."""
    stop = threading.Event()

    def work() -> None:
        for number in range(100_000):
            if stop.is_set():
                break
            create(f"{number:06d}")
        store.disconnect()

    writer = threading.Thread(target=work)
    writer.start()
    try:
        for number in range(3):
            before = Service.select().count()
            written = backups.write(settings, folder / f"{number}.tar", with_database=True, now=NOW)
            found = services_in(written, folder)
            assert before <= len(found)
            assert [f"{each:06d}" for each in range(len(found))] == found
    finally:
        stop.set()
        writer.join()


@on_sqlite
@pytest.mark.parametrize(("room", "what"), [(100_000, "cannot be copied"), (700_000, r"no backup .*bot\.tar")])
def test_a_full_disk_leaves_the_last_backup(
    settings: Settings, service: ServiceFiles, folder: Path, room: int, what: str
) -> None:
    """It says so, and leaves nothing half done."""
    service("shop").with_name("blob").write_bytes(b"x" * 1_000_000)
    old = folder / "bot.tar"
    old.write_text("the last one")

    with full_disk(room), pytest.raises(Unavailable, match=what):
        backups.write(settings, old, with_database=True, now=NOW)

    assert "the last one" == old.read_text()
    assert [old] == list(folder.iterdir())


@on_sqlite
def test_a_folder_that_is_not_there_is_told(settings: Settings, folder: Path) -> None:
    """With its name."""
    with pytest.raises(BackupFailed, match="No such file"):
        backups.write(settings, folder / "nowhere" / "bot.tar", with_database=True, now=NOW)


@on_sqlite
@pytest.mark.parametrize("name", ["nightly", "nightly.bak"])
def test_a_folder_that_is_not_there_becomes_no_archive(settings: Settings, folder: Path, name: str) -> None:
    """Every night's backup would replace the one before, and nobody would know."""
    with pytest.raises(BackupFailed, match=f"no backup .*{name}: there is no such folder; make it"):
        backups.write(settings, folder / name, with_database=True, now=NOW)

    assert [] == list(folder.iterdir())


@on_sqlite
def test_a_database_that_is_not_there_is_told(settings: Settings, folder: Path) -> None:
    """A wrong home, perhaps: an empty backup would be found out when it is needed."""
    store.disconnect()
    store.connect(f"sqlite:///{folder / 'nowhere.db'}")

    with pytest.raises(Unavailable, match=r"there is no database .*nowhere\.db"):
        backups.write(settings, folder / "bot.tar", with_database=True, now=NOW)

    assert [] == list(folder.iterdir())


@on_sqlite
def test_a_damaged_database_is_told(settings: Settings, folder: Path, database: str) -> None:
    """Before the copy gets its name: a backup that cannot be restored is none."""
    for number in range(200):
        create(f"{number:06d}" * 50)
    store.disconnect()
    path = Path(database.removeprefix("sqlite:///"))
    with closing(sqlite3.connect(path)) as rows:
        rows.execute("PRAGMA wal_checkpoint(truncate)")
        (root,) = rows.execute("SELECT rootpage FROM sqlite_master WHERE type = 'index' LIMIT 1").fetchone()
    with path.open("r+b") as file:
        file.seek((root - 1) * 4096 + 8)
        file.write(b"\xff" * 2_000)
    store.connect(database)

    with pytest.raises(Unavailable):
        backups.write(settings, folder / "bot.tar", with_database=True, now=NOW)

    assert [] == list(folder.iterdir())


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_postgresql_has_a_program_for_it(settings: Settings, service: ServiceFiles, folder: Path) -> None:
    """Never half a backup without a word: the rest is written when asked for alone."""
    service("shop")

    with pytest.raises(Unavailable, match="pg_dump"):
        backups.write(settings, folder / "bot.tar", with_database=True, now=NOW)

    assert [] == list(folder.iterdir())
    written = backups.write(settings, folder / "bot.tar", with_database=False, now=NOW)
    assert ["services/shop/service.toml"] == names(written)
