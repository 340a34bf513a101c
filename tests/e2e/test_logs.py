"""Logs: what a script printed, byte by byte, however much it was."""

from __future__ import annotations

import hashlib
import itertools
import sys
from collections.abc import Iterator
from contextlib import closing

import pytest

from bots import FINAL, PATIENCE, Bot, Json, children_of, resident, states, wait_for

NUMBERS = itertools.count(1)

LIMIT = 256 * 1024
MOST_GROWTH = 64.0
"""MiB by which a process may grow, however much a script prints."""

COPY = f"""#!{sys.executable}
import shutil, sys
with open("output", "rb") as output:
    shutil.copyfileobj(output, sys.stdout.buffer)
"""
"""Prints the file `output`."""


@pytest.fixture(scope="module")
def bot(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bot]:
    """A bot that keeps a quarter of a mebibyte of each log."""
    with closing(Bot(tmp_path_factory.mktemp("bot"), FASTDEPLOY_LOG_LIMIT=str(LIMIT))) as frugal:
        yield frugal.start()


@pytest.fixture
def name() -> str:
    """A service's name of the test's own."""
    return f"log{next(NUMBERS)}"


def printed(bot: Bot, name: str, output: bytes) -> int:
    """The deployment that printed these bytes."""
    folder = bot.service(name, COPY)
    (folder / "output").write_bytes(output)
    ended = bot.run_service(name)
    assert "success" == ended["state"]
    number: int = ended["id"]
    return number


def noise(size: int) -> bytes:
    """Bytes of every value, always the same."""
    return hashlib.shake_128(b"noise").digest(size)


def test_a_log_is_byte_for_byte_what_was_printed(bot: Bot, name: str) -> None:
    """Control characters, broken UTF-8 and zero bytes are nobody's to mend."""
    output = b"plain\n\x00\x1b[31mred\r\n\xff\xfe \xc3\xa4 10%\r 50%\r100%\r\n" + noise(100_000)

    answer = bot.log_answer(printed(bot, name, output))

    assert output == answer.content
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert "X-Log-Gap" not in answer.headers


def test_output_is_the_same_however_it_is_cut(bot: Bot, name: str) -> None:
    """Also where it looks like the beginning of a secret, in pieces of any size, within characters and lines."""
    output = (b"hunter2 hunte\xc3\xa4r2!\r\n" + noise(61)) * 400
    cut = f"""#!{sys.executable}
import os
output = open("output", "rb").read()
place = 0
while place < len(output):
    place += os.write(1, output[place : place + 1 + place * 7919 % 97])
"""
    folder = bot.service(name, cut, secrets=["PASSWORD"])
    (folder / "output").write_bytes(output)
    bot.run("secret", "set", name, "PASSWORD", stdin="hunter2!", expect=0)

    ended = bot.run_service(name)

    assert output == bot.log(ended["id"])


def test_a_log_can_be_read_from_any_offset(bot: Bot, name: str) -> None:
    """The rest from there; at the end and beyond it, nothing."""
    output = noise(5000)
    number = printed(bot, name, output)

    assert output[1234:] == bot.log(number, offset=1234)
    assert b"" == bot.log(number, offset=5000)
    assert b"" == bot.log(number, offset=9999)


def test_both_streams_are_kept_in_the_order_they_were_written(bot: Bot, name: str) -> None:
    """Errors stand where they happened."""
    bot.service(name, "#!/bin/sh\necho one\necho two >&2\necho three\n")

    ended = bot.run_service(name)

    assert b"one\ntwo\nthree\n" == bot.log(ended["id"])


def test_a_log_can_be_followed_while_it_grows(bot: Bot, name: str) -> None:
    """Output is there to read long before the end, and what follows continues at the offset."""
    folder = bot.service(name, "#!/bin/sh\nprintf 'first'\nuntil [ -e go ]; do sleep 0.02; done\nprintf ' second'\n")
    number = bot.deploy(name)

    wait_for(lambda: bot.log(number) == b"first")
    (folder / "go").touch()
    bot.wait_end(number)

    assert b" second" == bot.log(number, offset=5)


