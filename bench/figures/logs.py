"""What a gigabyte of output costs: time, beside that of the same script into a file, and memory. Run by `make figures`.

A bot of its own, with two secrets to mask; three scripts, each first alone and then as a deployment. It prints seconds
and mebibytes, and judges nothing.
"""

from __future__ import annotations

import subprocess
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Final

from bots import Bot, children_of, resident

SIZE: Final = 1_000_000_000
LINE: Final = "2026-11-24 12:00:01 INFO shop.orders: handled request GET /orders/4711?page=2 in 12 ms"
SCRIPTS: Final = {
    "lines": f"yes '{LINE}' | head -c {SIZE}",
    "zeros": f"head -c {SIZE} /dev/zero",
    "random": f"head -c {SIZE} /dev/urandom",
}
LONGEST: Final = 300.0


def main() -> None:
    """Run a bot, deploy each script, and print."""
    with tempfile.TemporaryDirectory() as folder, closing(Bot(Path(folder))) as bot:
        for name, script in SCRIPTS.items():
            bot.service(name, f"#!/bin/sh\n{script}\n", secrets=["PASSWORD", "TOKEN"])
            bot.run("secret", "set", name, "PASSWORD", stdin="correct horse battery", expect=0)
            bot.run("secret", "set", name, "TOKEN", stdin="g9hDq27LmXk4vRtYw1Zp", expect=0)
        bot.start()
        for name, script in SCRIPTS.items():
            alone = to_file(script, Path(folder) / "output")
            took, server, child = deployed(bot, name)
            print(
                f"{name:7} to a file {alone:5.1f} s   as a deployment {took:5.1f} s   "
                f"server grew by {server:4.1f} MiB   child took {child:4.1f} MiB",
                flush=True,
            )


def to_file(script: str, path: Path) -> float:
    """How long the script takes alone."""
    begin = time.monotonic()
    with path.open("wb") as output:
        subprocess.run(["/bin/sh", "-c", script], stdout=output, check=True)
    took = time.monotonic() - begin
    path.unlink()
    return took


def deployed(bot: Bot, name: str) -> tuple[float, float, float]:
    """How long its deployment takes, by how much the server grows meanwhile, and how much its child takes at most."""
    [worker] = bot.workers()
    before = resident(worker)
    begin = time.monotonic()
    number = bot.deploy(name)
    server, child = before, 0.0
    while bot.deployment(number)["state"] in ("queued", "running"):
        server = max(server, resident(worker))
        child = max([child, *map(resident, children_of(worker))])
        if time.monotonic() > begin + LONGEST:
            raise TimeoutError(f"{name}: no end after {LONGEST:g} s")
        time.sleep(0.05)
    return time.monotonic() - begin, server - before, child


if __name__ == "__main__":
    main()
