"""`fastdeploy step`, as `--help` knows it; `fastdeploy_bot.cli.main` calls the true one without loading click."""

from __future__ import annotations

import sys

import click

from fastdeploy_bot.runner import step as runner_step


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.argument("name")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def step(name: str, command: tuple[str, ...]) -> None:
    """Run a command as a step of the deployment, and report when it begins and how it ends.

    Keeps the command's exit status. Outside a deployment it just runs the command.

    \b
    fastdeploy step "Migrate" -- ./manage.py migrate
    """  # noqa: D301 - click wants the character: what follows keeps its lines
    sys.exit(runner_step.main([name, "--", *command]))
