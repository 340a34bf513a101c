"""The run folder: what its files say of a run, whatever state they were left in."""

from __future__ import annotations

import contextlib
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from disks import full_disk
from fastdeploy_bot.runner import folder as run_folder
from fastdeploy_bot.runner.folder import RunFolder

RECORD: dict[str, object] = {"format": 1, "outcome": "success", "reason": "", "exit_status": 0, "signal": None}


@contextlib.contextmanager
def held(folder: RunFolder, name: str = "lock") -> Iterator[None]:
    """Hold a lock, as a living child does."""
    lock = folder.hold(name)
    assert lock is not None
    try:
        yield
    finally:
        os.close(lock)


SHAPES = ["folder", "fifo", "socket", "junk", "link", "ring"]
"""What a script may put in the place of a file."""


def put(shape: str, path: Path) -> None:
    """Put it there."""
    path.unlink(missing_ok=True)
    match shape:
        case "folder":
            (path / "inner").mkdir(parents=True)
        case "fifo":
            os.mkfifo(path)
        case "socket":
            os.mknod(path, stat.S_IFSOCK)
        case "junk":
            path.write_bytes(b"\xff{[junk")
        case "link":
            path.symlink_to("/dev/zero")
        case _:
            path.symlink_to(path)


# --- making and removing ---


def test_folder_is_for_its_user_alone(folder: RunFolder) -> None:
    """A log may hold what nobody else should read."""
    modes = {stat.S_IMODE(path.stat().st_mode) for path in Path(folder.path).iterdir()}

    assert 0o700 == stat.S_IMODE(Path(folder.path).stat().st_mode)
    assert {0o600} == modes


def test_folder_that_cannot_be_made_whole_leaves_nothing(tmp_path: Path) -> None:
    """A disk that stays full for a day must not fill up with folders as well."""
    folder = RunFolder(str(tmp_path / "8-0badcafe"))

    with full_disk(), pytest.raises(OSError, match="File too large"):
        folder.create(8)

    assert [] == list(tmp_path.iterdir())


def test_prepared_folder_becomes_that_of_a_run(tmp_path: Path) -> None:
    """It says whose it is, and is as young as one that was made now, however long it waited."""
    folder, prepared = RunFolder(str(tmp_path / "8-0badcafe")), RunFolder(str(tmp_path / "next-1"))
    prepared.prepare()
    os.utime(prepared.path, (0, 0))

    folder.create(8, prepared)

    assert ["8-0badcafe"] == os.listdir(tmp_path)
    assert {"format": 1, "deployment": 8, "cookie": "8-0badcafe"} == json.loads(
        Path(folder.file("run.json")).read_text()
    )
    assert 0 < Path(folder.path).stat().st_mtime
    assert run_folder.NOT_STARTED == folder.judge()


@pytest.mark.parametrize("waits", [True, False])
def test_folder_is_on_disk_before_it_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, waits: bool) -> None:
    """First its files, then its name: a row may say that a run is in it."""
    folder, prepared = RunFolder(str(tmp_path / "8-0badcafe")), RunFolder(str(tmp_path / "next-1"))
    synced: list[tuple[int, list[str]]] = []
    fsync = os.fsync

    def sync_and_note(file: int) -> None:
        synced.append((os.fstat(file).st_ino, os.listdir(file)))
        fsync(file)

    monkeypatch.setattr(os, "fsync", sync_and_note)
    if waits:
        prepared.prepare()
    folder.create(8, prepared if waits else None)

    files, names = synced
    assert (Path(folder.path).stat().st_ino, set(os.listdir(folder.path))) == (files[0], set(files[1]))
    assert (tmp_path.stat().st_ino, ["8-0badcafe"]) == names


def test_folder_is_removed_whatever_a_script_left_in_it(folder: RunFolder, tmp_path: Path) -> None:
    """Folders, pipes and links go; what a link points at stays."""
    treasure = tmp_path / "treasure"
    treasure.write_text("keep")
    Path(folder.file("steps")).unlink()
    Path(folder.file("steps")).symlink_to(treasure)
    Path(folder.file("junk/deep")).mkdir(parents=True)
    Path(folder.file("junk/deep/link")).symlink_to(tmp_path)
    os.mkfifo(folder.file("pipe"))

    folder.remove()

    assert not Path(folder.path).exists()
    assert "keep" == treasure.read_text()


