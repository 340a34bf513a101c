"""Commands to begin with: `init`, `serve`, `migrate`, `check`."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Mapping
from typing import Final

import click

from fastdeploy_bot import appfile, inherited, sources, store
from fastdeploy_bot import settings as settings_
from fastdeploy_bot.cli import printing, shared
from fastdeploy_bot.cli.shared import as_json
from fastdeploy_bot.core import secrets
from fastdeploy_bot.core.catalogue import Catalogue, Entry
from fastdeploy_bot.errors import SettingsError, Unavailable
from fastdeploy_bot.settings import Settings

OF_A_SCRIPT: Final = frozenset({"FASTDEPLOY_RUN", "FASTDEPLOY_TOKEN", "FASTDEPLOY_STEPS_FILE"})
"""Variables of a deployment that a bot started by its script must not carry: it is not part of the run."""


@click.command()
@click.option("--example", is_flag=True, help="Add an example service that deploys nothing but a file.")
@click.option("--admin", default="admin", show_default=True, metavar="NAME", help="The first user's name.")
@click.option("--password-stdin", is_flag=True, help="Read the first user's password from standard input.")
def init(example: bool, admin: str, password_stdin: bool) -> None:
    """Make a bot's home: settings with fresh secrets, folders, the database and a first user.

    What is there already stays as it is. The password comes from FASTDEPLOY_PASSWORD, from standard input with
    --password-stdin, or is made and shown once.

    \b
    fastdeploy init --example
    fastdeploy --home /srv/deploy init --admin anna
    """  # noqa: D301 - click wants the character: what follows keeps its lines
    from fastdeploy_bot.cli import home
    from fastdeploy_bot.core import users

    made = home.make(shared.settings().home)
    settings = shared.settings()
    click.echo(f"{'Made' if made else 'Found'} {settings.home}")
    store.connect(settings.effective_database_url)
    store.migrate()
    if users.is_anybody_there():
        click.echo(f"There are users already; `{shared.again('user', 'passwd', 'NAME')}` replaces a lost password")
    home.first_user(admin, password_stdin=password_stdin)
    if example and home.example(settings):
        click.echo(f"Added the example service {settings.services_dir / home.EXAMPLE}")
    click.echo("Next: write services/<name>/service.toml and its deploy script, then `fastdeploy serve`.")
    click.echo(
        f"Then open {settings.effective_public_url}/setup: it connects the bot with GitHub, by an App or by hand;"
    )
    click.echo(f"the secret for a webhook by hand stands in {settings.home / settings_.FILE}.")
    if settings.public_url is None:
        click.echo(
            f"From another machine: ssh -L {settings.port}:127.0.0.1:{settings.port} HOST, and the same address."
        )


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
    environ = {name: value for name, value in os.environ.items() if name not in OF_A_SCRIPT}
    environ.update({f"FASTDEPLOY_{name.upper()}": value for name, value in flags.items()})
    command = [sys.executable, "-m", "gunicorn", "--config", "python:fastdeploy_bot.serving"]
    sys.stdout.flush()
    os.execve(sys.executable, command, environ)  # noqa: S606 - there is no shell, and none is wanted


@click.command()
def migrate() -> None:
    """Bring the database's schema up to date.

    \b
    fastdeploy migrate
    """  # noqa: D301 - as above
    settings = shared.settings()
    if not settings.home.is_dir():
        raise Unavailable(f"there is no bot in {settings.home}: run `fastdeploy init`")
    store.connect(settings.effective_database_url)
    applied = store.migrate()
    click.echo("\n".join(f"applied {name}" for name in applied) or "nothing to apply")


@click.command()
@as_json
def check(json_: bool) -> None:
    """Show every setting and where it comes from; name what is wrong with settings and service files.

    Ends with 1 if anything is wrong.

    \b
    fastdeploy check
    """  # noqa: D301 - as above
    loaded = sources.load(flags=click.get_current_context().obj)
    values = sources.describe(loaded)
    problems = _problems(loaded.settings)
    problems += filter(None, [appfile.problem(loaded.settings.home)])
    entries = Catalogue(loaded.settings.services_dir).entries()
    problems += [entry.problem for entry in entries.values() if entry.file is None]
    problems += _missing_secrets(loaded.settings, entries)
    if json_:
        facts = [{"name": name, "value": value, "origin": origin} for name, value, origin in values]
        printing.show({"settings": facts, "services": sorted(entries), "problems": problems})
    else:
        printing.table(("SETTING", "VALUE", "ORIGIN"), values)
        if loaded.settings.app is not None and settings_.signs_in_by_hand(loaded.settings):
            click.echo(f"{appfile.FILE}: passed over for signing in, as the settings name a token or an App themselves")
        click.echo(f"services: {', '.join(sorted(entries)) or 'none'}")
        for problem in problems:
            printing.warn(problem)
    sys.exit(1 if problems else 0)


def _problems(settings: Settings) -> list[str]:
    try:
        settings_.require_serving(settings)
        store.connect(settings.effective_database_url)
    except SettingsError as error:
        return str(error).splitlines()
    return []


def _missing_secrets(settings: Settings, entries: Mapping[str, Entry]) -> list[str]:
    problems = []
    for name, entry in entries.items():
        try:
            secrets.read(settings.secrets_dir, name, entry.file.secrets if entry.file is not None else ())
        except SettingsError as error:
            problems.append(f"services/{name}/service.toml: secrets: {error}")
    return problems


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
