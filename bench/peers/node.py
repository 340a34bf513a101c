"""probot and octokit's receiver (https://probot.github.io, https://github.com/octokit/webhooks.js), on Node.js.

Both verify the signature and decode the push; a handler inserts one row into SQLite, which is on disk before the answer
(`rows.mjs`). They decide nothing, start nothing, and answer a push that came before with an error, as its row is there.
probot is served by `probot run` with its defaults for production: it also makes a client of GitHub for each event, and
logs each request.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import appkeys
import bots
from bench import peers, serving
from bench.sender import Sender

SECRET: Final = "a secret of theirs"  # noqa: S105 - it guards nothing
PATH: Final = "/api/github/webhooks"
PROBOT: Final = ("node_modules/probot/bin/probot.js", "run", "./probot.mjs")
OCTOKIT: Final = ("octokit.mjs",)


class Receiver(NamedTuple):
    """One of them, up."""

    port: int
    pid: int
    database: Path

    def sender(self) -> Sender:
        """Who pushes to it."""
        return Sender(self.port, PATH, SECRET)

    def kept(self) -> int:
        """How many pushes it has in its database."""
        return serving.asked(self.database, "SELECT count(*) FROM delivery")


@contextmanager
def started(folder: Path, program: tuple[str, ...]) -> Iterator[Receiver]:
    """One of them, as long as it is needed."""
    if not (peers.NPM / PROBOT[0]).exists():
        raise peers.PeerMissing("probot and octokit are absent: `make peers` installs them, or says why it cannot")
    for module in Path(__file__).parent.glob("*.mjs"):
        shutil.copy(module, peers.NPM)  # beside what it imports
    port, database = bots.free_port(), folder / "rows.db"
    environment = {
        "NODE_ENV": "production",
        "HOST": "127.0.0.1",
        "PORT": f"{port}",
        "DATABASE": f"{database}",
        "WEBHOOK_SECRET": SECRET,
        "APP_ID": "1",
        "PRIVATE_KEY": appkeys.pem(),
    }
    with serving.serving([peers.program("node"), *program], port, folder, environment, cwd=peers.NPM) as server:
        yield Receiver(port, server.pid, database)