def test_removing_a_folder_twice_is_no_error(folder: RunFolder) -> None:
    """Two engines may both come to the end of a run."""
    folder.remove()

    folder.remove()

    assert not Path(folder.path).exists()


# --- locks and the claim ---


def test_lock_is_held_by_one(folder: RunFolder) -> None:
    """Whoever comes second gets nothing until the first lets go."""
    with held(folder, "supervisor.lock"):
        assert folder.hold("supervisor.lock") is None

    with held(folder, "supervisor.lock"):
        pass


def test_claim_is_made_once(folder: RunFolder) -> None:
    """The first claim stands."""
    assert folder.claim({"pid": 1})
    assert not folder.claim({"pid": 2})
    assert {"pid": 1} == folder.claimed()


def test_claim_that_the_disk_refuses_is_no_claim(folder: RunFolder) -> None:
    """A script that was never started must not look like one whose end is unknown."""
    with full_disk(), pytest.raises(OSError, match="File too large"):
        folder.claim({"pid": 1})

    assert folder.claimed() is None
    assert run_folder.NOT_STARTED == folder.judge()


def test_claim_is_not_taken_from_a_living_child(folder: RunFolder) -> None:
    """A child with the lock is about to claim, so nobody else may."""
    with held(folder):
        assert not folder.take_claim()

    assert folder.claimed() is None


def test_taken_claim_can_be_taken_again_and_means_not_started(folder: RunFolder) -> None:
    """A bot that dies after it took the claim leaves no doubt: the script has never run."""
    assert folder.take_claim()
    assert run_folder.NOT_STARTED == folder.judge()
    assert folder.take_claim()


def test_claim_of_a_child_is_not_taken(folder: RunFolder) -> None:
    """A dead child's claim means that the script may have run."""
    folder.claim({"pid": 1})

    assert not folder.take_claim()


# --- judging ---


def test_new_run_is_judged_not_started(folder: RunFolder) -> None:
    """No lock, no claim: no script has run."""
    assert run_folder.NOT_STARTED == folder.judge()


def test_held_lock_is_judged_alive(folder: RunFolder) -> None:
    """Liveness is the lock, before and after the claim."""
    with held(folder):
        assert run_folder.ALIVE == folder.judge()

        folder.claim({"pid": 1})
        assert run_folder.ALIVE == folder.judge()


def test_claim_without_lock_and_record_is_judged_lost(folder: RunFolder) -> None:
    """The child died between claim and record: the outcome cannot be known."""
    folder.claim({"pid": 1})

    assert run_folder.LOST == folder.judge()


def test_exit_record_beside_a_living_child_is_not_believed_yet(folder: RunFolder) -> None:
    """A script could write one too; the child's own is there when its lock is free."""
    folder.claim({"pid": 1})

    with held(folder):
        folder.write_exit(RECORD)
        assert run_folder.ALIVE == folder.judge()

    assert run_folder.ENDED == folder.judge()


def test_folder_that_is_gone_is_judged_lost(folder: RunFolder) -> None:
    """Nobody can tell any more what became of the script."""
    folder.remove()

    assert run_folder.LOST == folder.judge()


def test_folder_that_was_emptied_is_judged_lost(folder: RunFolder) -> None:
    """Without its files, an empty folder is as good as gone: it must not be waited for for ever."""
    for path in Path(folder.path).iterdir():
        path.unlink()

    assert run_folder.LOST == folder.judge()


class LateChild(RunFolder):
    """A folder whose child comes up just when its lock has been looked at."""

    __slots__ = ("lock",)

    def alive(self) -> bool:
        """The truth of a moment ago."""
        answer = super().alive()
        self.lock = self.hold("lock")
        self.claim({"pid": 1})
        return answer


def test_child_that_comes_up_while_it_is_judged_is_not_lost(folder: RunFolder) -> None:
    """A claim seen after a free lock may be a living child's."""
    late = LateChild(folder.path)

    judgement = late.judge()

    assert run_folder.NOT_STARTED == judgement
    assert late.lock is not None
    os.close(late.lock)


class DyingChild(RunFolder):
    """A folder whose child ends just after its lock has been looked at."""

    __slots__ = ()

    def alive(self) -> bool:
        """The truth of a moment ago."""
        with held(self):
            answer = super().alive()
            self.write_exit(RECORD)
        return answer


