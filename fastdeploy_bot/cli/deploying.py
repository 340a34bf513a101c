"""Commands that steer: `deploy`, `cancel`, `retry`, `rollback`."""

from __future__ import annotations

import json
import sys
from typing import Any

import click

from fastdeploy_bot.cli import completing, following, printing, shared
from fastdeploy_bot.cli.bot import Bot
from fastdeploy_bot.cli.shared import as_json, by_url
from fastdeploy_bot.core.deploying.starting import Wish
from fastdeploy_bot.core.telling.views import DeploymentView
from fastdeploy_bot.errors import FastdeployError, Invalid, Unavailable
from fastdeploy_bot.words import DeploymentState


@click.command()
@click.argument("service", shell_complete=completing.services)
@click.option("--sha", help="The commit, 40 hex digits; without it the head that was pushed last.")
@click.option("--ref", help="The branch, or refs/tags/… for a tag.")
@click.option("--context", default="{}", metavar="JSON", help="Facts for the script, as FASTDEPLOY_CONTEXT.")
@click.option("--wait", is_flag=True, help="Stay until it has ended, and end with its outcome.")
@as_json
@by_url
def deploy(service: str, sha: str | None, ref: str | None, context: str, wait: bool, json_: bool) -> None:
    """Deploy a service by hand.

    With --wait it ends with 0 after a success, 1 after a failure, 3 where it was cancelled or superseded, 4 where
    it was lost, 69 where the bot stays away.

    \b
    fastdeploy deploy shop --wait
    fastdeploy deploy shop --sha 5f2d1c0b9e8a7f6e5d4c3b2a1908f7e6d5c4b3a2
    fastdeploy deploy shop --ref refs/tags/v2 --context '{"ticket": 7}'
    fastdeploy deploy shop --wait --url https://deploy.example
    """  # noqa: D301 - click wants the character: what follows keeps its lines
    wish = Wish(sha=sha, ref=ref, context=_object(context))
    bot = _bot(wait)
    _tell(bot, bot.start(service, wish), wait=wait, json_=json_)


@click.command()
@click.argument("number", type=int, metavar="ID")
@as_json
@by_url
def cancel(number: int, json_: bool) -> None:
    """End a deployment that has not begun, or ask a running one to stop.

    \b
    fastdeploy cancel 42
    """  # noqa: D301 - as above
    bot = shared.bot()
    _tell(bot, bot.cancel(number), wait=False, json_=json_)


@click.command()
@click.argument("number", type=int, metavar="ID")
@click.option("--wait", is_flag=True, help="Stay until it has ended, and end with its outcome.")
@as_json
@by_url
def retry(number: int, wait: bool, json_: bool) -> None:
    """Deploy the same commit once more.

    \b
    fastdeploy retry 42 --wait
    """  # noqa: D301 - as above
    bot = _bot(wait)
    _tell(bot, bot.retry(number), wait=wait, json_=json_)


@click.command()
@click.argument("service", shell_complete=completing.services)
@click.option("--to", type=int, metavar="ID", help="A deployment that succeeded; without it the last good commit.")
@click.option("--wait", is_flag=True, help="Stay until it has ended, and end with its outcome.")
@as_json
@by_url
def rollback(service: str, to: int | None, wait: bool, json_: bool) -> None:
    """Deploy the last good commit before the live one again.

    Pushes that have not begun are cancelled, and the commit that was live is not deployed again until a newer push
    comes, or somebody deploys it on purpose.

    \b
    fastdeploy rollback shop --wait
    fastdeploy rollback shop --to 42
    """  # noqa: D301 - as above
    bot = _bot(wait)
    _tell(bot, bot.roll_back(service, to=to), wait=wait, json_=json_)


def _bot(wait: bool) -> Bot:
    """The bot. Raises Unavailable where an end is to be waited for, and nothing runs that would bring it."""
    bot = shared.bot()
    if wait and not bot.awake():
        raise Unavailable(
            "no bot runs on this host, so waiting would not end: start `fastdeploy serve`, or leave --wait out"
        )
    return bot


def _tell(bot: Bot, view: DeploymentView, *, wait: bool, json_: bool) -> None:
    if not bot.awake():
        printing.warn("no bot runs on this host now; it is carried out when one does")
    if wait:
        _stay(bot, view, json_=json_)
    elif json_:
        printing.show(view)
    else:
        click.echo(printing.line(view))


def _stay(bot: Bot, view: DeploymentView, *, json_: bool) -> None:
    if not json_:
        printing.say(f"Deployment {view.id} of {view.service} (Ctrl-C leaves it running)")
    try:
        ended = following.steps(bot, view.id, quiet=json_)
    except KeyboardInterrupt:
        click.echo(err=True)
        _say_it_goes_on(view)
        sys.exit(shared.INTERRUPTED)
    except FastdeployError:
        _say_it_goes_on(view)
        raise
    if json_:
        printing.show(ended)
    sys.exit(shared.EXIT_STATUSES[DeploymentState(ended.state)])


def _say_it_goes_on(view: DeploymentView) -> None:
    printing.warn(f"deployment {view.id} goes on: `{shared.again('logs', str(view.id), '-f')}` follows it")


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise Invalid(f"--context: not valid JSON: {error}") from error
    if not isinstance(value, dict):
        raise Invalid("--context: expected a JSON object")
    return value
