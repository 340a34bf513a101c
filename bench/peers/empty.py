"""A view of Flask's that does nothing, served as the bot is: gunicorn's threads, as many of them, the same HTTP parser.

It takes the body, as what is not taken would close the connection, and answers 202. It verifies, decodes, keeps, logs
and starts nothing: what it costs is what a request costs in this stack.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from flask import Flask, request

import bots
from bench import serving
from fastdeploy_bot.settings import Settings

PATH: Final = "/webhooks/github"

app = Flask(__name__)


@app.post(PATH)
def nothing() -> tuple[str, int]:
    """Take a webhook for nothing."""
    request.get_data()
    return "", 202


@contextmanager
def started(folder: Path) -> Iterator[tuple[int, list[int]]]:
    """The view, served; its port and its processes."""
    port = bots.free_port()
    command = [sys.executable, "-m", "gunicorn", f"{__name__}:app", "--bind", f"127.0.0.1:{port}", *_as_the_bot()]
    with serving.serving(command, port, folder, {"PYTHONPATH": os.pathsep.join(sys.path)}) as server:
        yield port, [server.pid, *bots.wait_for(lambda: bots.children_of(server.pid))]


def _as_the_bot() -> list[str]:
    """The options of gunicorn for what the bot sets: `fastdeploy_bot/serving.py` cannot be imported without a home."""
    threads = Settings().web_threads + Settings().max_sockets
    [parser] = re.findall(
        r'^http_parser = "(\w+)"', (bots.ROOT / "fastdeploy_bot/serving.py").read_text(), re.MULTILINE
    )
    return [
        *("--worker-class", "gthread", "--threads", f"{threads}", "--worker-connections", f"{threads + 1_000}"),
        *("--http-parser", parser, "--keep-alive", "5", "--no-control-socket"),
    ]
