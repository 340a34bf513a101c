"""The catalogue: each look finds what the files say at that moment, though it looks at few of them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from fastdeploy_bot.core.files import catalogue as rooms
from fastdeploy_bot.core.files.catalogue import Catalogue
from fastdeploy_bot.watching import Watch

QUEUE = Path("/proc/sys/fs/inotify/max_queued_events")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The services' folder, with a shop and a blog."""
    write(tmp_path / "home" / "services" / "shop", "aaa")
    write(tmp_path / "home" / "services" / "blog", "other")
    return tmp_path / "home" / "services"


@pytest.fixture(autouse=True)
def no_look_in_between(monkeypatch: pytest.MonkeyPatch) -> None:
    """No look at all files but where one is needed."""
    monkeypatch.setattr(rooms, "SECOND", 1e9)


def write(service: Path, description: str) -> Path:
    """The service file in a folder, which is made where it is not there."""
    service.mkdir(parents=True, exist_ok=True)
    path = service / "service.toml"
    path.write_text(f'repository = "octo-org/shop"\ndescription = "{description}"\n')
    return path


def described(catalogue: Catalogue) -> str | None:
    """The description of the shop as its file says now; None where it has none."""
    entry = catalogue.get("shop")
    return None if entry is None or entry.file is None else entry.file.description


def no_look_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on, a look at all files fails the test."""

    def fail(_: object) -> list[str]:
        pytest.fail("it looked at all files")

    monkeypatch.setattr(os, "listdir", fail)


# --- each way of changing a file counts for the very next look ---


def in_place(folder: Path) -> None:
    """With as many bytes, and the same time of change."""
    path = folder / "shop" / "service.toml"
    before = path.stat()
    write(folder / "shop", "bbb")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def moved_in(folder: Path) -> None:
    """As editors do."""
    write(folder.parent / "new", "bbb").rename(folder / "shop" / "service.toml")


def made_anew(folder: Path) -> None:
    """Deleted, and written again."""
    (folder / "shop" / "service.toml").unlink()
    write(folder / "shop", "bbb")


def folder_made_anew(folder: Path) -> None:
    """With the service's folder."""
    shutil.rmtree(folder / "shop")
    write(folder / "shop", "bbb")


def folder_swapped(folder: Path) -> None:
    """Another folder in its place."""
    write(folder.parent / "new", "bbb")
    (folder / "shop").rename(folder.parent / "old")
    (folder.parent / "new").rename(folder / "shop")


def all_made_anew(folder: Path) -> None:
    """With the folder of all services."""
    shutil.rmtree(folder)
    write(folder / "shop", "bbb")


def all_swapped(folder: Path) -> None:
    """Another release of all services in its place."""
    folder.rename(folder.with_name("old"))
    write(folder / "shop", "bbb")


def home_swapped(folder: Path) -> None:
    """What is above it, of which nobody tells."""
    folder.parent.rename(folder.parent.with_name("old"))
    write(folder / "shop", "bbb")


@pytest.mark.parametrize(
    "change",
    [
        in_place,
        moved_in,
        made_anew,
        folder_made_anew,
        folder_swapped,
        all_made_anew,
        all_swapped,
        home_swapped,
    ],
)
def test_a_change_counts_for_the_very_next_look(folder: Path, change: Callable[[Path], None]) -> None:
    """As does the next one, whatever the first was."""
    catalogue = Catalogue(folder)
    assert ["aaa", "aaa"] == [described(catalogue), described(catalogue)]

    change(folder)
    assert ["bbb", "bbb"] == [described(catalogue), described(catalogue)]

    write(folder / "shop", "ccc")
    assert "ccc" == described(catalogue)


