"""Commands that look: `services`, `status`, `logs`, `sync`."""

from __future__ import annotations

import sys

import click

from fastdeploy_bot.cli import completing, following, printing, shared
from fastdeploy_bot.cli.shared import as_json, by_url
from fastdeploy_bot.core.telling.views import ServiceView

RECENT = 10


@click.command()
@as_json
@by_url
def services(json_: bool) -> None:
    """List the services and what is live of each.

    \b
    fastdeploy services
    fastdeploy services --json | jq -r '.[].name'
    """  # noqa: D301 - click wants the character: what follows keeps its lines
    found = shared.bot().services()
    if json_:
        printing.show(found)
        return
    if not found:
        click.echo("No services yet: write services/<name>/service.toml in the bot's home")
        return
    rows = [(each.name, each.repository, _live(each), printing.lock(each), each.problem) for each in found]
    printing.table(("SERVICE", "REPOSITORY", "LIVE", "LOCK", "PROBLEM"), rows)


@click.command()
@click.argument("service", required=False, shell_complete=completing.services)
@as_json
@by_url
def status(service: str | None, json_: bool) -> None:
    """Show each service's state and the last deployments, of all services or of one.

    \b
    fastdeploy status
    fastdeploy status shop --json
    """  # noqa: D301 - as above
    bot = shared.bot()
    found = bot.services() if service is None else [bot.service(service)]
    recent = bot.deployments(service, limit=RECENT)
    if json_:
        printing.show({"services": found, "deployments": recent})
        return
    for each in found:
        click.echo(printing.marked(each.state or "", _standing(each)))
    click.echo("Recent" if recent else "No deployments yet: push to a mapped branch, or `fastdeploy deploy SERVICE`")
    for view in recent:
        click.echo(f"  {printing.line(view)}")


@click.command()
@click.argument("number", type=int, metavar="ID")
@click.option("-f", "--follow", is_flag=True, help="Go on until the deployment has ended.")
@as_json
@by_url
def logs(number: int, follow: bool, json_: bool) -> None:
    """Print a deployment's output, as it is.

    With -f it goes on until the deployment has ended, however that ends: the exit status is 0.

    \b
    fastdeploy logs 42
    fastdeploy logs 42 -f
    """  # noqa: D301 - as above
    if follow and json_:
        raise click.UsageError("--json and --follow exclude each other")
    bot = shared.bot()
    excerpt = bot.log(number, 0)
    if json_:
        text = excerpt.data.decode(errors="replace")
        printing.show({"deployment": number, "text": text, "end": excerpt.end, "gap": excerpt.gap})
        return
    following.write(excerpt, 0)
    if follow:
        following.output(bot, number, begin=excerpt.end)


@click.command()
@as_json
@by_url
def sync(json_: bool) -> None:
    """Bring the services' rows in step with their files now, and say what changed.

    Ends with 1 where a service file is wrong.

    \b
    fastdeploy sync
    """  # noqa: D301 - as above
    found = shared.bot().sync()
    if json_:
        printing.show(found)
    else:
        for word, names in (("added", found.added), ("changed", found.changed), ("removed", found.removed)):
            for name in names:
                printing.say(f"{word} {name}")
        for problem in found.refused.values():
            printing.say(f"refused {problem}")
        if not found and not found.refused:
            click.echo("nothing changed")
    sys.exit(1 if found.refused else 0)


def _standing(view: ServiceView) -> str:
    parts = [f"{view.name} {view.state or 'never deployed'}", _live(view)]
    parts += [f"removed {view.removed}"] if view.removed else []
    parts += [f"{view.held_back.sha[:7]} held back by {view.held_back.by}"] if view.held_back else []
    parts += [f"{len(view.queue)} waiting"] if view.queue else []
    return " · ".join(filter(None, [*parts, printing.lock(view), view.problem]))


def _live(view: ServiceView) -> str:
    if view.live is None:
        return "nothing live"
    behind = f", {view.behind} commit{'s' * (view.behind > 1)} behind" if view.behind else ""
    return f"{view.live.sha[:7]} since {view.live.since}{behind}"
