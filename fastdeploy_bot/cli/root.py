"""`fastdeploy`: the group that all commands hang from."""

from __future__ import annotations

import importlib
import os
from typing import Any, Final

import click

from fastdeploy_bot import __version__
from fastdeploy_bot.errors import FastdeployError

COMMANDS: Final = {
    "init": "starting",
    "serve": "starting",
    "migrate": "starting",
    "check": "starting",
    "sync": "watching",
    "services": "watching",
    "deploy": "deploying",
    "status": "watching",
    "logs": "watching",
    "cancel": "deploying",
    "retry": "deploying",
    "token": "keeping",
    "secret": "keeping",
    "user": "keeping",
    "simulate": "simulating",
    "step": "stepping",
    "openapi": "describing",
}
"""Every command, and the module that holds it."""

NOT_BUILT: Final = (
    "worker", "doctor", "rollback", "lock", "unlock", "deliveries", "backup", "prune",
)  # fmt: skip
"""Commands that later versions will have."""


class Commands(click.Group):
    """Loads a command when it is called, and tells errors that the caller can mend as one plain message."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """The commands in the order in which one needs them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        """The command of that name."""
        if cmd_name in NOT_BUILT:
            raise click.UsageError(f"{cmd_name} is not built yet in this version")
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"fastdeploy_bot.cli.{COMMANDS[cmd_name]}")
        command: click.Command = getattr(module, cmd_name)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except FastdeployError as error:
            for line in str(error).splitlines():
                click.echo(f"fastdeploy: {line}", err=True)
            ctx.exit(error.exit_status)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--home", metavar="FOLDER", help="Where the bot lives (FASTDEPLOY_HOME, else ./instance).")
@click.version_option(__version__, prog_name="fastdeploy")
@click.pass_context
def cli(ctx: click.Context, home: str | None) -> None:
    """Deploy what was pushed to GitHub, and know that it is live.

    \b
    fastdeploy init                       make ./instance: settings, secrets, a first user
    fastdeploy serve                      receive pushes and deploy them
    fastdeploy deploy shop --wait         deploy the head of a mapped branch by hand
    """  # noqa: D301 - click wants the character: what follows keeps its lines
    os.umask(0o077)
    ctx.obj = {} if home is None else {"home": home}
