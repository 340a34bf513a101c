"""`fastdeploy completion`, and what shells complete."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import click
from click.shell_completion import CompletionItem, get_completion_class

from fastdeploy_bot.errors import FastdeployError
from fastdeploy_bot.sources import load

SHELLS: Final = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(SHELLS), required=False)
def completion(shell: str | None) -> None:
    """Print what a shell needs to complete commands, options and names of services.

    \b
    eval "$(fastdeploy completion bash)"                                           in ~/.bashrc
    eval "$(fastdeploy completion zsh)"                                            in ~/.zshrc
    fastdeploy completion fish > ~/.config/fish/completions/fastdeploy.fish
    """  # noqa: D301 - click wants the character: what follows keeps its lines
    name = shell or Path(os.environ.get("SHELL", "")).name
    kind = get_completion_class(name) if name in SHELLS else None
    if kind is None:
        raise click.UsageError(f"say which shell: {', '.join(SHELLS)}")
    root = click.get_current_context().find_root()
    click.echo(kind(root.command, {}, "fastdeploy", "_FASTDEPLOY_COMPLETE").source())


def services(ctx: click.Context, _argument: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The names of this host's services that begin so; none where there is no bot."""
    home = ctx.find_root().params.get("home")
    try:
        folder = load(flags={} if home is None else {"home": home}).settings.services_dir
        names = sorted(each.parent.name for each in folder.glob("*/service.toml"))
    except (FastdeployError, OSError):
        return []
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]
