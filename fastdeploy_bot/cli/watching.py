"""Commands that look: `services`, `status`, `logs`, `sync`."""

from __future__ import annotations

import sys
import time

import click

from fastdeploy_bot.cli import shared
from fastdeploy_bot.cli.shared import LOOK_SECONDS, MARKS, Bot, as_json
from fastdeploy_bot.core import clock, deployments, views
from fastdeploy_bot.core import logs as logs_
from fastdeploy_bot.core import services as services_
from fastdeploy_bot.core.views import ServiceView
from fastdeploy_bot.store.models import Deployment, Service
from fastdeploy_bot.words import LOCAL, DeploymentState

RECENT = 10


@click.command()
@as_json
def services(json_: bool) -> None:
    """List the services and what is live of each."""
    found = _services(shared.bot())
    if json_:
        shared.show(found)
        return
    rows = [(each.name, each.repository, _live(each), each.problem) for each in found]
    shared.table([("SERVICE", "REPOSITORY", "LIVE", "PROBLEM"), *rows])


@click.command()
@click.argument("service", required=False)
@as_json
def status(service: str | None, json_: bool) -> None:
    """Show each service's state and the last deployments, of all services or of one."""
    bot = shared.bot()
    found = [each for each in _services(bot) if service in (None, each.name)]
    if service is not None:
        services_.find(service)
    query = Deployment.select().join(Service).order_by(Deployment.id.desc()).limit(RECENT)
    if service is not None:
        query = query.where(Service.name == service)
    recent = [views.deployment(row, public_url=bot.settings.effective_public_url) for row in query]
    if json_:
        shared.show({"services": found, "deployments": recent})
        return
    for each in found:
        click.echo(f"{MARKS.get(each.state or '', '·')} {each.name} {each.state or 'never deployed'} · {_live(each)}")
    click.echo("Recent" if recent else "No deployments yet: push to a mapped branch, or `fastdeploy deploy SERVICE`")
    for view in recent:
        click.echo(f"  {shared.line(view)}")


@click.command()
@click.argument("number", type=int, metavar="ID")
@click.option("-f", "--follow", is_flag=True, help="Go on until the deployment has ended.")
@as_json
def logs(number: int, follow: bool, json_: bool) -> None:
    """Print a deployment's output."""
    shared.bot()
    deployments.find(number)
    if json_:
        excerpt = logs_.read(number)
        text = excerpt.data.decode(errors="replace")
        shared.show({"deployment": number, "text": text, "end": excerpt.end, "gap": excerpt.gap})
        return
    offset = _print(number, 0)
    while follow:
        over = DeploymentState(deployments.find(number).state).final
        offset = _print(number, offset)
        if over:
            break
        time.sleep(LOOK_SECONDS)


@click.command()
@as_json
def sync(json_: bool) -> None:
    """Bring the services' rows in step with their files now, and say what changed."""
    bot = shared.bot()
    found = services_.sync(bot.catalogue.entries(), by=LOCAL, now=clock.now())
    bot.bell.ring()
    if json_:
        shared.show(found)
    else:
        for word, names in (("added", found.added), ("changed", found.changed), ("removed", found.removed)):
            for name in names:
                click.echo(f"{word} {name}")
        for problem in found.refused.values():
            click.echo(f"refused {problem}")
        if not found and not found.refused:
            click.echo("nothing changed")
    sys.exit(1 if found.refused else 0)


def _services(bot: Bot) -> list[ServiceView]:
    entries = bot.catalogue.entries()
    rows = Service.select().where(Service.removed.is_null()).order_by(Service.name)
    public_url = bot.settings.effective_public_url
    return [views.service(row, entries.get(row.name), public_url=public_url) for row in rows]


def _live(view: ServiceView) -> str:
    return f"{view.live.sha[:7]} since {view.live.since}" if view.live is not None else "nothing live"


def _print(number: int, offset: int) -> int:
    excerpt = logs_.read(number, offset)
    sys.stdout.buffer.write(excerpt.data)
    if excerpt.gap is not None:
        click.echo(f"fastdeploy: bytes {excerpt.gap[0]} to {excerpt.gap[1]} were not kept", err=True)
    sys.stdout.flush()
    return excerpt.end
