"""Commands to begin with: `init`, `migrate`, `check`."""

from __future__ import annotations

import sys
from collections.abc import Mapping

import click

from fastdeploy_bot import appfile, sources, store
from fastdeploy_bot import settings as settings_
from fastdeploy_bot.cli import printing, shared
from fastdeploy_bot.cli.shared import as_json
from fastdeploy_bot.core.files import secrets
from fastdeploy_bot.core.files.catalogue import Catalogue, Entry
from fastdeploy_bot.errors import SettingsError, Unavailable
from fastdeploy_bot.settings import Settings


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
    from fastdeploy_bot.core.people import users

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
        printing.say(f"services: {', '.join(sorted(entries)) or 'none'}")
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
