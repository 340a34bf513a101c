"""Pushes whose instructions are counted: run by `instructions.py` under callgrind, which counts anew at each mark.

First what a push cannot do without, then the bot's own way of taking one, both in this one interpreter: a Flask view
that does nothing; the body's HMAC, its JSON, and four rows in one transaction. What is loaded and prepared once
is not counted. Writes the statements of one more push, as a list in JSON.
"""

from __future__ import annotations

import gc
import hashlib
import hmac
import io
import json
import logging
import logging.config
import os
import sqlite3
import sys
from collections.abc import Callable, Iterable
from itertools import count
from pathlib import Path
from typing import Any, Final

from flask import Flask, request
from werkzeug.test import run_wsgi_app

from fastdeploy_bot import facts, store
from fastdeploy_bot.app import create_app
from fastdeploy_bot.forge.github import payloads, signatures
from fastdeploy_bot.settings import Settings
from fastdeploy_bot.store.models import proxy
from fastdeploy_bot.words import WebhookSecret

WARM: Final = 20
"""What is done before it counts: Python rewrites a function's code when that has run for a while."""
COUNTED: Final = 30
SERVICES: Final = 10
SECRET: Final = "s3cret"
ADDRESSES: Final = 75
"""GitHub's own example of a push has 7.6 kB, most of it addresses."""

Environ = dict[str, Any]  # as WSGI has it
Way = Callable[[Environ], object]


def main(home: Path) -> None:
    """Take pushes in each way, with a mark before and after those that count."""
    numbers = count(1)
    app = _bot(home)
    ways = (_least(home), lambda environ: _ask(app, environ))
    gc.disable()  # when it collects depends on all that was made before
    for way in ways:
        _take(way, [_push(next(numbers)) for _ in range(WARM)])
    for way in ways:
        pushes = [_push(next(numbers)) for _ in range(COUNTED)]
        _mark()
        _take(way, pushes)
        _mark()
    statements: list[str] = []
    proxy.obj.connection().set_trace_callback(statements.append)
    _ask(app, _push(next(numbers)))
    print(json.dumps(statements))


def _mark() -> None:
    """Call what nothing else calls; callgrind is told the name."""
    os.getpgid(0)


def _take(way: Way, pushes: Iterable[Environ]) -> None:
    for each in pushes:
        way(each)


def _bot(home: Path) -> Flask:
    for number in range(SERVICES):
        file = home / "services" / f"s{number}" / "service.toml"
        file.parent.mkdir(parents=True)
        file.write_text(f'repository = "octo-org/s{number}"\n')
    settings = Settings(
        home=home,
        secret_key="k" * 64,
        webhook_secrets=(WebhookSecret(SECRET),),
        github_token="t0ken",  # so that GitHub is owed reports
    )
    store.connect(settings.effective_database_url)
    store.migrate()
    logging.config.dictConfig(facts.configuration(settings.effective_log_format))
    return create_app(settings)


def _least(home: Path) -> Way:
    """The least that takes a push for good, with the libraries that the bot has, too."""
    rows = sqlite3.connect(home / "least.db", isolation_level=None)
    rows.executescript("PRAGMA journal_mode = wal; CREATE TABLE push (id INTEGER PRIMARY KEY, name TEXT UNIQUE, body)")
    app = Flask("least")

    @app.post("/webhooks/github")
    def view() -> tuple[dict[str, bool], int]:
        request.get_data()
        return {"taken": True}, 202

    def take(environ: Environ) -> None:
        body, name = environ["wsgi.input"].getvalue(), environ["HTTP_X_GITHUB_DELIVERY"]
        _ask(app, environ)
        hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
        json.loads(body)
        rows.execute("BEGIN IMMEDIATE")
        for number in range(4):
            rows.execute("INSERT INTO push (name, body) VALUES (?, ?)", (f"{name}-{number}", body))
        rows.execute("SELECT * FROM push WHERE name = ?", (f"{name}-1",)).fetchall()
        rows.execute("COMMIT")

    return take


def _ask(app: Flask, environ: Environ) -> None:
    """Call an app as a server does. Raises unless it takes the push."""
    _, status, _ = run_wsgi_app(app, environ, buffered=True)
    if status != "202 ACCEPTED":
        raise RuntimeError(f"not taken: {status}")


def _push(number: int) -> Environ:
    """A push to one service's default branch, the next in its chain, as a server hands it over."""
    body = _body(number)
    return {
        "REQUEST_METHOD": "POST",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/webhooks/github",
        "QUERY_STRING": "",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "8000",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "CONTENT_LENGTH": str(len(body)),
        "CONTENT_TYPE": "application/json",
        "HTTP_HOST": "127.0.0.1:8000",
        "HTTP_USER_AGENT": "GitHub-Hookshot/044aadd",
        "HTTP_ACCEPT": "*/*",
        "HTTP_X_GITHUB_EVENT": "push",
        "HTTP_X_GITHUB_DELIVERY": f"00000000-0000-0000-0000-{number:012}",
        "HTTP_X_HUB_SIGNATURE_256": signatures.sign(SECRET, body),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }


def _body(number: int) -> bytes:
    after = f"{number + 1:040x}"
    told: dict[str, Any] = json.loads(
        payloads.push_document(
            repository="octo-org/s3",
            repository_id=1_003,
            before=f"{number:040x}",
            after=after,
            pushed_at=1_700_000_000 + number,
            actor="octocat",
            listed=[payloads.Commit(id=after, message="Mend the shop", modified=("shop.py",))],
        )
    )
    told["repository"] |= {
        f"kind{each}_url": f"https://api.github.com/repos/octo-org/s3/kind{each}{{/number}}"
        for each in range(ADDRESSES)
    }
    return json.dumps(told).encode()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
