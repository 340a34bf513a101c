"""A bot whose disk or database fails it while it works: nothing is promised in vain, and it goes on by itself."""

from __future__ import annotations

import resource
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial

import pytest
import requests

from bots import Bot, wait_for
from fastdeploy_bot.forge.github import payloads

GITHUB_WAITS = 10.0
"""Seconds after which GitHub counts a delivery as failed."""

HOLDS = """#!/bin/sh
until [ -e go ]; do sleep 0.02; done
seq 1000
exit 4
"""


def test_a_full_disk_costs_neither_a_push_nor_an_outcome(own_bot: Bot) -> None:
    """The script ends while nothing can be written; its end is known as soon as there is room, and pushes are taken."""
    folder = own_bot.service("shop", HOLDS)
    own_bot.start()
    number = own_bot.deploy("shop")
    own_bot.wait_state(number, "running")
    wait_for(lambda: own_bot.http("GET", "/readyz", token="").ok)

    fill(own_bot, full=True)
    (folder / "go").touch()
    refused = own_bot.deliver(push(1), guid="g-1")
    why = wait_for(partial(not_ready, own_bot))
    running = own_bot.deployment(number)["state"]
    fill(own_bot, full=False)

    assert 503 == refused.status_code
    assert int(refused.headers["Retry-After"]) > 0
    assert "the database cannot be written: disk I/O error" in why
    assert "running" == running
    row = own_bot.wait_end(number)
    assert ("failure", 4) == (row["state"], row["exit_status"])
    assert b"999\n1000\n" in own_bot.log(number)
    taken = own_bot.deliver(push(1), guid="g-1")
    assert (202, "deploy") == (taken.status_code, taken.json()["verdicts"][0]["verdict"])
    wait_for(lambda: own_bot.http("GET", "/readyz", token="").ok)


def push(number: int) -> bytes:
    """The push of that number to the main branch of octo-org/shop."""
    return payloads.push_document(
        repository="octo-org/shop",
        repository_id=1,
        before=f"{number - 1:040x}",
        after=f"{number:040x}",
        pushed_at=1_700_000_000 + number,
    )


def fill(bot: Bot, *, full: bool) -> None:
    """Let no process of the server write to any file, or all of them again. Scripts that run are none of its own."""
    assert bot.server is not None
    for pid in (bot.server.pid, *bot.workers()):
        _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (0 if full else hard, hard))


def not_ready(bot: Bot) -> str:
    """Why the bot says that it is not ready; empty where it is."""
    answer = bot.http("GET", "/readyz", token="")
    return "" if answer.ok else str(answer.json()["detail"])


@pytest.mark.parametrize(("seconds", "status"), [(3.0, 202), (None, 503)])
def test_a_database_that_another_program_locks(own_bot: Bot, seconds: float | None, status: int) -> None:
    """For three seconds: nobody is sent away. For as long as it likes: 503 before GitHub gives up; then it goes on."""
    own_bot.service("shop", "#!/bin/sh\n")
    own_bot.start()
    assert own_bot.token()  # signing in is a write
    with (
        closing(sqlite3.connect(own_bot.home / "fastdeploy.db", isolation_level=None)) as other,
        ThreadPoolExecutor(8) as senders,
    ):
        other.execute("BEGIN IMMEDIATE")
        answers = [senders.submit(deliver, own_bot, number) for number in range(1, 9)]
        if seconds is None:
            read = [own_bot.http("GET", path) for path in ("/api/v1/services", "/login", "/healthz")]
            assert [200, 200, 200] == [answer.status_code for answer in read]
            told = [each.result() for each in answers]
            other.execute("ROLLBACK")
        else:
            with pytest.raises(TimeoutError):
                answers[0].result(seconds)
            other.execute("ROLLBACK")
            told = [each.result() for each in answers]

    assert {status} == {answer.status_code for answer in told}
    assert seconds is not None or {"5"} == {answer.headers["Retry-After"] for answer in told}
    if seconds is None:
        assert [] == own_bot.deployments("shop")
    assert 202 == own_bot.deliver(push(9)).status_code
    assert f"{9:040x}" == own_bot.wait_idle("shop")[-1]["sha"]


def deliver(bot: Bot, number: int) -> requests.Response:
    """The push of that number, as GitHub sends it: it waits no longer than ten seconds for the answer."""
    body = push(number)
    return requests.post(f"{bot.url}/webhooks/github", data=body, headers=bot.signed(body), timeout=GITHUB_WAITS)
