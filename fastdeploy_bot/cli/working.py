"""The command to run deployments where nothing is received: `worker`."""

from __future__ import annotations

import logging.config
import os
import signal

import click

from fastdeploy_bot import facts
from fastdeploy_bot import settings as settings_
from fastdeploy_bot.app import create_engine, prepare
from fastdeploy_bot.cli import shared
from fastdeploy_bot.cli.serving import leave_script
from fastdeploy_bot.errors import SettingsError

log = logging.getLogger(__name__)


@click.command()
def worker() -> None:
    """Run deployments without receiving any, until Ctrl-C.

    For a host whose `serve` has max_running = 0, or beside one: runs are shared, and none begins twice.

    \b
    FASTDEPLOY_MAX_RUNNING=0 fastdeploy serve
    fastdeploy worker
    """  # noqa: D301 - click wants the character: what follows keeps its lines
    leave_script()
    settings = shared.settings()
    settings_.require_serving(settings)
    if settings.max_running == 0:
        raise SettingsError("max_running is 0, so there is nothing to do for a worker: set it to 1 or more")
    facts.hide(settings.own_secrets)
    logging.config.dictConfig(facts.configuration(settings.effective_log_format))
    prepare(settings)
    told = _signals()
    engine = create_engine(settings)
    engine.start()
    log.info("running deployments", extra={"max_running": settings.max_running})
    os.read(told, 1)
    engine.stop()


def _signals() -> int:
    """A descriptor from which something can be read once this process was told to end.

    By Python's wake-up descriptor: a handler of Python's own would not run for a signal that comes just before a read.
    """
    told, tells = os.pipe()
    os.set_blocking(tells, False)
    signal.set_wakeup_fd(tells)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, lambda *_: None)
    return told
