"""What the API promises, for programs: `openapi`."""

from __future__ import annotations

import click
import msgspec

from fastdeploy_bot.cli import shared


@click.command()
def openapi() -> None:
    """Print the OpenAPI document of the bot's HTTP interface.

    \b
    fastdeploy openapi > openapi.json
    """  # noqa: D301 - click wants the character: what follows keeps its lines
    from fastdeploy_bot.app import document

    told = msgspec.json.encode(document(shared.settings()))
    click.echo(msgspec.json.format(told, indent=2).decode())
