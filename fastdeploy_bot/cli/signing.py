"""`fastdeploy login`: trade a name and password for a token of a bot elsewhere."""

from __future__ import annotations

import click
import msgspec

from fastdeploy_bot.cli import shared
from fastdeploy_bot.cli.client import Client
from fastdeploy_bot.cli.shared import by_url
from fastdeploy_bot.errors import Invalid


class _UserToken(msgspec.Struct, frozen=True):
    token: str


@click.command()
@click.argument("name")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
@by_url
def login(name: str, password_stdin: bool) -> None:
    """Print a user token of a bot elsewhere, alone; it is valid for 12 hours.

    The password comes from a prompt, --password-stdin or FASTDEPLOY_PASSWORD.

    \b
    export FASTDEPLOY_USER_TOKEN=$(fastdeploy login anna --url https://deploy.example)
    fastdeploy status --url https://deploy.example
    """  # noqa: D301 - click wants the character: what follows keeps its lines
    url = shared.url()
    if url is None:
        raise Invalid("login: say which bot with --url; on the bot's own host no token is needed")
    given = {"username": name, "password": shared.read_password(password_stdin, confirm=False)}
    click.echo(Client(url, None).post(_UserToken, "token", body=given).token)
