"""How soon an open page shows what happened, with 50 viewers, and what it costs to open one. Run by `make figures`.

A bot of its own with ten services; 49 plain clients do as the page's script does, half of them on the overview, half on
the page of a running deployment; one real Chromium watches that deployment. A step is reported again and again, once a
second or so; the time runs from the answer to that report, so that 0 is the moment at which it is known to be stored,
to the change in the document, and to the frame after that. It prints figures and judges nothing.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import random
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing, suppress
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any, Final

from playwright.sync_api import Page
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

import browsers
import windows
from bench import runs
from bots import Bot, wait_for

VIEWERS: Final = 50
EVENTS: Final = 100
PAST: Final = 3
"""How often each service was deployed before."""
GATHER, REST = 0.020, 0.150
"""What the script waits after an event, and between two fetches at least, in seconds."""
WATCH: Final = """() => {
    window.seen = {}; window.painted = {};
    const clock = () => performance.timeOrigin + performance.now();
    new MutationObserver(() => {
        for (const [mark] of document.querySelector("#steps").textContent.matchAll(/mark-[0-9]+/g)) {
            if (window.seen[mark]) continue;
            window.seen[mark] = clock();
            requestAnimationFrame(() => setTimeout(() => { window.painted[mark] = clock(); }));
        }
    }).observe(document.querySelector("main"), { subtree: true, childList: true, characterData: true });
}"""


class Viewer:
    """A client that does as the script of an open page does: hears the feed, and fetches the page's regions."""

    def __init__(self, port: int, cookie: str, path: str) -> None:
        self.port, self.cookie, self.path = port, cookie, path
        self.since = 0
        self.news = asyncio.Event()
        self.shown: dict[str, float] = {}
        self.got: list[int] = []
        """The bytes of each answer's body."""

    async def view(self) -> None:
        """Until it is cancelled."""
        query = f"?deployment={self.path.rpartition('/')[2]}" if "deployments" in self.path else ""
        headers = {"Cookie": self.cookie}
        url, origin = f"ws://127.0.0.1:{self.port}/feed{query}", f"http://127.0.0.1:{self.port}"
        async with connect(url, origin=origin, additional_headers=headers) as feed:  # type: ignore[arg-type]
            fetching = asyncio.create_task(self._fetch())
            try:
                with suppress(ConnectionClosed):
                    async for message in feed:
                        told = json.loads(message)
                        self.since = told.get("id", self.since)
                        if told["type"] not in ("hello", "log"):
                            self.news.set()
            finally:
                fetching.cancel()

    async def _fetch(self) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        etag = ""
        while True:
            await self.news.wait()
            await asyncio.sleep(GATHER * random.uniform(0.5, 1.5))  # noqa: S311 - spreads, and hides nothing
            self.news.clear()
            begun = time.perf_counter()
            try:
                head, body = await self._ask(reader, writer, etag)
            except (ConnectionError, asyncio.IncompleteReadError):
                reader, writer = await asyncio.open_connection("127.0.0.1", self.port)  # it was kept for 5 s
                head, body = await self._ask(reader, writer, etag)
            etag = head.get("etag", "")
            self.got.append(len(body))
            for mark in re.findall(r"mark-[0-9]+", body.decode()):
                self.shown.setdefault(mark, time.time())
            await asyncio.sleep(max(REST, 3 * (time.perf_counter() - begun)))

    async def _ask(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, etag: str
    ) -> tuple[dict[str, str], bytes]:
        lines = [
            f"GET {self.path} HTTP/1.1",
            f"Host: 127.0.0.1:{self.port}",
            f"Cookie: {self.cookie}",
            "Accept: text/html",
            "Live-Regions: user",
            f"Live-Since: {self.since}",
            f"If-None-Match: {etag}",
        ]
        writer.write("\r\n".join([*lines, "", ""]).encode())
        status, *rest = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        head = {name.lower(): value for name, _, value in (line.partition(": ") for line in rest)}
        if status.split()[1] not in ("200", "304"):
            raise ConnectionError(status)
        return head, await reader.readexactly(int(head.get("content-length", 0)))


