"""Logs: what a script printed, byte by byte, however much it was."""

from __future__ import annotations

import hashlib
import itertools
import sys
from collections.abc import Iterator
from contextlib import closing

import pytest

from bots import Bot, wait_for

NUMBERS = itertools.count(1)

LIMIT = 256 * 1024

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
    output = b"plain\n\x00\x1b[31mred\r\n\xff\xfe \xc3\xa4" + noise(100_000)

    answer = bot.log_answer(printed(bot, name, output))

    assert output == answer.content
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert "X-Log-Gap" not in answer.headers


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
