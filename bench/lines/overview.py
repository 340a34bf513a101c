"""Line 8: how long the overview takes with 100,000 deployments stored, beside one with 100 stored.

The bot on both sides, with ten services and nobody else there; the reader has signed in, and asks for the page again
and again on one connection. The deployments are of the last 60 days, with two steps, a delivery and a verdict each.
"""

from __future__ import annotations

import re
import statistics
import time
from functools import partial
from typing import Final

import requests

from bench import ours, past
from bench.table import Figures, Line, Row, Run, Side, at_most
from bots import ADMIN, PASSWORD, Bot

LEAST: Final = 60
"""How often the page is asked for at least."""


def of_bot(run: Run, *, stored: int) -> Figures:
    """The overview's, with so many deployments stored."""
    with ours.started(run.folder) as bot, requests.Session() as browser:
        bot.stop()
        past.give(bot, stored, run.kept / f"{stored}.db")
        bot.start()
        sign_in(bot, browser)
        took: list[float] = []
        end = time.perf_counter() + run.seconds
        while time.perf_counter() < end or len(took) < LEAST:
            began = time.perf_counter()
            answer = browser.get(f"{bot.url}/", timeout=30)
            took.append(time.perf_counter() - began)
            if answer.status_code != 200 or "s9" not in answer.text:
                raise AssertionError(f"{answer.status_code}: no overview of all services")
    parts = statistics.quantiles(took[LEAST // 6 :], n=20)  # without the warming up
    return {"ms p95": parts[18] * 1_000, "ms p50": parts[9] * 1_000}


def sign_in(bot: Bot, browser: requests.Session) -> None:
    """Send the form as the admin."""
    found = re.search(r'name="form_token" value="([^"]+)"', browser.get(f"{bot.url}/login", timeout=30).text)
    assert found is not None  # noqa: S101 - every form has one
    fields = {"form_token": found[1], "username": ADMIN, "password": PASSWORD}
    answer = browser.post(f"{bot.url}/login", data=fields, headers={"Origin": bot.url}, timeout=30)
    answer.raise_for_status()


LINE: Final = Line(
    number=8,
    rows=(
        Row(
            "overview with 100,000 deployments stored, against 100",
            "ms p95",
            Side("fastdeploy_bot, 100,000 deployments stored", partial(of_bot, stored=100_000)),
            Side("fastdeploy_bot, 100 deployments stored", partial(of_bot, stored=100)),
            must=at_most(1.2),
            goal=at_most(1.05),
        ),
    ),
)
