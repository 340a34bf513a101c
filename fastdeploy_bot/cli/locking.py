"""Commands that hold a service: `lock`, `unlock`."""

from __future__ import annotations

from datetime import datetime

import click

from fastdeploy_bot import values
from fastdeploy_bot.cli import completing, printing, shared
from fastdeploy_bot.cli.shared import as_json, by_url
from fastdeploy_bot.core import clock
from fastdeploy_bot.errors import Invalid


@click.command()
@click.argument("service", shell_complete=completing.services)
@click.option("-m", "--message", "reason", metavar="WHY", required=True, help="Why: whatever waits for it says so.")
@click.option("--until", metavar="T", help="When it ends by itself: RFC 3339, or how long from now, such as 2h.")
@as_json
@by_url
def lock(service: str, reason: str, until: str | None, json_: bool) -> None:
    """Let nothing of a service begin: what is asked for waits, the newest push of each branch kept.

    What runs goes on. A second lock replaces the first.

    \b
    fastdeploy lock shop -m "the database moves" --until 2h
    fastdeploy lock shop -m "freeze" --until 2027-01-04T08:00:00Z
    """  # noqa: D301 - click wants the character: what follows keeps its lines
    view = shared.bot().lock(service, reason, until=None if until is None else _moment(until))
    if json_:
        printing.show(view)
    else:
        printing.say(f"{view.name} {printing.lock(view)}" + (f" · {len(view.queue)} waiting" if view.queue else ""))


@click.command()
@click.argument("service", shell_complete=completing.services)
@as_json
@by_url
def unlock(service: str, json_: bool) -> None:
    """End a service's lock: what waited for that goes on, in its order.

    Where there is no lock, there is nothing to do: that is a success, too.

    \b
    fastdeploy unlock shop
    """  # noqa: D301 - as above
    bot = shared.bot()
    before = bot.service(service)
    bot.unlock(service)
    if json_:
        printing.show(bot.service(service))
    elif before.lock is None:
        printing.say(f"{service} was not locked")
    else:
        printing.say(f"{service} is unlocked; it was {printing.lock(before)}")
    if not bot.awake():
        printing.warn("no bot runs on this host now; what waited begins when one does")


def _moment(text: str) -> int:
    """Unix milliseconds of a moment, or of a time from now. Raises Invalid."""
    try:
        return clock.now() + int(values.parse_duration(text) * clock.SECOND)
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise Invalid(
            f"--until: expected a time such as 2h or 3d, or a moment such as 2027-01-04T08:00:00Z, with its zone; "
            f"got {values.shown(text)}"
        )
    return int(moment.timestamp() * clock.SECOND)
