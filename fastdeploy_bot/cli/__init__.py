"""The command line. Commands import what they need when they are called."""

from __future__ import annotations

import sys


def main() -> None:
    """Run a command. `step` comes first and alone: scripts call it often, and it should start at once."""
    if sys.argv[1:2] == ["step"] and sys.argv[2:3] != ["--help"]:
        from fastdeploy_bot.runner import step

        sys.exit(step.main(sys.argv[2:]))

    from fastdeploy_bot.cli.root import cli

    cli(prog_name="fastdeploy")
