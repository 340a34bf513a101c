"""What a script says: bounded segments of output, and steps that are checked before they are journalled."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from disks import full_disk
from fastdeploy_bot.masking import Masker
from fastdeploy_bot.runner import output
from fastdeploy_bot.runner.folder import RunFolder
from fastdeploy_bot.runner.output import Journal, Lines, Log, StepsFile, Told

KIB = 1024
NOWHERE = (1, 0)
"""An inode and a place in a steps file, where those are not what a test is about."""


def pieces(folder: RunFolder) -> list[tuple[int, bytes]]:
    """Each segment with its offset."""
    return [(start, Path(folder.segment(start)).read_bytes()) for start in folder.segments()]


def steps(folder: RunFolder) -> list[tuple[object, object, object]]:
    """Name, state and message of what stands in the journal."""
    found: list[tuple[object, object, object]] = []
    entries, offset = folder.read_steps(0)
    while entries:
        found += [(entry["name"], entry["state"], entry["message"]) for entry in entries]
        entries, offset = folder.read_steps(offset)
    return found


def line(**step: Any) -> bytes:
    """A step as a script writes it."""
    return json.dumps(step).encode() + b"\n"


def note(journal: Journal, step: Told | None) -> None:
    """Write down what was told, if that was a step."""
    if step is not None:
        journal.add(step, None)


def poll(steps_file: StepsFile, *, last: bool = False) -> None:
    """Write down what has come."""
    for step in steps_file.poll(last=last):
        note(steps_file._journal, step)


# --- the log ---


def test_output_within_the_limit_is_kept_whole(folder: RunFolder) -> None:
    """No byte is dropped before the limit is reached."""
    log = Log(folder, 1024 * KIB, Masker([]))
    data = os.urandom(1024 * KIB)

    log.write(data, 5)
    log.flush()

    assert data == b"".join(piece for _, piece in pieces(folder))
    assert len(data) == log.end


@given(st.lists(st.integers(1, 300 * KIB), max_size=12), st.integers(2, 512 * KIB))
def test_head_and_tail_are_kept_however_the_output_comes(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], limit: int
) -> None:
    """The first half of the limit, and at least the last half of it, stand at their true offsets."""
    folder = RunFolder(str(tmp_path_factory.mktemp("runs") / "7-0badcafe"))
    folder.create(7)
    log = Log(folder, limit, Masker([]))
    data = os.urandom(sum(sizes))

    for end, size in zip(_sums(sizes), sizes, strict=True):
        log.write(data[end - size : end], 5)
    log.flush()

    kept = bytearray(len(data))
    for start, piece in pieces(folder):
        assert data[start : start + len(piece)] == piece
        kept[start : start + len(piece)] = b"\1" * len(piece)
    assert all(kept[: limit // 2])
    assert all(kept[-(limit - limit // 2) :])
    assert sum(kept) <= limit + 2 * max(64 * KIB, limit // 8)
    assert len(data) == log.end


def _sums(sizes: list[int]) -> list[int]:
    return [sum(sizes[: index + 1]) for index in range(len(sizes))]


def test_full_disk_costs_the_bytes_and_nothing_else(folder: RunFolder) -> None:
    """What could not be written is counted, so that later bytes stand at their true offsets."""
    log = Log(folder, 1024 * KIB, Masker([]))
    log.write(b"before", 5)

    with full_disk(10):
        log.write(b"0123456789", 5)
        log.write(b"lost because the folder's file cannot grow", 5)
    log.write(b"after", 5)

    assert (0, b"before0123") == pieces(folder)[0]
    assert (58, b"after") == pieces(folder)[-1]
    assert 6 + 10 + 42 + 5 == log.end
    assert 0 < log.dropped <= 48


def test_segment_that_was_taken_away_does_not_stop_the_log(folder: RunFolder) -> None:
    """A script that tidies up where it should not loses what was there, not what comes."""
    log = Log(folder, 128 * KIB, Masker([]))
    log.write(bytes(256 * KIB), 5)
    for start in folder.segments():
        Path(folder.segment(start)).unlink()

    log.write(bytes(512 * KIB) + b"end", 5)

    assert pieces(folder)[-1][1].endswith(b"end")
    assert 0 == log.dropped


def test_folder_that_was_taken_away_does_not_stop_the_log(folder: RunFolder) -> None:
    """The child goes on to the end of its script, whatever became of its folder."""
    log = Log(folder, 128 * KIB, Masker([]))
    log.write(b"some", 5)
    folder.remove()

    log.write(bytes(512 * KIB), 5)

    assert 4 + 512 * KIB == log.end


def test_no_byte_of_a_secret_reaches_the_disk_or_counts(folder: RunFolder) -> None:
    """Offsets number what is stored; the bot's own lines are masked as well, and stand where they were said."""
    log = Log(folder, 1024 * KIB, Masker(["hunter2!", "hunter2!!"]))

    for piece in (b"one hunt", b"er2! two hun"):
        log.write(piece, 5)
    log.say("cannot run hunter2!")
    log.write(b"three hunter2!", 5)
    log.flush()

    told = b"one ******** two hunfastdeploy: cannot run ********\nthree ********"
    assert [(0, told)] == pieces(folder)
    assert len(told) == log.end


