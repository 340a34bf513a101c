"""What commands share: which bot they are about, and how they end."""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Callable
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import click

from fastdeploy_bot import values
from fastdeploy_bot.cli.bot import Bot
from fastdeploy_bot.errors import Invalid, Unauthenticated
from fastdeploy_bot.settings import Settings
from fastdeploy_bot.sources import load
from fastdeploy_bot.words import DeploymentState

F = TypeVar("F", bound=Callable[..., Any])  # commands, whatever options they take

EXIT_STATUSES: Final = {
    DeploymentState.SUCCESS: 0,
    DeploymentState.FAILURE: 1,
    DeploymentState.CANCELLED: 3,
    DeploymentState.SUPERSEDED: 3,
    DeploymentState.LOST: 4,
}
INTERRUPTED: Final = 130
USER_TOKEN: Final = "FASTDEPLOY_USER_TOKEN"  # noqa: S105 - a variable's name

_URL: Final = "fastdeploy.url"
_PLAIN: Final = "fastdeploy.plain"

as_json: Final = click.option("--json", "json_", is_flag=True, help="Print JSON.")


def by_url(command: F) -> F:
    """Let a command take `--url`, which may as well stand before the command."""
    url = click.option(
        "--url",
        metavar="ADDRESS",
        expose_value=False,
        callback=_note_url,
        help=f"A bot elsewhere, by a token in {USER_TOKEN}.",
    )
    plain = click.option(
        "--plain-http",
        is_flag=True,
        expose_value=False,
        callback=_note_plain,
        help="With --url: send the token over plain http all the same, where it can be read on the way.",
    )
    return url(plain(command))


def settings() -> Settings:
    """The settings, with the flags given."""
    return load(flags=click.get_current_context().obj).settings


def url() -> str | None:
    """The address of the bot that the command is about; None where that is this host's."""
    ctx = click.get_current_context()
    found: str | None = ctx.meta.get(_URL)
    if found is None:
        return None
    if "home" in ctx.obj:
        raise Invalid("--home is for the bot of this host, --url for one elsewhere: keep one of them")
    if _tells_everyone(found) and not ctx.meta.get(_PLAIN):
        raise Invalid(
            f"--url: {found} is plain http, so that the token could be read on the way: use https, or --plain-http"
        )
    return found


def bot() -> Bot:
    """The bot that the command is about, this host's or the one at `--url`."""
    address = url()
    if address is None:
        from fastdeploy_bot.cli.local import LocalBot

        return LocalBot(settings())
    from fastdeploy_bot.cli.client import Client
    from fastdeploy_bot.cli.remote import RemoteBot

    return RemoteBot(Client(address, _token()))


def again(*words: str) -> str:
    """How to call another command about the same bot."""
    ctx = click.get_current_context()
    where = [("--home", ctx.obj.get("home")), ("--url", ctx.meta.get(_URL)), ("--plain-http", ctx.meta.get(_PLAIN))]
    given = [part for name, value in where if value for part in ([name] if value is True else [name, value])]
    return shlex.join(["fastdeploy", *given, *words])


def read_password(from_stdin: bool, *, confirm: bool = True) -> str:
    """A password from FASTDEPLOY_PASSWORD, standard input or a prompt."""
    if "FASTDEPLOY_PASSWORD" in os.environ:
        return os.environ["FASTDEPLOY_PASSWORD"]
    if from_stdin:
        return sys.stdin.read().rstrip("\r\n")
    if not sys.stdin.isatty():
        raise Invalid("password: there is no terminal to ask at; use --password-stdin or FASTDEPLOY_PASSWORD")
    password: str = click.prompt("Password", hide_input=True, confirmation_prompt=confirm, err=True)
    return password


def _note_url(ctx: click.Context, _option: click.Parameter, text: str | None) -> None:
    if text is None:
        return
    try:
        ctx.meta[_URL] = values.base_url(text)
    except ValueError as error:
        raise click.BadParameter(f"expected {error}, got {values.shown(text)}") from error


def _note_plain(ctx: click.Context, _option: click.Parameter, given: bool) -> None:
    if given:
        ctx.meta[_PLAIN] = given


def _tells_everyone(address: str) -> bool:
    """Whether what is sent there can be read on the way."""
    parts = urlsplit(address)
    return parts.scheme == "http" and not values.is_loopback(parts.hostname or "")


def _token() -> str:
    """Whose rights a bot elsewhere gives."""
    token = os.environ.get(USER_TOKEN, "").strip()
    if not token:
        raise Unauthenticated(
            f"{USER_TOKEN} is not set: `fastdeploy login NAME --url ADDRESS` prints a user token for it; "
            "a service token does for the deployments of its service"
        )
    if not re.fullmatch(r"[!-~]+", token):
        raise Invalid(f"{USER_TOKEN}: expected a token, without spaces")
    return token
