"""Commands that keep order: `token`, `secret`, `user`."""

from __future__ import annotations

import sys

import click

from fastdeploy_bot import store
from fastdeploy_bot.cli import completing, printing, shared
from fastdeploy_bot.cli.local import LocalBot
from fastdeploy_bot.cli.shared import as_json, by_url
from fastdeploy_bot.core import clock
from fastdeploy_bot.core.files import secrets
from fastdeploy_bot.core.people import audit, tokens, users
from fastdeploy_bot.core.telling import views
from fastdeploy_bot.core.telling.views import UserView
from fastdeploy_bot.errors import NotFound
from fastdeploy_bot.words import LOCAL, Role


@click.group()
def token() -> None:
    """Service tokens: each may start and read the deployments of one service."""


@token.command("create")
@click.argument("service", shell_complete=completing.services)
@click.option(
    "--days",
    type=click.IntRange(1, tokens.MOST_SERVICE_DAYS),
    default=tokens.SERVICE_DAYS,
    show_default=True,
    help="How long it is valid.",
)
@click.option("--name", default="", help="What it is for, to tell it from others.")
@by_url
def create_token(service: str, days: int, name: str) -> None:
    """Make a token and print it alone; it is not shown again.

    \b
    TOKEN=$(fastdeploy token create shop --days 30 --name CI)
    """  # noqa: D301 - click wants the character: what follows keeps its lines
    click.echo(shared.bot().create_token(service, days=days, name=name))


@token.command("list")
@click.argument("service", shell_complete=completing.services)
@as_json
@by_url
def list_tokens(service: str, json_: bool) -> None:
    """List a service's tokens.

    \b
    fastdeploy token list shop
    """  # noqa: D301 - as above
    found = shared.bot().tokens(service)
    if json_:
        printing.show(found)
        return
    rows = [
        (str(each.id), each.name, each.created or "", each.used or "never", each.expires or "", each.revoked or "")
        for each in found
    ]
    printing.table(("ID", "NAME", "CREATED", "USED", "EXPIRES", "REVOKED"), rows)


@token.command("revoke")
@click.argument("service", shell_complete=completing.services)
@click.argument("number", type=int, metavar="ID")
@by_url
def revoke_token(service: str, number: int) -> None:
    """End a token.

    \b
    fastdeploy token revoke shop 3
    """  # noqa: D301 - as above
    shared.bot().revoke_token(service, number)
    printing.say(f"revoked token {number} of {service}")


@click.group()
def secret() -> None:
    """A service's secrets: kept readable by the bot's user alone, given to its script where service.toml names them.

    And one of the bot's own: what GitHub signs the webhooks of the bot's App with.
    """


@secret.command("set")
@click.argument("service")
@click.argument("name")
def set_secret(service: str, name: str) -> None:
    """Keep a secret; its value comes from a prompt or from standard input.

    \b
    fastdeploy secret set shop DB_PASSWORD < password.txt
    """  # noqa: D301 - click wants the character: what follows keeps its lines
    bot = _host()
    if bot.catalogue.get(service) is None:
        raise NotFound(f"there is no service {service!r}: make services/{service}/service.toml first")
    value = click.prompt("Value", hide_input=True) if sys.stdin.isatty() else sys.stdin.read().rstrip("\r\n")
    secrets.put(bot.settings.secrets_dir, service, name, value)
    _note("set", service, name)
    click.echo(f"kept secret {name} of {service}")


@secret.command("list")
@click.argument("service")
@as_json
def list_secrets(service: str, json_: bool) -> None:
    """List the names of a service's secrets.

    \b
    fastdeploy secret list shop
    """  # noqa: D301 - as above
    found = secrets.names(_host().settings.secrets_dir, service)
    if json_:
        printing.show(found)
        return
    for name in found:
        click.echo(name)


@secret.command("rm")
@click.argument("service")
@click.argument("name")
def remove_secret(service: str, name: str) -> None:
    """Forget a secret.

    \b
    fastdeploy secret rm shop DB_PASSWORD
    """  # noqa: D301 - as above
    secrets.remove(_host().settings.secrets_dir, service, name)
    _note("remove", service, name)
    click.echo(f"removed secret {name} of {service}")


@secret.command("rotate-webhook")
def rotate_webhook() -> None:
    """Give the webhook of the App that /setup has made another secret, which nobody needs to know.

    The earlier one counts until GitHub has signed with the new one, at most for an hour. If GitHub does not answer,
    both count until this is done once more.

    \b
    fastdeploy secret rotate-webhook
    """  # noqa: D301 - as above
    from fastdeploy_bot.forge.github import setup

    settings = _host().settings
    setup.rotate(settings, now=clock.now())
    name = "" if settings.app is None else settings.app.slug
    store.write(lambda: audit.note(LOCAL, "rotate webhook secret", f"app {name}", now=clock.now()))
    click.echo(f"GitHub signs the webhooks of {name} with another secret from now on")


def _note(action: str, service: str, name: str) -> None:
    """Write down what was done to a secret; that is a file, so no transaction holds both."""
    store.write(lambda: audit.note(LOCAL, action, f"secret {name}", now=clock.now(), detail=f"service {service}"))


@click.group()
def user() -> None:
    """Users: who may sign in, and what they may do."""


@user.command("add")
@click.argument("name")
@click.option("--role", type=click.Choice([role.value for role in Role]), default=Role.VIEWER.value, show_default=True)
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
def add_user(name: str, role: str, password_stdin: bool) -> None:
    """Add a user; the password comes from a prompt, --password-stdin or FASTDEPLOY_PASSWORD.

    \b
    fastdeploy user add anna --role deployer
    """  # noqa: D301 - as above
    _host()
    users.add(name, shared.read_password(password_stdin), Role(role), by=LOCAL, now=clock.now())
    click.echo(f"added {name} ({role})")


@user.command("passwd")
@click.argument("name")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
def set_password(name: str, password_stdin: bool) -> None:
    """Set a user's password; it comes from a prompt, --password-stdin or FASTDEPLOY_PASSWORD.

    \b
    fastdeploy user passwd anna
    """  # noqa: D301 - as above
    _host()
    users.find(name)
    users.set_password(name, shared.read_password(password_stdin), by=LOCAL, now=clock.now())
    click.echo(f"set the password of {name}")


@user.command("list")
@as_json
def list_users(json_: bool) -> None:
    """List the users.

    \b
    fastdeploy user list
    """  # noqa: D301 - as above
    _host()
    found = [views.user(row) for row in users.everyone()]
    if json_:
        printing.show(found)
        return
    rows = [(each.username, each.role, each.created or "", _signs_in_by(each)) for each in found]
    printing.table(("USER", "ROLE", "CREATED", "SIGNS IN BY"), rows)


def _signs_in_by(user: UserView) -> str:
    """How a user shows who they are."""
    ways = ["password"] if user.password else []
    return " or ".join([*ways, *([f"GitHub account {user.github}"] if user.github is not None else [])])


def _host() -> LocalBot:
    """The bot of this host, which alone has secrets and users to change."""
    return LocalBot(shared.settings())
