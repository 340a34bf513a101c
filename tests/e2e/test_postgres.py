"""Bots whose rows are in PostgreSQL: the same story, with a server that goes away and with a second host."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing

import pytest
from requests import Response

from bots import Bot, BotMaker, wait_for
from databases import Raw, Server
from pushing import Pusher

HOLDS = """#!/bin/sh
echo $FASTDEPLOY_DEPLOYMENT >> ran
fastdeploy step Build -- echo built
until [ -e go ]; do sleep 0.02; done
"""
"""Waits in its middle for the file `go`."""


def push(number: int) -> bytes:
    """The number-th push to `octo-org/shop`."""
    body = {
        "ref": "refs/heads/main",
        "before": f"{number - 1:040x}",
        "after": f"{number:040x}",
        "repository": {
            "id": 4711,
            "full_name": "octo-org/shop",
            "default_branch": "main",
            "pushed_at": 1_700_000_000 + number,
        },
    }
    return json.dumps(body).encode()


@pytest.fixture
def own_server() -> Iterator[Server]:
    """A server of the test's own, which may go away; it keeps what it commits, as one in service does."""
    server = Server()
    yield server
    server.stop()


def test_a_signed_push_is_deployed_and_told(make_bot: BotMaker, postgres: Server) -> None:
    """By either of two web processes; no SQLite file is made, and no connection is left behind."""
    url = postgres.empty()
    bot: Bot = make_bot(FASTDEPLOY_DATABASE_URL=url, FASTDEPLOY_WEB_PROCESSES="2")
    bot.service("shop", "#!/bin/sh\nfastdeploy step Build -- echo built\n", repository="octo-org/shop")
    bot.start()
    wait_for(lambda: len(bot.workers()) == 2)

    answer = bot.deliver(push(1))

    assert (202, "deploy") == (answer.status_code, answer.json()["verdicts"][0]["verdict"])
    (deployment,) = bot.wait_idle("shop")
    assert ("success", [("Build", "success")]) == (
        deployment["state"],
        [(step["name"], step["state"]) for step in deployment["steps"]],
    )
    assert b"built\n" == bot.log(deployment["id"])
    assert [] == list(bot.home.glob("*.db*"))
    assert 0 == bot.stop()
    with closing(Raw(url)) as raw:
        query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        wait_for(lambda: raw.execute(query) == [(0,)])


def test_a_server_that_restarts_costs_no_deployment(make_bot: BotMaker, own_server: Server) -> None:
    """A script goes on meanwhile and its outcome is told; pushes are taken again as soon as it is back."""
    bot: Bot = make_bot(FASTDEPLOY_DATABASE_URL=own_server.empty())
    folder = bot.service("shop", HOLDS, repository="octo-org/shop")
    bot.start()
    bot.deliver(push(1))
    wait_for(lambda: (folder / "ran").exists())

    own_server.restart()
    (folder / "go").touch()

    assert "success" == bot.wait_idle("shop")[0]["state"]
    assert 200 == bot.http("GET", "/readyz", token="").status_code
    assert 202 == bot.deliver(push(2)).status_code
    assert ["success"] * 2 == [row["state"] for row in bot.wait_idle("shop")]
    assert ["1", "2"] == (folder / "ran").read_text().split()


def test_a_server_that_restarts_under_pushes_keeps_all_that_were_accepted(
    make_bot: BotMaker, own_server: Server
) -> None:
    """Each is answered, with 202 or with 503; those that were accepted are there, and the newest is deployed."""
    bot: Bot = make_bot(FASTDEPLOY_DATABASE_URL=own_server.empty())
    bot.service("shop", "#!/bin/sh\n", repository="octo-org/shop")
    bot.start()

    with Pusher(bot, per_second=10) as pusher:
        pusher.wait_for_more(10)
        own_server.restart()
        pusher.wait_for_more(20)

    failed = pusher.failed()
    accepted = pusher.guids() - failed.keys()
    wait_for(lambda: _not_ready(bot) == [])
    assert {503} >= set(failed.values())
    assert len(accepted) >= 20
    assert {200} == {bot.http("GET", f"/api/v1/deliveries/{guid}").status_code for guid in accepted}
    newest = max(bot.wait_idle("shop"), key=lambda row: int(row["sha"], 16))
    assert "success" == newest["state"]


def test_a_server_that_is_away_is_told_and_missed_by_nobody_after(make_bot: BotMaker, own_server: Server) -> None:
    """503 with Retry-After, so that GitHub's delivery can be sent again; then all goes on by itself."""
    bot: Bot = make_bot(FASTDEPLOY_DATABASE_URL=own_server.empty())
    bot.service("shop", "#!/bin/sh\n", repository="octo-org/shop")
    bot.start()

    with own_server.away():
        away = [bot.deliver(push(1)), wait_for(lambda: _not_ready(bot))[0]]
    back = bot.deliver(push(1))

    assert [503, 503] == [answer.status_code for answer in away]
    assert all(int(answer.headers["Retry-After"]) > 0 for answer in away)
    assert 202 == back.status_code
    assert "success" == bot.wait_idle("shop")[0]["state"]


def test_two_hosts_share_one_history(make_bot: BotMaker, postgres: Server) -> None:
    """A push that reaches both is decided once and deployed by one of them; each tells all of it."""
    shared = {
        "FASTDEPLOY_DATABASE_URL": postgres.empty(),
        "FASTDEPLOY_SECRET_KEY": "k" * 64,
        "FASTDEPLOY_WEBHOOK_SECRET": "hook",
    }
    hosts: list[Bot] = [make_bot(**shared) for _ in range(2)]
    for host in hosts:
        host.service("shop", "#!/bin/sh\necho $FASTDEPLOY_DEPLOYMENT >> ran\n", repository="octo-org/shop")
        host.start()

    answers = [
        host.deliver(push(number), guid=f"guid-{number}", secret="hook") for number in (1, 2, 3) for host in hosts
    ]

    assert [False, True] * 3 == [answer.json()["duplicate"] for answer in answers]
    told = [host.wait_idle("shop") for host in hosts]
    assert [row["id"] for row in told[0]] == [row["id"] for row in told[1]]
    assert {"success", "superseded"} >= {row["state"] for row in told[0]}
    ran = [number for host in hosts for number in _ran(host)]
    assert sorted(ran) == [row["id"] for row in told[0] if row["state"] == "success"]


def _not_ready(bot: Bot) -> list[Response]:
    """What a bot says that is not ready; nothing where it is. What it found holds for a second."""
    answer = bot.http("GET", "/readyz", token="")
    return [] if answer.ok else [answer]


def _ran(host: Bot) -> list[int]:
    """The deployments whose script ran on a host."""
    path = host.home / "services" / "shop" / "ran"
    return [int(line) for line in path.read_text().split()] if path.exists() else []
