"""`fastdeploy deliveries`: what arrived, what was decided for each service, and why."""

from __future__ import annotations

import click

from fastdeploy_bot.cli import printing, shared
from fastdeploy_bot.cli.shared import as_json, by_url
from fastdeploy_bot.core.commits.deliveries import ToldVerdict
from fastdeploy_bot.core.telling.views import DeliveryView

MOST = 200


@click.group(invoke_without_command=True)
@click.option("--limit", type=click.IntRange(1, MOST), default=20, show_default=True, help="How many at most.")
@as_json
@by_url
@click.pass_context
def deliveries(ctx: click.Context, limit: int, json_: bool) -> None:
    """List what arrived, newest first: what was decided for each service, and why.

    \b
    fastdeploy deliveries --limit 5
    fastdeploy deliveries show 72d3162e-cc78-11e3-81ab-4c9367dc0958
    fastdeploy deliveries replay 72d3162e-cc78-11e3-81ab-4c9367dc0958
    """  # noqa: D301 - click wants the character: what follows keeps its lines
    if ctx.invoked_subcommand is not None:
        return
    found = shared.bot().deliveries(limit=limit)
    if json_:
        printing.show(found)
        return
    for each in found:
        _tell(each)
    if not found:
        click.echo("No deliveries yet: GitHub shows under Recent Deliveries of the webhook what the bot answered")


@deliveries.command()
@click.argument("guid")
@as_json
@by_url
def show(guid: str, json_: bool) -> None:
    """Show one delivery, with what came with it.

    \b
    fastdeploy deliveries show 72d3162e-cc78-11e3-81ab-4c9367dc0958
    """  # noqa: D301 - as above
    found = shared.bot().delivery(guid)
    if json_:
        printing.show(found)
        return
    _tell(found)
    printing.say(f"  from {found.peer or 'an unknown address'}")
    for name, value in found.headers.items():
        printing.say(f"  {name}: {value}")
    if found.before and found.after:
        printing.say(f"  {found.before} → {found.after}")
    click.echo("  its body is kept: it can be replayed" if found.replayable else "  its body is no longer kept")


@deliveries.command()
@click.argument("guid")
@as_json
@by_url
def replay(guid: str, json_: bool) -> None:
    """Decide a push once more, by the service files as they are now.

    \b
    fastdeploy deliveries replay 72d3162e-cc78-11e3-81ab-4c9367dc0958
    """  # noqa: D301 - as above
    bot = shared.bot()
    receipt = bot.replay(guid)
    if not bot.awake():
        printing.warn("no bot runs on this host now; it is carried out when one does")
    if json_:
        printing.show(receipt)
        return
    _tell_verdicts(receipt.verdicts, receipt.reason)


def _tell(view: DeliveryView) -> None:
    what = f"{view.event}{f'.{view.action}' if view.action else ''}"
    commit = view.after[:7] if view.after else None
    printing.say(" · ".join(part for part in (view.received, what, view.repository, view.ref, commit) if part))
    printing.say(f"  {view.guid}")
    _tell_verdicts(view.verdicts, view.reason)


def _tell_verdicts(verdicts: list[ToldVerdict], reason: str) -> None:
    for each in verdicts:
        number = f" · #{each.deployment}" if each.deployment is not None else ""
        why = f": {each.reason}" if each.reason else ""
        printing.say(f"  {each.verdict} {each.service}{number}{why}")
    if reason and not verdicts:
        printing.say(f"  {reason}")
