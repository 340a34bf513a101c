"""Line 11: how long a gigabyte of a script's output takes through a deployment, beside the script into a file.

The bot masks two secrets in it, notes when what came, keeps it in files of bounded size, and takes it over into its
database, of which it keeps the beginning and the end, ten megabytes as by default. The time is that from the script's
start to the end of the deployment, as the bot's own row has it. The other side is the same script alone, its output a
file on the same disk.
"""

from __future__ import annotations

import subprocess
import time
from contextlib import closing
from datetime import datetime
from typing import Final

from bench.table import Figures, Line, Row, Run, Side, at_most
from bots import Bot

SIZE: Final = 1_000_000_000
LINE_OF_OUTPUT: Final = "2026-11-24 12:00:01 INFO shop.orders: handled request GET /orders/4711?page=2 in 12 ms"
LONGEST: Final = 250.0


def script(run: Run) -> str:
    """What prints a gigabyte; in a quick run, a tenth of that."""
    return f"yes '{LINE_OF_OUTPUT}' | head -c {SIZE // 10 if run.quick else SIZE}"


def of_bot(run: Run) -> Figures:
    """The deployment's."""
    with closing(Bot(run.folder)) as bot:
        bot.service("shop", f"#!/bin/sh\n{script(run)}\n", secrets=["PASSWORD", "TOKEN"])
        bot.run("secret", "set", "shop", "PASSWORD", stdin="correct horse battery", expect=0)
        bot.run("secret", "set", "shop", "TOKEN", stdin="g9hDq27LmXk4vRtYw1Zp", expect=0)
        bot.start()
        number = bot.deploy("shop")
        time.sleep(run.seconds / 4)  # whoever asks all the time takes of the time that is measured
        ended = bot.wait_end(number, LONGEST)
        if ended["state"] != "success":
            raise AssertionError(ended["reason"])
    began, finished = (datetime.fromisoformat(ended[name]) for name in ("started", "finished"))
    return {"s": (finished - began).total_seconds()}


def of_file(run: Run) -> Figures:
    """That of the script alone."""
    with (run.folder / "output").open("wb") as output:
        began = time.perf_counter()
        subprocess.run(["/bin/sh", "-c", script(run)], stdout=output, check=True)
        return {"s": time.perf_counter() - began}


LINE: Final = Line(
    number=11,
    rows=(
        Row(
            "a gigabyte of script output",
            "s",
            Side("fastdeploy_bot, a deployment", of_bot),
            Side("script > file", of_file),
            must=at_most(2.0),
            goal=at_most(1.2),
        ),
    ),
)
