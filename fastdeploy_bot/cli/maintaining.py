"""Commands that keep a bot small: `prune`."""

from __future__ import annotations

import time

import click
import msgspec

from fastdeploy_bot import store
from fastdeploy_bot.cli import printing, shared
from fastdeploy_bot.cli.local import LocalBot
from fastdeploy_bot.cli.shared import as_json
from fastdeploy_bot.core import audit, clock, retention
from fastdeploy_bot.core.retention import Removed
from fastdeploy_bot.words import LOCAL


@click.command()
@click.option("--dry-run", is_flag=True, help="Remove nothing, and tell what would go.")
@as_json
def prune(dry_run: bool, json_: bool) -> None:
    """Remove what is older than `retention_days` and not needed, as the running bot does every hour.

    \b
    fastdeploy prune --dry-run
    """  # noqa: D301 - click wants the character: what follows keeps its lines
    days = LocalBot(shared.settings()).settings.retention_days
    removed = _prune(days, dry_run=dry_run)
    if removed and not dry_run:
        store.write(lambda: audit.note(LOCAL, "prune", "old rows", now=clock.now(), detail=_told(removed)))
    if json_:
        printing.show(removed)
    else:
        click.echo(f"{'would remove' if dry_run else 'removed'} {_told(removed) or 'nothing'}")


def _prune(days: int, *, dry_run: bool) -> Removed:
    removed = Removed()
    begun = time.monotonic()
    for step in retention.prune(days, now=clock.now(), dry_run=dry_run):
        removed += step
        if not dry_run:
            time.sleep(retention.pause_after(time.monotonic() - begun))
        begun = time.monotonic()
    return removed


def _told(removed: Removed) -> str:
    return ", ".join(f"{count} {name}" for name, count in msgspec.structs.asdict(removed).items() if count)
