"""Commands that keep a bot small, and a copy of it: `prune`, `backup`."""

from __future__ import annotations

import time
from pathlib import Path

import click
import msgspec

from fastdeploy_bot import store
from fastdeploy_bot.cli import printing, shared
from fastdeploy_bot.cli.local import LocalBot
from fastdeploy_bot.cli.shared import as_json
from fastdeploy_bot.core import clock
from fastdeploy_bot.core.keeping import backups, retention
from fastdeploy_bot.core.keeping.retention import Removed
from fastdeploy_bot.core.people import audit
from fastdeploy_bot.errors import Unavailable
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


@click.command()
@click.argument("where", metavar="[FILE]", default=".", type=click.Path(path_type=Path))
@click.option("--without-database", is_flag=True, help="Leave the rows out, for PostgreSQL: pg_dump copies those.")
def backup(where: Path, without_database: bool) -> None:
    """Write all that makes this bot into one archive, while it runs; into a folder, under a name with the moment.

    Without FILE that is the folder in which it is called.

    It holds the database, the settings, the services and all secrets: keep it as safe as those. It unpacks into a home.

    \b
    fastdeploy backup
    fastdeploy backup /backups
    mkdir -m 700 /srv/deploy && tar -xf /backups/fastdeploy-2026-03-01T120000Z.tar -C /srv/deploy
    """  # noqa: D301 - as above
    settings = shared.settings()
    if not settings.home.is_dir():
        raise Unavailable(f"there is no bot in {settings.home}: run `fastdeploy init`, or set FASTDEPLOY_HOME")
    store.connect(settings.effective_database_url)
    written = backups.write(settings, where, with_database=not without_database, now=clock.now())
    if _has_our_schema():
        store.write(lambda: audit.note(LOCAL, "backup", written.name, now=clock.now()))
    printing.say(f"wrote {written} ({written.stat().st_size / (1 << 20):.1f} MiB)")


def _has_our_schema() -> bool:
    """A backup is also made before an upgrade, by the new version, and of a database that a newer one has changed."""
    try:
        store.require_schema()
    except Unavailable:
        return False
    return True


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
