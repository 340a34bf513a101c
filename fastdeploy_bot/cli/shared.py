"""What commands share: the bot's settings and rows, printing, and exit statuses."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from typing import Any, Final

import click
import msgspec

from fastdeploy_bot import store
from fastdeploy_bot.bell import Bell
from fastdeploy_bot.core.catalogue import Catalogue
from fastdeploy_bot.core.views import DeploymentView
from fastdeploy_bot.errors import Invalid, Unavailable
from fastdeploy_bot.settings import Settings, load
from fastdeploy_bot.words import DeploymentState

MARKS: Final = {
    "pending": "◌", "queued": "◌", "waiting": "⧖", "running": "◐", "success": "✓", "failure": "✗",
    "cancelled": "⊘", "superseded": "⇥", "lost": "?", "skipped": "⇥",
}  # fmt: skip

EXIT_STATUSES: Final = {
    DeploymentState.SUCCESS: 0,
    DeploymentState.FAILURE: 1,
    DeploymentState.CANCELLED: 3,
    DeploymentState.SUPERSEDED: 3,
    DeploymentState.LOST: 4,
}
LOOK_SECONDS: Final = 0.2

as_json: Final = click.option("--json", "json_", is_flag=True, help="Print JSON.")


class Bot(msgspec.Struct, frozen=True):
    """The bot of this host, as commands see it."""

    settings: Settings
    catalogue: Catalogue
    bell: Bell


def settings() -> Settings:
    """The settings, with the flags given."""
    return load(flags=click.get_current_context().obj).settings


def bot() -> Bot:
    """The bot's rows and files. Raises Unavailable where there is no bot yet."""
    found = settings()
    if not found.home.is_dir():
        raise Unavailable(f"there is no bot in {found.home}: run `fastdeploy init`, or set FASTDEPLOY_HOME")
    store.connect(found.effective_database_url)
    store.when_changed(Bell(found.feed_bell_dir).ring)
    store.require_schema()
    return Bot(found, Catalogue(found.services_dir, tells=found.tells_github), Bell(found.bell_dir))


def show(value: Any) -> None:
    """Print a value as JSON."""
    click.echo(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def table(rows: list[tuple[str, ...]]) -> None:
    """Print rows in columns."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))] if rows else []
    for row in rows:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def line(view: DeploymentView) -> str:
    """A deployment in one line."""
    why = f" · {view.reason}" if view.reason else ""
    return f"{MARKS[view.state]} {view.service} #{view.id} {view.state} {view.sha[:7]} · {view.ref}{why}"


def follow(view: Callable[[], DeploymentView], *, quiet: bool = False) -> DeploymentView:
    """Look at a deployment until it has ended, and print its steps as they happen."""
    told: set[tuple[str, str]] = set()
    while True:
        current = view()
        if not quiet:
            _print_news(current, told)
        if DeploymentState(current.state).final:
            return current
        time.sleep(LOOK_SECONDS)


def _print_news(view: DeploymentView, told: set[tuple[str, str]]) -> None:
    for step in view.steps:
        if step.state != "pending" and (step.name, step.state) not in told:
            told.add((step.name, step.state))
            click.echo(f"  {MARKS[step.state]} {step.name} {step.state} {step.message}".rstrip())
    if DeploymentState(view.state).final:
        click.echo(line(view))


def read_password(from_stdin: bool) -> str:
    """A password from FASTDEPLOY_PASSWORD, standard input or a prompt."""
    if "FASTDEPLOY_PASSWORD" in os.environ:
        return os.environ["FASTDEPLOY_PASSWORD"]
    if from_stdin:
        return sys.stdin.read().rstrip("\r\n")
    if not sys.stdin.isatty():
        raise Invalid("password: there is no terminal to ask at; use --password-stdin or FASTDEPLOY_PASSWORD")
    password: str = click.prompt("Password", hide_input=True, confirmation_prompt=True)
    return password
