"""Commands that steer: `deploy`, `cancel`, `retry`. On the bot's host they work on its rows, as user `local`."""

from __future__ import annotations

import json
import sys
from typing import Any

import click

from fastdeploy_bot import store
from fastdeploy_bot.cli import shared
from fastdeploy_bot.cli.shared import Bot, as_json
from fastdeploy_bot.core import clock, deployments, starting, views
from fastdeploy_bot.core.starting import Wish
from fastdeploy_bot.core.views import DeploymentView
from fastdeploy_bot.errors import Invalid, Unavailable
from fastdeploy_bot.store.models import Deployment
from fastdeploy_bot.words import LOCAL, DeploymentState


@click.command()
@click.argument("service")
@click.option("--sha", help="The commit, 40 hex digits; without it the head that was pushed last.")
@click.option("--ref", help="The branch, or refs/tags/… for a tag.")
@click.option("--context", default="{}", metavar="JSON", help="Facts for the script, as FASTDEPLOY_CONTEXT.")
@click.option("--wait", is_flag=True, help="Stay until it has ended, and end with its outcome.")
@as_json
def deploy(service: str, sha: str | None, ref: str | None, context: str, wait: bool, json_: bool) -> None:
    """Deploy a service by hand.

    \b
    fastdeploy deploy shop --wait
    fastdeploy deploy shop --sha 5f2d1c0b9e8a7f6e5d4c3b2a1908f7e6d5c4b3a2
    """  # noqa: D301 - click wants the character: what follows keeps its lines
    bot = _bot(wait)
    wish = Wish(sha=sha, ref=ref, context=_object(context))
    entry = starting.entry_of(bot.catalogue.entries(), service)
    row = store.write(lambda: starting.start(entry, wish, by=LOCAL, now=clock.now()))
    _tell(bot, row, wait=wait, json_=json_)


@click.command()
@click.argument("number", type=int, metavar="ID")
@as_json
def cancel(number: int, json_: bool) -> None:
    """End a deployment that has not begun, or ask a running one to stop."""
    bot = shared.bot()
    row = deployments.cancel(number, by=LOCAL, now=clock.now())
    _tell(bot, row, wait=False, json_=json_)


@click.command()
@click.argument("number", type=int, metavar="ID")
@click.option("--wait", is_flag=True, help="Stay until it has ended, and end with its outcome.")
@as_json
def retry(number: int, wait: bool, json_: bool) -> None:
    """Deploy the same commit once more."""
    bot = _bot(wait)
    row = store.write(lambda: deployments.retry(number, by=LOCAL, now=clock.now()))
    _tell(bot, row, wait=wait, json_=json_)


def _bot(wait: bool) -> Bot:
    """This host's bot. Raises Unavailable where its end is to be waited for, and nothing runs that would bring it."""
    bot = shared.bot()
    if wait and not bot.bell.ring():
        raise Unavailable(
            "no bot runs on this host, so waiting would not end: start `fastdeploy serve`, or leave --wait out"
        )
    return bot


def _tell(bot: Bot, row: Deployment, *, wait: bool, json_: bool) -> None:
    listeners = bot.bell.ring()
    if not listeners:
        click.echo("fastdeploy: no bot runs on this host now; it is carried out when one does", err=True)
    if wait:
        _stay(bot, row, json_=json_)
    elif json_:
        shared.show(_view(bot, row))
    else:
        view = _view(bot, row)
        click.echo(shared.line(view) + (" · asked to stop" if view.cancelling else ""))


def _stay(bot: Bot, row: Deployment, *, json_: bool) -> None:
    number = row.id
    if not json_:
        click.echo(f"Deployment {number} of {row.service.name} (Ctrl-C leaves it running)")
    try:
        view = shared.follow(lambda: _view(bot, deployments.find(number)), quiet=json_)
    except KeyboardInterrupt:
        click.echo(f"\nIt goes on: `fastdeploy status`, `fastdeploy logs {number} -f`", err=True)
        sys.exit(130)
    if json_:
        shared.show(view)
    sys.exit(shared.EXIT_STATUSES[DeploymentState(view.state)])


def _view(bot: Bot, row: Deployment) -> DeploymentView:
    return views.deployment(row, public_url=bot.settings.effective_public_url)


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise Invalid(f"--context: not valid JSON: {error}") from error
    if not isinstance(value, dict):
        raise Invalid("--context: expected a JSON object")
    return value