def test_child_that_ends_while_it_is_judged_is_not_lost(folder: RunFolder) -> None:
    """The record is looked for after the lock, and at the next look it is there."""
    folder.claim({"pid": 1})

    assert run_folder.ALIVE == DyingChild(folder.path).judge()
    assert run_folder.ENDED == folder.judge()


# --- the exit record ---


def test_exit_record_comes_back_as_it_was_written(folder: RunFolder) -> None:
    """Values survive, whatever the script's last words were."""
    record = {**RECORD, "reason": "\U0001f680" * 1000}

    folder.write_exit(record)

    assert record == folder.exit_record()


def test_exit_record_can_be_written_to_a_full_disk(folder: RunFolder) -> None:
    """Its room is taken when the folder is made."""
    with full_disk(run_folder.EXIT_SIZE):
        folder.write_exit(RECORD)

    assert RECORD == folder.exit_record()
    assert run_folder.EXIT_SIZE == Path(folder.file("exit")).stat().st_size


def _zeroed(data: bytes) -> bytes:
    return bytes(len(data))


def _torn(data: bytes) -> bytes:
    return data[:40] + bytes(len(data) - 40)


def _flipped(data: bytes) -> bytes:
    return data[:20] + bytes([data[20] ^ 1]) + data[21:]


def _shortened(data: bytes) -> bytes:
    return data[:5]


@pytest.mark.parametrize("damage", [_zeroed, _torn, _flipped, _shortened])
def test_damaged_exit_record_is_no_record(folder: RunFolder, damage: Any) -> None:
    """Half a record must not be taken for an outcome."""
    folder.claim({"pid": 1})
    folder.write_exit(RECORD)
    path = Path(folder.file("exit"))
    path.write_bytes(damage(path.read_bytes()))

    assert folder.exit_record() is None
    assert run_folder.LOST == folder.judge()


# --- requests ---


def test_first_request_stands(folder: RunFolder) -> None:
    """Whoever cancels second is not the one who cancelled."""
    folder.request("cancel", {"by": "anna"})
    folder.request("cancel", {"by": "bert"})

    assert {"by": "anna"} == folder.requested("cancel")


def test_request_that_the_disk_refuses_is_not_half_made(folder: RunFolder) -> None:
    """A child never finds a torn request."""
    with full_disk(5), pytest.raises(OSError, match="File too large"):
        folder.request("cancel", {"by": "anna"})

    assert folder.requested("cancel") is None


# --- reading ---


def _segment(folder: RunFolder, offset: int, data: bytes) -> None:
    Path(folder.segment(offset)).write_bytes(data)


def test_log_is_read_across_its_segments(folder: RunFolder) -> None:
    """An offset is a place in the whole stream, not in a file."""
    _segment(folder, 0, b"01234")
    _segment(folder, 5, b"56789")

    assert (3, b"34") == folder.read_log(3, 100)
    assert (5, b"567") == folder.read_log(5, 3)
    assert (10, b"") == folder.read_log(10, 100)


def test_log_inside_the_gap_is_read_from_its_end(folder: RunFolder) -> None:
    """The offset that is answered says what is missing."""
    _segment(folder, 0, b"head")
    _segment(folder, 1000, b"tail")

    assert (1000, b"tail") == folder.read_log(4, 100)


