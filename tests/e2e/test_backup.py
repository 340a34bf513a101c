"""A backup of a bot at work, and the bot that is made of it."""

from __future__ import annotations

import shutil
import subprocess
import threading
from uuid import uuid4

from bots import Bot, BotMaker, wait_for
from fastdeploy_bot.forge.github import payloads


def pushed(number: int) -> bytes:
    """The push of that number to the main branch of octo-org/shop."""
    return payloads.push_document(
        repository="octo-org/shop",
        repository_id=1,
        before=f"{number:040x}",
        after=f"{number + 1:040x}",
        pushed_at=1_700_000_000 + number,
    )


def test_a_bot_restored_from_a_backup_knows_what_it_knew(make_bot: BotMaker) -> None:
    """Backed up under pushes, without a name; its history is there, what ran then is lost, and old pushes stay old."""
    old, new = make_bot().start(), make_bot()
    old.service("shop", "#!/bin/sh\necho deployed $DB_PASSWORD\n", secrets=["DB_PASSWORD"])
    old.run("secret", "set", "shop", "DB_PASSWORD", stdin="open sesame", expect=0)
    old.service("slow", "#!/bin/sh\nwhile [ ! -e go ]; do sleep 0.1; done\n")
    running = old.deploy("slow")
    old.wait_state(running, "running")
    accepted: list[int] = []
    pushes = Pushes(old, accepted)
    pushes.start()
    wait_for(lambda: len(accepted) > 5)

    before = list(accepted)
    old.run("backup", expect=0)
    [archive] = old.home.parent.glob("fastdeploy-*.tar")
    pushes.end()
    assert len(accepted) > len(before)
    old.kill()

    shutil.rmtree(new.home)
    new.home.mkdir()
    subprocess.run(["tar", "-xf", archive, "-C", new.home], check=True)
    new.secret = old.secret
    new.start()

    lost = new.wait_end(running)
    assert ("lost", True) == (lost["state"], "restored from a backup" in lost["reason"])
    known = {row["sha"] for row in new.wait_idle("shop")}
    assert {f"{number + 1:040x}" for number in before} <= known
    again = [new.deliver(pushed(number)).json()["verdicts"][0]["verdict"] for number in before]
    assert {"duplicate"} == set(again)
    newer = new.deliver(pushed(10_000)).json()["verdicts"][0]
    assert ("deploy", "success") == (newer["verdict"], new.wait_end(newer["deployment"])["state"])
    assert b"deployed" in new.log(newer["deployment"])
    assert 0o600 == (new.home / "secrets" / "shop" / "DB_PASSWORD").stat().st_mode & 0o777


class Pushes(threading.Thread):
    """Pushes one after the other, until told to end."""

    def __init__(self, bot: Bot, accepted: list[int]) -> None:
        super().__init__()
        self._bot = bot
        self._accepted = accepted
        self._over = threading.Event()

    def run(self) -> None:
        """Push, and note what was accepted."""
        for number in range(1, 10_000):
            if self._over.is_set():
                return
            if self._bot.deliver(pushed(number), guid=str(uuid4())).status_code == 202:
                self._accepted.append(number)

    def end(self) -> None:
        """Push no more."""
        self._over.set()
        self.join()
