"""A sender of pushes at a steady pace, as a busy organisation's webhooks are."""

from __future__ import annotations

import json
import time
import uuid
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from threading import Event, Semaphore, Thread
from typing import Final, Self

import requests

from bots import PATIENCE, Bot, wait_for

MOST: Final = 32
"""How many pushes are on their way at once; the next one waits for an answer."""


class Pusher(AbstractContextManager["Pusher"]):
    """Sends pushes to `octo-org/shop`, from its beginning to its end, each on its own connection, as GitHub does."""

    def __init__(self, bot: Bot, *, per_second: float) -> None:
        self._bot = bot
        self._pause = 1 / per_second
        self._enough = Event()
        self._senders = ThreadPoolExecutor(MOST)
        self._free = Semaphore(MOST)
        self._sent: dict[str, Future[int]] = {}
        self._pace = Thread(target=self._send_all)

    def __enter__(self) -> Self:
        """Begin to send."""
        self._pace.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Send no more, and wait for all answers."""
        self._enough.set()
        self._pace.join()
        self._senders.shutdown()

    def wait_for_more(self, count: int) -> None:
        """Wait until so many more pushes were begun to be sent."""
        goal = len(self._sent) + count
        wait_for(lambda: len(self._sent) >= goal)

    def failed(self) -> dict[str, object]:
        """Of each push that was not accepted: what came in place of a 202. To be asked at the end."""
        outcomes = {guid: sent.exception() or sent.result() for guid, sent in self._sent.items()}
        return {guid: outcome for guid, outcome in outcomes.items() if outcome != 202}

    def guids(self) -> set[str]:
        """The deliveries that were sent."""
        return set(self._sent)

    def _send_all(self) -> None:
        due = time.monotonic()
        while not self._enough.wait(max(0.0, due - time.monotonic())):
            self._free.acquire()
            guid = str(uuid.uuid4())
            self._sent[guid] = sent = self._senders.submit(self._send, guid, len(self._sent) + 1)
            sent.add_done_callback(lambda _: self._free.release())
            due = max(due + self._pause, time.monotonic())

    def _send(self, guid: str, number: int) -> int:
        repository = {"id": 4711, "full_name": "octo-org/shop", "default_branch": "main"}
        body = {
            "ref": "refs/heads/main",
            "before": f"{number - 1:040x}",
            "after": f"{number:040x}",
            "repository": repository | {"pushed_at": 1_700_000_000 + number},
        }
        data = json.dumps(body).encode()
        headers = self._bot.signed(data, guid=guid)
        url = f"{self._bot.url}/webhooks/github"
        return requests.post(url, data=data, headers=headers, timeout=2 * PATIENCE).status_code