def test_segment_that_vanishes_while_it_is_read_is_a_gap(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """The child may drop a segment between a reader's look at the folder and its read."""
    _segment(folder, 9, b"tail")
    monkeypatch.setattr(RunFolder, "segments", lambda _: [0, 4, 9])

    assert (9, b"tail") == folder.read_log(2, 100)


def test_stray_files_are_no_segments(folder: RunFolder) -> None:
    """A script that copies the log aside does not break its reader."""
    _segment(folder, 0, b"output")
    Path(folder.file("log.bak")).write_bytes(b"copy")
    Path(folder.file("log.0.gz")).write_bytes(b"copy")

    assert (0, b"output") == folder.read_log(0, 100)


def test_times_are_read_on_from_where_they_were_read(folder: RunFolder) -> None:
    """A mark that is only half written is left for later."""
    file = Path(folder.file("times"))
    file.write_bytes(b"[0, 1000]\n[7, 20")

    marks, offset = folder.read_times(0)
    file.write_bytes(b"[0, 1000]\n[7, 2000]\n")

    assert [(0, 1_000)] == marks
    assert ([(7, 2_000)], 20) == folder.read_times(offset)
    assert ([], 20) == folder.read_times(20)


@pytest.mark.parametrize(
    "line", ["[9]", "[]", "null", "{}", "[-1, 5]", f"[0, {10**30}]", "[true, 1]", '["0", 1]', "[1.5, 2]", "[" * 9_000]
)
def test_times_that_are_none_are_passed_over(folder: RunFolder, line: str) -> None:
    """What a script or a power cut left there does not stop its reader."""
    Path(folder.file("times")).write_text(f"{line}\n[7, 2000]\n")

    assert [(7, 2_000)] == folder.read_times(0)[0]


def test_step_that_is_only_half_written_is_left_for_later(folder: RunFolder) -> None:
    """The offset behind the entries is where reading goes on."""
    journal = Path(folder.file("steps.log"))
    journal.write_bytes(b'{"name":"a"}\n{"na')

    entries, offset = folder.read_steps(0)
    journal.write_bytes(b'{"name":"a"}\n{"name":"b"}\n')

    assert [{"name": "a"}] == entries
    assert ([{"name": "b"}], 26) == folder.read_steps(offset)


def test_journal_lines_that_are_no_steps_are_passed_over(folder: RunFolder) -> None:
    """What a script or a power cut left in the journal does not stop its reader."""
    journal = b'\0\0\0\n[]\nnonsense\n\xff\n{"name":"a"}\n'
    Path(folder.file("steps.log")).write_bytes(journal)

    assert ([{"name": "a"}], len(journal)) == folder.read_steps(0)


@pytest.mark.parametrize("name", ["lock", "supervisor.lock"])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_lock_takes_the_place_of_what_a_script_put_there(folder: RunFolder, name: str, shape: str) -> None:
    """Somebody has to follow the run, or its service would never be free again."""
    put(shape, Path(folder.file(name)))

    with held(folder, name):
        assert None is folder.hold(name)
        assert (name == "lock") == folder.alive()


@pytest.mark.parametrize("shape", ["fifo", "socket", "link", "ring"])
def test_an_exit_record_is_not_waited_with_for_what_a_script_put_there(folder: RunFolder, shape: str) -> None:
    """The child would stay for good; without it the run is lost."""
    put(shape, Path(folder.file("exit")))

    with pytest.raises(OSError, match="exit"):
        folder.write_exit(RECORD)


@pytest.mark.parametrize("shape", ["fifo", "junk", "ring"])
def test_what_a_script_put_in_the_folder_s_place_is_removed(folder: RunFolder, shape: str) -> None:
    """It is no run that could be followed."""
    folder.remove()
    put(shape, Path(folder.path))

    assert run_folder.LOST == folder.judge()
    assert None is folder.hold("lock")
    folder.remove()

    assert not os.path.lexists(folder.path)


@pytest.mark.parametrize("name", ["lock", "exit", "claim", "cancel", "finish", "steps.log", "log.5", "times"])
@pytest.mark.parametrize("shape", SHAPES)
def test_nothing_in_a_file_s_place_makes_a_look_fail(folder: RunFolder, name: str, shape: str) -> None:
    """A script may write whatever it likes where it runs; looking at it answers, and does not wait."""
    put(shape, Path(folder.file(name)))

    assert folder.judge() in {run_folder.NOT_STARTED, run_folder.LOST}
    assert folder.exit_record() is None
    assert ([], True) == (folder.read_steps(0)[0], folder.read_log(0, 10)[0] in {0, 5})
    assert [] == folder.read_times(0)[0]
    assert folder.requested("cancel") is None


@pytest.mark.parametrize("name", ["cancel", "cancel.new"])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_request_takes_the_place_of_what_a_script_put_there(folder: RunFolder, name: str, shape: str) -> None:
    """A cancel cannot be kept away."""
    put(shape, Path(folder.file(name)))

    folder.request("cancel", {"by": "anna"})

    assert {"by": "anna"} == folder.requested("cancel")


def test_a_long_journal_is_read_in_pieces(folder: RunFolder) -> None:
    """Each of a size that becomes rows in one short write; lines that are no entries count like any other."""
    lines = [b"not an entry" if number < 60 else b'{"name": "%d"}' % number for number in range(130)]
    Path(folder.file("steps.log")).write_bytes(b"\n".join([*lines, b'{"name": "half']))

    pieces, offset = [], 0
    while (read := folder.read_steps(offset))[1] > offset:
        entries, offset = read
        pieces.append(len(entries))

    assert [0, 40, 30] == pieces
    assert offset == sum(len(line) + 1 for line in lines)