def test_what_is_taken_away_and_put_back_counts(folder: Path) -> None:
    """A file, its folder, and the folder of all; and what was never there before."""
    catalogue = Catalogue(folder)
    assert {"blog", "shop"} == catalogue.entries().keys()

    (folder / "blog" / "service.toml").unlink()
    assert {"shop"} == catalogue.entries().keys()
    write(folder / "blog", "aaa")
    assert {"blog", "shop"} == catalogue.entries().keys()
    shutil.rmtree(folder / "blog")
    assert {"shop"} == catalogue.entries().keys()
    (folder / "wiki").mkdir()
    assert {"shop"} == catalogue.entries().keys()
    write(folder / "wiki", "aaa")
    assert {"shop", "wiki"} == catalogue.entries().keys()
    shutil.rmtree(folder)
    assert {} == catalogue.entries()
    write(folder / "shop", "bbb")
    assert {"shop"} == catalogue.entries().keys()


@pytest.mark.parametrize("linked", ["shop/service.toml", "shop", "."])
def test_what_a_link_leads_to_counts(folder: Path, tmp_path: Path, linked: str) -> None:
    """Where a file, its folder, or the folder of all is a link: changed there, gone, or led elsewhere."""
    link, one, two = folder / linked, tmp_path / "one", tmp_path / "two"
    link.rename(one)
    link.symlink_to(one)
    shutil.copytree(one, two) if one.is_dir() else shutil.copy(one, two)
    catalogue = Catalogue(folder)
    assert ["aaa", "aaa"] == [described(catalogue), described(catalogue)]

    replace(one, "aaa", "bbb")
    assert ["bbb", "bbb"] == [described(catalogue), described(catalogue)]
    link.unlink()
    link.symlink_to(two)
    assert ["aaa", "aaa"] == [described(catalogue), described(catalogue)]
    replace(two, "aaa", "ccc")
    assert ["ccc", "ccc"] == [described(catalogue), described(catalogue)]
    two.rename(tmp_path / "away")
    assert [None, None] == [described(catalogue), described(catalogue)]
    (tmp_path / "away").rename(two)
    assert "ccc" == described(catalogue)


def replace(place: Path, old: str, new: str) -> None:
    """Edit the shop's file, which is at that place or below it."""
    file = place if place.is_file() else next(place.glob("**/shop/service.toml"), place / "service.toml")
    file.write_text(file.read_text().replace(old, new))


def test_a_file_that_is_edited_by_another_name_counts(folder: Path, tmp_path: Path) -> None:
    """Of which its own folder is told nothing."""
    (tmp_path / "other.toml").hardlink_to(folder / "shop" / "service.toml")
    catalogue = Catalogue(folder)
    assert ["aaa", "aaa"] == [described(catalogue), described(catalogue)]

    replace(tmp_path / "other.toml", "aaa", "bbb")

    assert "bbb" == described(catalogue)


