"""Line 10: how long it takes from exec to the first answer, beside importing the same third-party packages.

The bot is started by `fastdeploy serve` in a home that has been there before, with ten services; the answer is that to
`/readyz`, asked for again and again: that it is up, has its schema, and can write. The other side is the same Python,
told to import every module of other people's packages that the bot has in memory once it has deployed a push: Python's
own account of what a bot imports says which those are. Both have all of it compiled already, as an installation has.
"""

from __future__ import annotations

import compileall
import importlib.util
import re
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Final

import fastdeploy_bot
from bench.table import Figures, Line, Row, Run, Side, at_most
from bots import COMMAND, Bot, wait_for

ASKED: Final = b"GET /readyz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
LEAST: Final = 5
"""How often it is started at least."""
PROGRAM: Final = """
import importlib
for name in {}:
    try:
        importlib.import_module(name)
    except ImportError:
        pass  # what is not there, the bot has tried, too
"""
_IMPORTED: Final = re.compile(r"^import time:[ 0-9]*\|[ 0-9]*\| *([a-zA-Z0-9_.]+)$", re.MULTILINE)


def of_bot(run: Run) -> Figures:
    """The bot's."""
    # Python itself keeps nothing that it compiled where PYTHONDONTWRITEBYTECODE is set.
    compileall.compile_dir(Path(fastdeploy_bot.__file__).parent, quiet=1)
    with closing(_made(run.folder)) as bot:

        def start() -> None:
            bot.server = subprocess.Popen(
                [*COMMAND, "--home", str(bot.home), "serve", "--port", str(bot.port)],
                env=bot.environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
            wait_for_answer(bot.port)

        def stop() -> None:
            bot.kill()
            wait_for(lambda: not listens(bot.port))

        return {"ms": repeated(run, start, stop)}


def of_imports(run: Run) -> Figures:
    """That of a Python that imports what the bot does."""
    kept = run.kept / "modules"
    if not kept.exists():
        kept.write_text("\n".join(modules(run.folder)))
    program = PROGRAM.format(kept.read_text().split())

    def start() -> None:
        subprocess.run([sys.executable, "-c", program], cwd=run.folder, check=True)

    return {"ms": repeated(run, start, lambda: None)}


def repeated(run: Run, start: Callable[[], None], stop: Callable[[], None]) -> float:
    """The median of the milliseconds that a start takes."""
    start()  # what is read and compiled once, is so
    stop()
    took: list[float] = []
    end = time.perf_counter() + run.seconds
    while time.perf_counter() < end or len(took) < LEAST:
        began = time.perf_counter()
        start()
        took.append(time.perf_counter() - began)
        stop()
    return statistics.median(took) * 1_000


def listens(port: int) -> bool:
    """Whether somebody takes connections there."""
    with socket.socket() as connection:
        return connection.connect_ex(("127.0.0.1", port)) == 0


def wait_for_answer(port: int) -> None:
    """Ask until there is a good answer."""
    while True:
        with socket.socket() as connection:
            if connection.connect_ex(("127.0.0.1", port)):
                time.sleep(0.002)
                continue
            connection.sendall(ASKED)
            answer = connection.recv(4_096)
            if not answer.startswith(b"HTTP/1.1 200"):
                raise AssertionError(answer.decode(errors="replace"))
            return


def modules(folder: Path) -> list[str]:
    """The third-party modules that a bot has imported once it has deployed something, in the order of its imports."""
    with closing(_made(folder)) as bot:
        bot.environment["PYTHONPROFILEIMPORTTIME"] = "1"
        bot.start()
        wait_for(lambda: bot.wait_end(bot.deploy("s0"))["state"] == "success")
        bot.stop()
        found = dict.fromkeys(_IMPORTED.findall(bot.output()))
    return [name for name in found if _is_third_party(name.partition(".")[0])]


def _made(folder: Path) -> Bot:
    bot = Bot(folder)
    for number in range(10):
        bot.service(f"s{number}", "#!/bin/sh\n")
    return bot


def _is_third_party(package: str) -> bool:
    found = importlib.util.find_spec(package) if package != "__main__" else None
    return found is not None and "site-packages" in (found.origin or "") and not package.startswith("__editable__")


LINE: Final = Line(
    number=10,
    rows=(
        Row(
            "exec to the first answer, against importing the same packages",
            "ms",
            Side("fastdeploy_bot, fastdeploy serve", of_bot),
            Side("python, the same packages", of_imports),
            must=at_most(1.3),
            goal=at_most(1.1),
        ),
    ),
)