def main(viewers: int = VIEWERS, events: int = EVENTS) -> None:
    """Run a bot, look at it, report, and print."""
    with tempfile.TemporaryDirectory() as folder, closing(Bot(Path(folder))) as bot, browsers.browser() as browser:
        number, token = prepare(bot)
        context = browser.new_context()
        page = context.new_page()
        windows.sign_in(page, bot)
        cookie = "; ".join(f"{each.get('name')}={each.get('value')}" for each in context.cookies())
        print(f"overview, first view    {first_view(page, bot.url)}")
        processes = multiprocessing.get_context("spawn")
        told: Queue[Any] = processes.Queue()
        stop = processes.Event()
        crowd = processes.Process(target=watch, args=(bot.port, cookie, number, viewers - 1, stop, told), daemon=True)
        crowd.start()
        told.get()
        page.goto(f"{bot.url}/deployments/{number}")
        page.locator("#live.on").wait_for()
        page.evaluate(WATCH)
        sent = report(bot, page, number, token, events)
        seen, painted = page.evaluate("[seen, painted]")
        shift = offset(page)
        stop.set()
        shown, sizes = told.get()
        crowd.join()
    missing = [mark for mark in sent if mark not in seen]
    print(
        f"event -> document       {figures([seen[mark] / 1_000 + shift - sent[mark] for mark in sent if mark in seen])}"
    )
    print(f"event -> frame          {figures([painted[m] / 1_000 + shift - sent[m] for m in sent if m in painted])}")
    print(f"event -> other viewers  {figures([at - sent[mark] for mark, at in shown if mark in sent])}")
    print(f"not shown for itself    {len(missing)} of {len(sent)}: a later one came before")
    for path, lengths in sizes.items():
        print(f"regions of {path:12} {statistics.median(lengths):.0f} bytes (median of {len(lengths)} answers)")


def prepare(bot: Bot) -> tuple[int, str]:
    """Ten services with a past, and a deployment that runs until the end; answers it and its token."""
    for name in ("api", "blog", "cart", "docs", "feed", "jobs", "mail", "news", "pay"):
        bot.service(name, "#!/bin/sh\nfastdeploy step Build -- true\n")
    held = bot.service("shop", '#!/bin/sh\nprintf %s "$FASTDEPLOY_TOKEN" > token\nexec sleep 3600\n')
    bot.start()
    for _ in range(PAST):
        for name in ("api", "blog", "cart", "docs", "feed", "jobs", "mail", "news", "pay"):
            bot.deploy(name)
        wait_for(bot.idle)
    number = bot.deploy("shop")
    wait_for(lambda: (held / "token").exists() and (held / "token").stat().st_size)
    return number, (held / "token").read_text()


def first_view(page: Page, url: str) -> str:
    """What a browser that has nothing yet fetches for the overview."""
    page.context.new_cdp_session(page).send("Network.clearBrowserCache")
    page.goto(url)
    page.locator("#live.on").wait_for()
    told: list[list[Any]] = page.evaluate(
        """["navigation", "resource"].flatMap((kind) => performance.getEntriesByType(kind))
           .map((one) => [one.name, one.encodedBodySize])"""
    )
    fetched = [(name.rpartition("/")[2] or "page", size) for name, size in told if not name.startswith("data:")]
    return f"{len(fetched)} requests and a websocket: " + ", ".join(f"{name} {size}" for name, size in fetched)


def watch(port: int, cookie: str, number: int, count: int, stop: Event, told: Queue[Any]) -> None:
    """So many viewers, in a process of their own, until they are to stop."""
    viewers = [Viewer(port, cookie, f"/deployments/{number}" if each % 2 else "/") for each in range(count)]

    async def all_of_them() -> None:
        tasks = [asyncio.create_task(viewer.view()) for viewer in viewers]
        while not all(viewer.since for viewer in viewers):
            await asyncio.sleep(0.05)
        told.put("ready")
        while not stop.is_set():
            await asyncio.sleep(0.1)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(all_of_them())
    sizes: dict[str, list[int]] = {}
    for viewer in viewers:
        sizes.setdefault(viewer.path, []).extend(viewer.got)
    told.put(([each for viewer in viewers for each in viewer.shown.items()], sizes))


def report(bot: Bot, page: Page, number: int, token: str, count: int) -> dict[str, float]:
    """Report a step, again and again; answers when each report was answered."""
    sent: dict[str, float] = {}
    for each in range(count):
        mark = f"mark-{each}"
        bot.post(f"/deployments/{number}/steps", {"name": "Build", "state": "running", "message": mark}, token=token)
        sent[mark] = time.time()
        page.wait_for_timeout(random.uniform(600, 1_400))  # noqa: S311 - no two alike
    return sent


def offset(page: Page) -> float:
    """By how many seconds this process's clock is ahead of the page's."""
    tries = []
    for _ in range(20):
        before = time.time()
        there = page.evaluate("performance.timeOrigin + performance.now()") / 1_000
        after = time.time()
        tries.append((after - before, (before + after) / 2 - there))
    return float(min(tries)[1])


def figures(seconds: Sequence[float]) -> str:
    """Median, 95th and 99th percentile, and number of some durations."""
    parts = statistics.quantiles(seconds, n=100)
    return "   ".join(f"p{p} {parts[p - 1] * 1_000:6.1f} ms" for p in (50, 95, 99)) + f"   ({len(seconds)})"


if __name__ == "__main__":
    runs.end_when_told()
    main(*map(int, sys.argv[1:]))
