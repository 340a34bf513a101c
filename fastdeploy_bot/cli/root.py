"""`fastdeploy`: the group that all commands hang from."""

from __future__ import annotations

import importlib
import os
from typing import Any, Final

import click

from fastdeploy_bot import __version__
from fastdeploy_bot.cli import printing, shared
from fastdeploy_bot.errors import FastdeployError, Invalid

COMMANDS: Final = {
    "init": "starting",
    "serve": "serving",
    "worker": "working",
    "migrate": "starting",
    "check": "starting",
    "doctor": "examining",
    "sync": "watching",
    "services": "watching",
    "deploy": "deploying",
    "status": "watching",
    "logs": "watching",
    "cancel": "deploying",
    "retry": "deploying",
    "rollback": "deploying",
    "lock": "locking",
    "unlock": "locking",
    "deliveries": "deliveries",
    "token": "keeping",
    "secret": "keeping",
    "user": "keeping",
    "login": "signing",
    "simulate": "simulating",
    "prune": "maintaining",
    "backup": "maintaining",
    "step": "stepping",
    "openapi": "describing",
    "completion": "completing",
}
"""Every command, and the module that holds it."""

BY_URL: Final = (
    "sync", "services", "deploy", "status", "logs", "cancel", "retry", "rollback", "lock", "unlock", "deliveries",
    "token", "login",
)  # fmt: skip
"""The commands that can be about a bot elsewhere."""


class Commands(click.Group):
    """Loads a command when it is called, and tells errors that the caller can mend as one plain message."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """The commands in the order in which one needs them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - as above
        """The command of that name."""
        if cmd_name in COMMANDS:
            module = importlib.import_module(f"fastdeploy_bot.cli.{COMMANDS[cmd_name]}")
            command: click.Command = getattr(module, cmd_name)
            return command
        return None

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except FastdeployError as error:
            printing.warn(str(error))
            ctx.exit(error.exit_status)
        except click.NoSuchOption as error:
            if error.option_name != "--url":
                raise
            printing.warn(str(_host_only(ctx.invoked_subcommand)))
            ctx.exit(Invalid.exit_status)
        except KeyboardInterrupt:
            ctx.exit(shared.INTERRUPTED)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--home", metavar="FOLDER", help="Where the bot of this host lives (FASTDEPLOY_HOME, else ./instance).")
@shared.by_url
@click.version_option(__version__, prog_name="fastdeploy")
@click.pass_context
def cli(ctx: click.Context, home: str | None) -> None:
    """Deploy what was pushed to GitHub, and know that it is live.

    \b
    fastdeploy init                       make ./instance: settings, secrets, a first user
    fastdeploy serve                      receive pushes and deploy them
    fastdeploy deploy shop --wait         deploy the head of a mapped branch by hand
    fastdeploy deliveries                 what arrived, and why it was deployed or not
    fastdeploy --url https://deploy.example status     a bot elsewhere
    """  # noqa: D301 - click wants the character: what follows keeps its lines
    os.umask(0o077)
    ctx.obj = {} if home is None else {"home": home}
    if shared.url() is not None and ctx.invoked_subcommand not in BY_URL:
        raise _host_only(ctx.invoked_subcommand)


def _host_only(command: str | None) -> Invalid:
    return Invalid(f"{command} works on the bot's own host only: run it there, without --url")
