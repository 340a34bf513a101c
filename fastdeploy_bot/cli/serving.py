"""The command `serve`. It becomes the server, so it loads no more than it needs to know which."""

from __future__ import annotations

import gc
import os
import socket
import sys
from typing import Any, Final

import click

from fastdeploy_bot import inherited
from fastdeploy_bot import settings as settings_
from fastdeploy_bot.cli import shared
from fastdeploy_bot.errors import SettingsError
from fastdeploy_bot.settings import Settings

OF_A_SCRIPT: Final = frozenset({"FASTDEPLOY_RUN", "FASTDEPLOY_TOKEN", "FASTDEPLOY_STEPS_FILE"})
"""Variables of a deployment that a bot started by its script must not carry: it is not part of the run."""


@click.command()
@click.option("--host", metavar="ADDRESS", help="Where to listen (127.0.0.1).")
@click.option("--port", metavar="PORT", help="Where to listen (8000).")
@click.option("--demo", is_flag=True, help="Make an example if there is nothing yet, and push to it once.")
@click.pass_obj
def serve(flags: dict[str, str], host: str | None, port: str | None, demo: bool) -> None:
    """Receive pushes and deploy them, until Ctrl-C.

    \b
    fastdeploy serve --port 9000
    """  # noqa: D301 - as above
    leave_script()
    gc.disable()  # until the server is ready: an eighth of a start would go into looks at what stays anyway
    flags.update({name: value for name, value in (("host", host), ("port", port)) if value is not None})
    if demo:
        from fastdeploy_bot.cli import demonstrating

        password = demonstrating.prepare(shared.settings())
    settings = shared.settings()
    settings_.require_serving(settings)
    if inherited.address() is None:
        _require_port(settings)
    if demo:
        demonstrating.in_background(settings, password)
    os.environ.update({f"FASTDEPLOY_{name.upper()}": value for name, value in flags.items()})
    from gunicorn.app import wsgiapp
    from gunicorn.arbiter import Arbiter

    Arbiter.handle_usr2 = _stay
    # gunicorn reads them itself; here, since another Python would cost a tenth of a start.
    sys.argv = ["gunicorn", "--config", "python:fastdeploy_bot.serving"]
    wsgiapp.run()


def _stay(arbiter: Any) -> None:  # gunicorn ships no types
    """In place of gunicorn's upgrade, which starts itself anew by a command line that was not ours."""
    arbiter.log.warning("SIGUSR2 does nothing: SIGHUP has the settings read anew, a new version needs a restart")


def leave_script() -> None:
    """Where a deployment's script calls this, begin anew as no part of it: else all would end with the script."""
    if OF_A_SCRIPT & os.environ.keys():
        environ = {name: value for name, value in os.environ.items() if name not in OF_A_SCRIPT}
        os.execve(sys.executable, [sys.executable, "-m", "fastdeploy_bot", *sys.argv[1:]], environ)  # noqa: S606 - no shell


def _require_port(settings: Settings) -> None:
    """Raise a plain error now rather than gunicorn's in a while."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise SettingsError(
                f"cannot listen on {settings.host}:{settings.port}: {reason}; choose another with --port or PORT"
            ) from error
