"""What a log of 50,000 lines costs in a browser: first paint, memory, frames as it scrolls. Run by `make figures`.

A bot of its own, Debian's Chromium, and four scripts. It prints what was measured beside what is promised.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from playwright.sync_api import Browser, Page

import browsers
from bench import runs
from bots import Bot
from windows import sign_in

LINES: Final = 50_000
REST: Final = 45
"""Seconds after scrolling until the browser has collected what it needs no more."""
LINE: Final = "shop.orders: handled request GET /orders/4711?page=2 in 12 ms"
WORD: Final = rf"\033[32mINFO\033[0m {LINE}"
WHOLE: Final = rf"\033[32mINFO\033[0m {LINE[:12]}\033[1;34m{LINE[12:]}\033[0m"
SEVERAL: Final = (
    r"\033[90m2026-11-24 12:00:01\033[0m \033[32mINFO\033[0m "
    rf"\033[1;34m{LINE}\033[0m {LINE} \033[33mid=4711\033[0m\033[36m{LINE[:45]}\033[0m"
)
SCRIPTS: Final = {
    "plain": f"yes '2026-11-24 12:00:01 INFO {LINE}' | head -n {LINES}",
    "a word": f"yes \"$(printf '{WORD}')\" | head -n {LINES}",
    "all": "\n".join(
        f'fastdeploy step {step} -- sh -c "yes \\"\\$(printf \'{WHOLE}\')\\" | head -n {LINES // 2}; exit {status}"'
        for step, status in (("Build", 0), ("Migrate", 3))
    ),
    "several": f"yes \"$(printf '{SEVERAL}')\" | head -n {LINES}",
}
"""Lines in no colour and no step; a word of each in colour; all of each in colour, in steps of which the last fails;
long ones in several colours each."""
FRAMES: Final = """
async () => {
  const log = document.getElementById("log");
  for (const part of log.querySelectorAll("details")) part.open = true;
  log.scrollTop = 0;
  const frame = () => new Promise(requestAnimationFrame);
  await frame();
  await frame();
  const gaps = [];
  let before = performance.now();
  while (log.scrollTop + log.clientHeight < log.scrollHeight - 2) {
    log.scrollTop += log.clientHeight * 1.7;
    await frame();
    const now = performance.now();
    gaps.push(now - before);
    before = now;
  }
  return gaps;
}
"""
"""Scrolls through all of it, by almost two screens in each frame; answers the milliseconds between the frames."""
PAINT: Final = "performance.getEntriesByName('first-contentful-paint')[0].startTime"
LOADED: Final = "performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd"


def main() -> None:
    """Run a bot, deploy each script, look at its page, and print."""
    with tempfile.TemporaryDirectory() as folder, closing(Bot(Path(folder))) as bot, browsers.browser() as browser:
        for name, script in SCRIPTS.items():
            bot.service(name.replace(" ", "-"), f"#!/bin/sh\n{script}\n")
        settings = bot.home / "fastdeploy.toml"
        settings.write_text('log_limit = "32 MiB"\n' + settings.read_text())
        bot.start()
        for name in SCRIPTS:
            number = bot.deploy(name.replace(" ", "-"))
            bot.wait_end(number)
            time.sleep(1)
            look(browser, bot, name, number)


def look(browser: Browser, bot: Bot, name: str, number: int) -> None:
    """Open a deployment's page in a window of its own, and print what that cost."""
    context = browser.new_context(viewport={"width": 1_280, "height": 800})
    page = context.new_page()
    sign_in(page, bot)
    page.goto("about:blank")
    page.goto(f"{bot.url}/deployments/{number}")
    paint, loaded = page.evaluate(PAINT), page.evaluate(LOADED)
    heap, nodes = metrics(page)
    memory = resident(browser)
    gaps = sorted(page.evaluate(FRAMES))
    late = sum(gap > 50 for gap in gaps)
    scrolled = resident(browser)
    time.sleep(REST)
    rested = resident(browser)
    metrics(page)
    kept = resident(browser)
    print(
        f"{name:8} {page.locator('.lines > a').count():,} lines: first paint {paint:.0f} ms (at most 1,000), all there "
        f"{loaded:.0f} ms; JS heap {heap:.1f} MiB, {nodes:,} nodes; renderer {memory:.0f} MiB, when scrolled "
        f"{scrolled:.0f}, at rest {rested:.0f} (at most 150), "
        f"when swept {kept:.0f}; {len(gaps)} frames: p50 {statistics.median(gaps):.0f}, "
        f"p95 {gaps[int(len(gaps) * 0.95)]:.0f}, longest {gaps[-1]:.0f} ms, "
        f"{late} over 50 ms; load average {os.getloadavg()[0]:.0f}",
        flush=True,
    )
    context.close()


def metrics(page: Page) -> tuple[float, int]:
    """The page's JavaScript heap in MiB, and how many nodes it has."""
    session = page.context.new_cdp_session(page)
    session.send("HeapProfiler.collectGarbage")
    session.send("Performance.enable")
    found: dict[str, Any] = {each["name"]: each["value"] for each in session.send("Performance.getMetrics")["metrics"]}
    return found["JSHeapUsedSize"] / 2**20, int(found["Nodes"])


def resident(browser: Browser) -> float:
    """What the largest of the browser's renderers has for itself alone, in MiB.

    In it is a copy of the page's HTML, which Playwright keeps: 8 to 25 MiB that no other reader has.
    """
    session = browser.new_browser_cdp_session()
    processes = session.send("SystemInfo.getProcessInfo")["processInfo"]
    session.detach()
    return max(private(each["id"]) for each in processes if each["type"] == "renderer")


def private(pid: int) -> float:
    """What a process does not share with others, in MiB."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_")) / 1_024


if __name__ == "__main__":
    runs.end_when_told()
    main()
