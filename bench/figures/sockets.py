"""What websockets cost: how soon webhooks are answered beside 500, and how soon those hear. Run by `make figures`.

A bot of its own, readers and one that takes nothing; then webhooks, several at a time. It prints figures in
milliseconds and judges nothing. `python -m bench.figures.sockets 200` for another number of sockets.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, closing, suppress
from pathlib import Path
from typing import Final
from uuid import uuid4

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from bench import runs
from bots import Bot
from feeds import fill, stalled

WEBHOOKS: Final = 300
AT_ONCE: Final = 2
MOST_SECONDS: Final = 30.0


class Times:
    """When each webhook was sent, by its GUID, and how long everything took after that, in seconds."""

    def __init__(self) -> None:
        self.sent: dict[str, float] = {}
        self.answered: list[float] = []
        self.heard: list[float] = []


def main(sockets: int = 500) -> None:
    """Run a bot, hold its sockets, deliver, and print."""
    with (
        tempfile.TemporaryDirectory() as folder,
        closing(Bot(Path(folder), FASTDEPLOY_MAX_SOCKETS=str(sockets))) as bot,
    ):
        bot.service("shop", "#!/bin/sh\n", repository="octo-org/shop")
        bot.start()
        fill(bot.home, events=3_000)  # more than a connection takes that nobody reads from
        alone = deliver(bot, Times(), WEBHOOKS // 5)
        times = asyncio.run(listen(bot, sockets))
    print(f"webhook answered, no sockets    {shown(alone.answered)}")
    print(f"webhook answered, {sockets} sockets   {shown(times.answered)}")
    print(f"event heard after it was sent   {shown(times.heard)}")


async def listen(bot: Bot, sockets: int) -> Times:
    """Deliver while every socket is held."""
    times = Times()
    async with AsyncExitStack() as stack:
        stack.enter_context(stalled(bot.url, bot.token()))
        url, headers = f"ws://127.0.0.1:{bot.port}/feed", {"Authorization": f"Bearer {bot.token()}"}
        readers = [
            await stack.enter_async_context(connect(url, additional_headers=headers)) for _ in range(sockets - 1)
        ]
        tasks = [asyncio.create_task(hear(reader, times)) for reader in readers]
        await asyncio.to_thread(deliver, bot, times, WEBHOOKS)
        await asyncio.sleep(1)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return times


async def hear(reader: ClientConnection, times: Times) -> None:
    """Note when each delivery is heard of."""
    with suppress(ConnectionClosed):
        async for message in reader:
            now, told = time.perf_counter(), json.loads(message)
            if told["type"] == "delivery":
                times.heard.append(now - times.sent[told["delivery"]["guid"]])


def deliver(bot: Bot, times: Times, count: int) -> Times:
    """Send so many webhooks, some at a time, as long as there is time."""
    deadline = time.monotonic() + MOST_SECONDS

    def send(_number: int) -> None:
        if time.monotonic() < deadline:
            guid = str(uuid4())
            times.sent[guid] = time.perf_counter()
            bot.deliver(b"{}", event="ping", guid=guid)
            times.answered.append(time.perf_counter() - times.sent[guid])

    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(send, range(count)))
    return times


def shown(seconds: Sequence[float]) -> str:
    """Median, 99th percentile and number of some durations."""
    parts = statistics.quantiles(seconds, n=100)
    return f"p50 {parts[49] * 1_000:7.1f} ms   p99 {parts[98] * 1_000:7.1f} ms   ({len(seconds)})"


if __name__ == "__main__":
    runs.end_when_told()
    main(*map(int, sys.argv[1:]))