def test_more_changes_than_the_kernel_keeps_count(folder: Path) -> None:
    """It then says so, in place of the rest."""
    catalogue = Catalogue(folder)
    assert "aaa" == described(catalogue)

    for _ in range(int(QUEUE.read_text()) // 2 + 1):
        os.utime(folder / "blog")
        os.utime(folder / "blog" / "service.toml")
    write(folder / "shop", "bbb")
    assert "bbb" == described(catalogue)

    write(folder / "shop", "ccc")
    assert "ccc" == described(catalogue)


FORKED = """
import os, sys
from pathlib import Path
from fastdeploy_bot.core.files import catalogue as rooms
rooms.SECOND = 1e9
file = Path(sys.argv[1], "shop", "service.toml")
catalogue = rooms.Catalogue(Path(sys.argv[1]))
def describe(): return catalogue.entries()["shop"].file.description
def edit(old, new): file.write_text(file.read_text().replace(old, new))
assert [describe(), describe()] == ["aaa", "aaa"]
edit("aaa", "bbb")
child = os.fork()
assert [describe(), describe()] == ["bbb", "bbb"] if not child else os.waitpid(child, 0)[1] == 0
edit("bbb", "ccc") if not child else None
assert [describe(), describe()] == ["ccc", "ccc"]
"""


def test_a_fork_hears_for_itself(folder: Path) -> None:
    """Neither takes from the other what it was told."""
    forked = subprocess.run(
        [sys.executable, "-c", FORKED, folder], capture_output=True, text=True, timeout=60, check=False
    )

    assert (0, "") == (forked.returncode, forked.stderr)


def test_what_is_told_of_nothing_counts_within_a_second(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As of a folder that is mounted in the place of another."""
    monkeypatch.setattr(rooms, "SECOND", 0.0)
    monkeypatch.setattr(Watch, "told", lambda _: False)
    catalogue = Catalogue(folder)
    assert "aaa" == described(catalogue)

    write(folder / "shop", "bbb")

    assert "bbb" == described(catalogue)


# --- what a look costs ---


def test_an_unchanged_file_is_not_looked_at(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a thousand services, a push would do little else."""
    catalogue = Catalogue(folder)
    found = catalogue.entries()
    no_look_at_all(monkeypatch)

    assert found is catalogue.entries()


def test_what_else_is_written_in_a_services_folder_is_passed_over(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scripts run there."""
    catalogue = Catalogue(folder)
    found = catalogue.entries()
    (folder / "shop" / "service.toml.part").write_text("hello")
    (folder / "shop" / "data").mkdir()
    with monkeypatch.context() as patched:
        no_look_at_all(patched)
        assert found is catalogue.entries()

    write(folder / "shop", "bbb")
    (folder / "shop" / "log").write_text("hello")
    assert "bbb" == described(catalogue)


def test_a_look_that_finds_the_same_leaves_what_was_found(folder: Path) -> None:
    """What follows from it need not be found again."""
    catalogue = Catalogue(folder)
    found = catalogue.entries()
    (folder / "README").write_text("hello")

    assert found is catalogue.entries()


def test_what_was_moved_away_is_watched_no_longer(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel has few watches."""
    catalogue = Catalogue(folder)
    assert "aaa" == described(catalogue)
    (folder / "blog").rename(tmp_path / "blog")
    assert ["aaa", "aaa"] == [described(catalogue), described(catalogue)]

    write(tmp_path / "blog", "bbb")
    no_look_at_all(monkeypatch)

    assert "aaa" == described(catalogue)


@pytest.mark.parametrize(
    ("where", "answer"),
    [
        ("fastdeploy_bot.watching.Watch.add", False),
        ("fastdeploy_bot.watching.Watch.add_folder", False),
        ("fastdeploy_bot.watching.Watch._open", None),
        ("fastdeploy_bot.core.files.catalogue.native", False),
    ],
    ids=["no watches left", "none at all", "no inotify", "a network's file system"],
)
def test_where_the_kernel_does_not_tell_each_look_is_at_each_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch, where: str, answer: bool | None
) -> None:
    """It costs more, and finds the same."""
    monkeypatch.setattr(where, lambda *_: answer)
    catalogue = Catalogue(folder)
    assert "aaa" == described(catalogue)

    write(folder / "shop", "bbb")

    assert "bbb" == described(catalogue)


def _fill(path: Path) -> None:
    path.write_bytes(b"#" * (rooms.LARGEST + 1))


@pytest.mark.parametrize(
    ("put", "why"),
    [
        (os.mkfifo, "it is no file"),
        (lambda path: path.symlink_to("/dev/zero"), "it is no file"),
        (Path.mkdir, "Is a directory"),
        (lambda path: path.symlink_to(path), "Too many levels of symbolic links"),
        (_fill, "it has more than 1048576 bytes"),
    ],
    ids=["pipe", "device", "folder", "ring", "large"],
)
def test_what_is_no_service_file_stops_its_own_service_alone(
    folder: Path, put: Callable[[Path], None], why: str
) -> None:
    """Nobody waits for what a pipe may bring, or reads a device to its end."""
    (folder / "shop" / "service.toml").unlink()
    put(folder / "shop" / "service.toml")

    found = Catalogue(folder).entries()

    assert f"services/shop/service.toml: cannot be read: {why}" == found["shop"].problem
    assert found["blog"].file is not None