def test_of_a_log_over_the_limit_head_and_tail_are_kept_and_the_gap_is_said(bot: Bot, name: str) -> None:
    """The beginning and the end of what was printed, and the header says what lies between."""
    output = noise(8 * LIMIT)

    number = printed(bot, name, output)
    answer = bot.log_answer(number)

    begin, end = (int(part) for part in answer.headers["X-Log-Gap"].split("-"))
    assert output[:begin] + output[end:] == answer.content
    assert LIMIT // 4 <= begin
    assert LIMIT // 4 <= len(output) - end
    assert len(answer.content) <= LIMIT


def test_an_offset_inside_the_gap_answers_from_its_end(bot: Bot, name: str) -> None:
    """A reader who fell behind goes on where the kept bytes go on, and is told."""
    output = noise(8 * LIMIT)
    number = printed(bot, name, output)
    gap = bot.log_answer(number).headers["X-Log-Gap"]
    begin, end = (int(part) for part in gap.split("-"))

    inside = bot.log_answer(number, offset=(begin + end) // 2)
    after = bot.log_answer(number, offset=end)

    assert (gap, output[end:]) == (inside.headers["X-Log-Gap"], inside.content)
    assert output[end:] == after.content


def test_the_reason_of_a_failure_follows_a_log_over_the_limit(bot: Bot, name: str) -> None:
    """The tail ends with what happened last."""
    folder = bot.service(name, COPY + "sys.stdout.flush()\nimport time\ntime.sleep(60)\n", timeout="1s")
    (folder / "output").write_bytes(noise(4 * LIMIT))

    ended = bot.run_service(name)

    assert bot.log(ended["id"]).rstrip().endswith(ended["reason"].encode())


def test_a_log_that_does_not_exist_is_not_found(bot: Bot) -> None:
    """An admin may list deployments, and so is told that there is none."""
    answer = bot.http("GET", "/api/v1/deployments/999999/log")

    assert (404, "application/problem+json") == (answer.status_code, answer.headers["Content-Type"])


def test_an_offset_that_is_no_number_is_refused(bot: Bot, name: str) -> None:
    """A client error, never a 5xx."""
    number = printed(bot, name, b"x")

    answers = [bot.http("GET", f"/api/v1/deployments/{number}/log?offset={offset}") for offset in ("x", "-1", "1e9")]

    assert all(400 <= answer.status_code < 500 for answer in answers)


# --- floods


def watched(bot: Bot, name: str) -> tuple[Json, float]:
    """The deployment as it ended, and by how many MiB the server or the largest of its children grew meanwhile."""
    [worker] = bot.workers()
    before, grown = resident(worker), 0.0
    number = bot.deploy(name)

    def over() -> Json | None:
        nonlocal grown
        grown = max([grown, resident(worker) - before, *map(resident, children_of(worker))])
        row = bot.deployment(number)
        return row if row["state"] in FINAL else None

    return wait_for(over, 3 * PATIENCE), grown


def test_two_hundred_megabytes_are_numbered_to_the_last_byte_and_held_by_nobody(bot: Bot, name: str) -> None:
    """Neither the server nor the child keeps what passes; head and tail are those of the whole."""
    last = 24_000_000
    size = sum(9 * 10**digits * (digits + 2) for digits in range(7)) + (last - 10**7 + 1) * 9
    bot.service(name, f"#!/bin/sh\nexec seq {last}\n")

    ended, grown = watched(bot, name)

    answer = bot.log_answer(ended["id"])
    begin, end = (int(part) for part in answer.headers["X-Log-Gap"].split("-"))
    head, tail = answer.content[:begin], answer.content[begin:]
    assert ("success", str(size)) == (ended["state"], answer.headers["X-Log-End"])
    assert "".join(f"{number}\n" for number in range(1, begin // 2))[:begin].encode() == head
    assert "".join(f"{number}\n" for number in range(last - len(tail) // 9, last + 1))[-len(tail) :].encode() == tail
    assert size == end + len(tail)
    assert grown <= MOST_GROWTH


def test_line_of_a_hundred_megabytes_is_held_by_nobody(bot: Bot, name: str) -> None:
    """Also where lines are looked through for steps; the next line is one again."""
    step = '{"name": "After it", "state": "success"}'
    script = f"#!/bin/sh\nhead -c 100000000 /dev/zero | tr '\\0' x\necho\necho '{step}'\n"
    bot.service(name, script, step_source="stdout")

    ended, grown = watched(bot, name)

    assert [("After it", "success")] == states(ended["steps"])
    assert bot.log(ended["id"]).endswith(f"xxx\n{step}\n".encode())
    assert grown <= MOST_GROWTH
