"""Many pushes at once, over real connections: each is decided once, and the newest one is live in the end."""

from __future__ import annotations

import json
from collections import Counter

import loads
from bots import Bot, wait_for

SCRIPT = """#!/bin/sh
echo $FASTDEPLOY_SHA >> ran
"""


def test_a_delivery_that_comes_a_thousand_times_is_decided_once(own_bot: Bot) -> None:
    """In parallel, to two processes that know nothing of each other, and again after a restart."""
    own_bot.environment["FASTDEPLOY_WEB_PROCESSES"] = "2"
    folder = own_bot.service("s0", SCRIPT, repository="octo-org/s0")
    own_bot.start()
    wait_for(lambda: len(own_bot.workers()) == 2)
    delivery = loads.request(loads.pushed(0, 0), secret=own_bot.secret, guid="the-one")

    before = loads.send(own_bot.port, [delivery] * 1_000, connections=32)
    own_bot.stop()
    own_bot.start()
    after = loads.send(own_bot.port, [delivery] * 4, connections=2)
    [ended] = own_bot.wait_idle("s0")

    receipts = [json.loads(answer.body) for answer in before + after]
    assert {202} == {answer.status for answer in before + after}
    assert {False: 1, True: 1_003} == Counter(receipt["duplicate"] for receipt in receipts)
    assert {ended["id"]} == {verdict["deployment"] for receipt in receipts for verdict in receipt["verdicts"]}
    assert [ended["sha"]] == (folder / "ran").read_text().split()


def test_each_service_ends_on_its_newest_commit_however_many_pushes_come(own_bot: Bot) -> None:
    """Every push is accepted and has its verdict; none runs twice, and none after a newer one."""
    services, pushes = 10, 500
    folders = [own_bot.service(f"s{each}", SCRIPT, repository=f"octo-org/s{each}") for each in range(services)]
    own_bot.start()
    turns = [divmod(number, services) for number in range(pushes)]
    requests = [
        loads.request(loads.pushed(service, turn), secret=own_bot.secret, guid=f"push-{service}-{turn}")
        for turn, service in turns
    ]

    answers = loads.send(own_bot.port, requests, connections=64)
    wait_for(own_bot.idle)

    verdicts = [verdict for answer in answers for verdict in json.loads(answer.body)["verdicts"]]
    ran = [(folder / "ran").read_text().split() for folder in folders]
    assert ({202}, pushes) == ({answer.status for answer in answers}, len(verdicts))
    assert {"deploy", "stale"} >= {verdict["verdict"] for verdict in verdicts}
    assert [sorted(set(shas)) for shas in ran] == ran
    assert [loads.commit(each, pushes // services) for each in range(services)] == [shas[-1] for shas in ran]
