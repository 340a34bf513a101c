"""How the bot is served: gunicorn's settings and hooks, used by `fastdeploy serve` and by `gunicorn.conf.py` alike."""

from __future__ import annotations

import gc
import os
import resource
import sys
from typing import Any, Final

from fastdeploy_bot import facts as _facts
from fastdeploy_bot import inherited as _inherited
from fastdeploy_bot import settings as _settings
from fastdeploy_bot import sources as _sources
from fastdeploy_bot.app import create_engine as _create_engine
from fastdeploy_bot.app import prepare as _prepare
from fastdeploy_bot.app import settings_of as _settings_of
from fastdeploy_bot.errors import FastdeployError as _FastdeployError
from fastdeploy_bot.web.live import sockets as _sockets

try:
    if (_address := _inherited.address()) is not None:
        # Whatever the settings say: it listens there, and its workers, which read the settings anew, tell so.
        os.environ |= {"FASTDEPLOY_HOST": _address[0], "FASTDEPLOY_PORT": str(_address[1])}
    _loaded: Final = _sources.load().settings
    _settings.require_serving(_loaded)
except _FastdeployError as _error:
    sys.exit(f"fastdeploy: {_error}")

_facts.hide(_loaded.own_secrets)

bind = f"[{_loaded.host}]:{_loaded.port}" if ":" in _loaded.host else f"{_loaded.host}:{_loaded.port}"
wsgi_app = "fastdeploy_bot.app:create_app()"
worker_class = "fastdeploy_bot.web.server.Worker"
workers = _loaded.web_processes
threads = _loaded.web_threads + _loaded.max_sockets
worker_connections = threads + 1_000
"""More than are answered at the same time: the others wait for their next request."""
preload_app = False
control_socket_disable = True
http_parser = "python"
timeout = 120
graceful_timeout = 4
"""After so many seconds the master kills a worker that was told to end; it takes `server.ANSWER_SECONDS` and a bit."""
keepalive = 5
proc_name = "fastdeploy"
forwarded_allow_ips = ""
logger_class = "fastdeploy_bot.web.server.AccessLogger"
logconfig_dict: dict[str, Any] = _facts.configuration(_loaded.effective_log_format) | {
    "loggers": {
        "gunicorn.error": {"level": "INFO", "handlers": ["stderr"], "propagate": False},
        "gunicorn.access": {"level": "INFO", "handlers": ["stderr"], "propagate": False},
    },
}

_engines: Final[dict[int, Any]] = {}
_FILES: Final = worker_connections + 3 * threads + 200
"""What a worker may have open: connections, the database's files for each thread, what its runs and the engine need."""


def on_starting(_server: Any) -> None:
    """Before any worker: bring the schema up to date, once."""
    os.umask(0o077)  # what the bot writes is its user's alone; workers inherit this, scripts get their own
    _open_more_files()
    try:
        _prepare(_loaded)
    except _FastdeployError as error:
        sys.exit(_facts.masked(f"fastdeploy: {error}"))


def when_ready(_server: Any) -> None:
    """Before the first worker: what is loaded by now stays, in workers, too; to look through it takes 40 ms a time."""
    gc.freeze()
    gc.enable()


def post_worker_init(worker: Any) -> None:
    """In each worker, after the fork: start its engine."""
    gc.freeze()  # the app stays, too
    settings = _settings_of(worker.wsgi)
    _sockets.end_when(worker.wsgi, lambda: not worker.alive)
    if settings.max_running > 0:
        _engines[os.getpid()] = engine = _create_engine(settings)
        engine.start()
    worker.log.info("serving on %s", settings.effective_local_url)


def worker_int(_worker: Any) -> None:
    """A worker is told to end: claim nothing more, from this moment."""
    if (engine := _engines.get(os.getpid())) is not None:
        engine.end()


def worker_exit(_server: Any, _worker: Any) -> None:
    """A worker ends: its runs are let go of, and their scripts go on."""
    if (engine := _engines.pop(os.getpid(), None)) is not None:
        engine.stop()


def _open_more_files() -> None:
    """Have room for what a worker may have open, where the host lets us: many have room for 1,024 by default."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    room = _FILES if hard == resource.RLIM_INFINITY else min(_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < room:
        resource.setrlimit(resource.RLIMIT_NOFILE, (room, hard))