def test_what_could_become_a_secret_is_written_when_it_has_waited(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counted from when the first byte that still waits came; a prompt shows, however it begins."""
    at = [50.0]
    monkeypatch.setattr("fastdeploy_bot.runner.output.time.monotonic", lambda: at[0])
    log = Log(folder, 1024 * KIB, Masker(["hunter2!"]))

    log.write(b"hunt", 5)
    at[0] += output.HELD / 2
    log.write(b"er", 5)
    log.settle()
    early = pieces(folder)
    at[0] += output.HELD
    log.settle()

    assert [] == early
    assert [(0, b"hunter")] == pieces(folder)


# --- lines ---


@given(st.binary(max_size=60), st.integers(1, 7))
def test_lines_are_cut_the_same_however_the_stream_comes(data: bytes, size: int) -> None:
    """A line may come in any number of pieces."""
    lines = Lines()

    found = [each for start in range(0, len(data), size) for each in lines.feed(data[start : start + size])]
    found += lines.flush()

    expected = data.split(b"\n")
    assert (expected if expected[-1] else expected[:-1]) == [line for line, _ in found]
    assert all(data[:behind].removesuffix(b"\n").endswith(line) for line, behind in found)
    assert [len(data)][: len(found)] == [behind for _, behind in found[-1:]]


def test_line_that_is_too_long_is_left_out_whole() -> None:
    """Its end is not taken for a line of its own."""
    lines = Lines()

    found = [each for _ in range(5) for each in lines.feed(b"x" * 512 * KIB)]
    found += lines.feed(b'{"name":"fake"}\nnext\n')

    assert [(b"next", 5 * 512 * KIB + 21)] == found


# --- the journal ---


@pytest.fixture
def journal(folder: RunFolder) -> Journal:
    """The run's step journal."""
    return Journal(folder, Masker([]), Log(folder, 1024 * KIB, Masker([])).say)


def test_step_is_journalled_with_its_time(folder: RunFolder, journal: Journal) -> None:
    """A step of the steps file says when it came, and not when it began."""
    before = output.now()

    note(journal, journal.from_file(line(name="Build", state="running", message="off we go"), *NOWHERE))

    (entry,), _ = folder.read_steps(0)
    assert ("Build", "running", "off we go", None) == tuple(
        entry[key] for key in ("name", "state", "message", "started")
    )
    assert before <= int(str(entry["at"])) <= output.now()


@pytest.mark.parametrize(
    "junk",
    [
        b"Build started",
        b"[]",
        b"null",
        b'{"name": "Build"}',
        b'{"name": "", "state": "running"}',
        b'{"name": "  ", "state": "running"}',
        b'{"name": "a\\u0000b", "state": "running"}',
        b'{"name": 7, "state": "running"}',
        b'{"name": "Build", "state": "done"}',
        b'{"name": "Build", "state": "running", "message": 7}',
        b'{"name": "' + b"x" * 201 + b'", "state": "running"}',
        b"[" * 100_000,
        b"\xff\xfe",
    ],
)
def test_line_that_is_no_step_is_told_once_in_the_log(folder: RunFolder, journal: Journal, junk: bytes) -> None:
    """Its author should learn of it; a thousand complaints would not help."""
    note(journal, journal.from_file(junk, *NOWHERE))
    note(journal, journal.from_file(junk, *NOWHERE))

    assert [] == steps(folder)
    (_, told), *more = pieces(folder)
    assert not more
    assert 1 == told.count(b"fastdeploy: a line of the steps file is not a step")


def test_empty_lines_of_the_steps_file_are_passed_over_silently(folder: RunFolder, journal: Journal) -> None:
    """`echo >> $FASTDEPLOY_STEPS_FILE` is no fault."""
    note(journal, journal.from_file(b" ", *NOWHERE))

    assert [] == pieces(folder)


def test_step_with_broken_characters_is_mended(folder: RunFolder, journal: Journal) -> None:
    """Half a surrogate pair can stand in JSON, but in no database."""
    note(journal, journal.from_file(rb'{"name": "a\ud800b", "state": "running", "message": "\udfff\u0000"}', *NOWHERE))

    ((name, _, message),) = steps(folder)
    assert ("a?b", "?\ufffd") == (name, message)


def test_long_message_is_cut(folder: RunFolder, journal: Journal) -> None:
    """A message is a sentence, not a log."""
    note(journal, journal.from_file(line(name="Build", state="failure", message="m" * 10_000), *NOWHERE))

    assert [("Build", "failure", "m" * 4096)] == steps(folder)


def test_step_of_an_ephes_script_is_found_in_the_output(folder: RunFolder, journal: Journal) -> None:
    """Its error_message is the step's message, and it began when the one before it was told."""
    note(journal, journal.from_output(line(name="one", state="success", message="")))
    note(journal, journal.from_output(line(name="two", state="failure", error_message="no space")))
    note(journal, journal.from_output(b"ordinary output\n"))

    (one, two), _ = folder.read_steps(0)
    assert [("one", "success", ""), ("two", "failure", "no space")] == steps(folder)
    assert one["at"] == two["started"]


def test_secrets_in_a_step_are_hidden_before_they_are_cut_short(folder: RunFolder) -> None:
    """Or the beginning of one would stay at the end."""
    said: list[str] = []
    journal = Journal(folder, Masker(["hunter2!"]), said.append)

    note(
        journal,
        journal.from_file(
            line(name="n" * 190 + "hunter2!", state="running", message="m" * 4090 + "hunter2!"), *NOWHERE
        ),
    )
    note(journal, journal.from_output(line(name="two", state="failure", error_message='{"password": "hunter2!"}')))
    note(journal, journal.from_file(b"no step: hunter2! " + b"x" * 59 + b"hunter2!", *NOWHERE))

    assert [
        ("n" * 190 + "********", "running", "m" * 4090 + "******"),
        ("two", "failure", '{"password": "********"}'),
    ] == steps(folder)
    assert "hunt" not in "".join(said)


def test_journal_is_bounded(folder: RunFolder, journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """A script in a loop must not fill the disk with steps."""
    monkeypatch.setattr(output, "MOST_STEPS", 3)

    for number in range(10):
        note(journal, journal.from_file(line(name=str(number), state="running"), *NOWHERE))

    assert ["0", "1", "2"] == [name for name, _, _ in steps(folder)]


def test_step_that_the_disk_refuses_leaves_no_torn_line(folder: RunFolder, journal: Journal) -> None:
    """Steps that come when there is room again are read as if nothing had been."""
    note(journal, journal.from_file(line(name="one", state="success"), *NOWHERE))
    size = Path(folder.file("steps.log")).stat().st_size

    with full_disk(size + 20):
        note(journal, journal.from_file(line(name="two", state="success"), *NOWHERE))
    note(journal, journal.from_file(line(name="three", state="success"), *NOWHERE))

    assert ["one", "three"] == [name for name, _, _ in steps(folder)]
    assert b"a step could not be written down" in b"".join(piece for _, piece in pieces(folder))


# --- the steps file ---


@pytest.fixture
def steps_file(folder: RunFolder, journal: Journal) -> StepsFile:
    """Follows the run's steps file."""
    return StepsFile(folder, journal)


def append(folder: RunFolder, data: bytes) -> None:
    """Do as a script does."""
    with open(folder.file("steps"), "ab") as file:
        file.write(data)


def names(folder: RunFolder) -> list[object]:
    """The names of the steps in the journal."""
    return [name for name, _, _ in steps(folder)]


def test_line_that_comes_in_pieces_is_one_step(folder: RunFolder, steps_file: StepsFile) -> None:
    """A step is taken when its line is complete."""
    whole = line(name="Build", state="running")

    append(folder, whole[:10])
    poll(steps_file)
    early = names(folder)
    append(folder, whole[10:])
    poll(steps_file)

    assert [] == early
    assert ["Build"] == names(folder)


def test_last_line_counts_without_its_end(folder: RunFolder, steps_file: StepsFile) -> None:
    """`printf` forgets the newline; at the end of the script that is a step all the same."""
    append(folder, line(name="Build", state="success").rstrip())

    poll(steps_file)
    early = names(folder)
    poll(steps_file, last=True)

    assert [] == early
    assert ["Build"] == names(folder)


def test_much_that_comes_just_before_the_end_is_all_taken(folder: RunFolder, steps_file: StepsFile) -> None:
    """The last look reads on until there is nothing more."""
    padding = "m" * 4000
    append(folder, b"".join(line(name=f"step {number}", state="running", message=padding) for number in range(3000)))
    append(folder, line(name="last", state="success"))

    poll(steps_file, last=True)

    assert 3001 == len(names(folder))
    assert "last" == names(folder)[-1]


def test_line_of_many_megabytes_is_passed_over(folder: RunFolder, steps_file: StepsFile) -> None:
    """It neither fills the memory nor hides the steps behind it."""
    append(folder, b"x" * (20 * KIB * KIB) + b"\n" + line(name="after", state="running"))

    for _ in range(10):
        poll(steps_file)

    assert ["after"] == names(folder)


def test_steps_file_that_was_emptied_is_read_from_its_beginning(folder: RunFolder, steps_file: StepsFile) -> None:
    """A script may write it with `>` where it should have used `>>`."""
    append(folder, line(name="one", state="running", message="a longer line than the next") + b"half a line")
    poll(steps_file)

    Path(folder.file("steps")).write_bytes(line(name="two", state="running"))
    poll(steps_file)

    assert ["one", "two"] == names(folder)


def test_steps_file_that_was_replaced_is_read_from_its_beginning(folder: RunFolder, steps_file: StepsFile) -> None:
    """Editors, and `sed -i`, put a new file in the old one's place."""
    append(folder, line(name="one", state="running"))
    poll(steps_file)

    draft = Path(folder.file("draft"))
    draft.write_bytes(line(name="two", state="running") + line(name="three", state="running"))
    draft.rename(folder.file("steps"))
    poll(steps_file)

    assert ["one", "two", "three"] == names(folder)


def _link(path: Path) -> None:
    target = path.with_name("target")
    target.write_bytes(line(name="linked", state="running"))
    path.symlink_to(target)


@pytest.mark.parametrize("make", [_link, os.mkfifo, Path.mkdir, lambda _: None])
def test_steps_file_that_is_no_file_gives_no_steps(folder: RunFolder, steps_file: StepsFile, make: Any) -> None:
    """A link, a pipe, a folder or nothing in its place neither leads astray nor blocks."""
    Path(folder.file("steps")).unlink()
    make(Path(folder.file("steps")))

    poll(steps_file, last=True)

    assert [] == names(folder)


# --- what a dead child leaves ---


def test_steps_that_a_dead_child_did_not_come_to_are_journalled_and_no_other_twice(folder: RunFolder) -> None:
    """From the place that its last entry notes; with the time at which they were there, and masked."""
    masker = Masker(["hunter2!"])
    append(folder, line(name="one", state="success") + b"junk\n" + line(name="two", state="running"))
    child = Journal(folder, masker, print)
    poll(StepsFile(folder, child))
    note(child, child.from_output(line(name="printed", state="success")))
    append(folder, b"more junk\n" + line(name="two", state="success", message="hunter2!"))
    append(folder, line(name="three", state="success").rstrip())
    os.utime(folder.file("steps"), (1_700_000_000, 1_700_000_000))

    for _ in range(2):
        output.take_rest(folder, masker)

    found = steps(folder)
    assert [("one", "success"), ("two", "running"), ("printed", "success")] == [each[:2] for each in found[:3]]
    assert [("two", "success", "********"), ("three", "success", "")] == found[3:]
    assert 1_700_000_000_000 == folder.read_steps(0)[0][-1]["at"]


@given(st.integers(0, 200))
def test_entry_that_a_child_died_over_is_written_anew(tmp_path_factory: pytest.TempPathFactory, torn: int) -> None:
    """A step is journalled whole, or not yet."""
    folder = RunFolder(str(tmp_path_factory.mktemp("runs") / "7-0badcafe"))
    folder.create(7)
    append(folder, line(name="one", state="success") + line(name="two", state="success"))
    poll(StepsFile(folder, Journal(folder, Masker([]), print)))
    whole = Path(folder.file("steps.log")).read_bytes()
    Path(folder.file("steps.log")).write_bytes(whole[: min(torn, len(whole))])

    output.take_rest(folder, Masker([]))

    assert ["one", "two"] == names(folder)


def test_steps_file_that_was_replaced_is_taken_from_its_beginning(folder: RunFolder) -> None:
    """It is another file, whatever it is called."""
    append(folder, line(name="one", state="success"))
    poll(StepsFile(folder, Journal(folder, Masker([]), print)))
    Path(folder.file("steps.new")).write_bytes(line(name="two", state="success") * 2)
    Path(folder.file("steps.new")).rename(folder.file("steps"))

    output.take_rest(folder, Masker([]))

    assert ["one", "two", "two"] == names(folder)


@pytest.mark.parametrize(
    "journal", [b'{"at": 1, "started": null, "name": "one", "state": "success"}\n', b"spoilt\n", None]
)
def test_steps_are_not_taken_twice_where_nobody_noted_how_far_it_came(folder: RunFolder, journal: bytes | None) -> None:
    """A child of an earlier version did not; and a script may do to the journal what it likes."""
    append(folder, line(name="one", state="success"))
    path = Path(folder.file("steps.log"))
    path.unlink() if journal is None else path.write_bytes(journal)

    output.take_rest(folder, Masker([]))

    assert (journal is not None) == path.exists()
    assert journal is None or journal == path.read_bytes()
