"""The demonstration of `serve --demo`: one signed push, and its steps as they happen."""

from __future__ import annotations

import os
import secrets
import shlex
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Final

import click

from fastdeploy_bot import store
from fastdeploy_bot.cli import following, home, shared
from fastdeploy_bot.cli.local import LocalBot
from fastdeploy_bot.cli.simulating import deliver
from fastdeploy_bot.core.files.servicefile import ServiceFile
from fastdeploy_bot.errors import FastdeployError, Unavailable
from fastdeploy_bot.forge.github import payloads
from fastdeploy_bot.settings import Settings
from fastdeploy_bot.words import ZERO_SHA

UP_SECONDS: Final = 60


def prepare(settings: Settings) -> str | None:
    """Make what is missing: home, database, first user, an example service; answers a password made up for it."""
    home.make(settings.home)
    settings = shared.settings()
    store.connect(settings.effective_database_url)
    store.migrate()
    password = home.first_user("admin", password_stdin=False)
    home.example(settings)
    store.disconnect()
    return password


def in_background(settings: Settings, password: str | None) -> None:
    """Let another process wait for the server, push to it once and tell what happens."""
    if os.fork() != 0:
        return
    status = 1
    try:
        _demonstrate(settings, password)
        status = 0
    except (FastdeployError, OSError) as error:
        click.echo(f"fastdeploy: {error}", err=True)
    finally:
        os._exit(status)


def _demonstrate(settings: Settings, password: str | None) -> None:
    _wait_until_up(settings)
    bot = LocalBot(settings)
    entry = bot.catalogue.get(home.EXAMPLE)
    if entry is None or entry.file is None:
        click.echo(f"\nThere is no example service ({home.EXAMPLE}) here, so nothing is pushed.")
    else:
        _push_once(bot, entry.file)
    _tell_how_to_sign_in(settings, password)


def _push_once(bot: LocalBot, file: ServiceFile) -> None:
    click.echo(f"\nDelivering a signed push to {file.repository}, as GitHub would:")
    answer = deliver(bot.settings, bot.settings.effective_local_url, "push", _push(file))
    numbers = [told["deployment"] for told in answer["verdicts"] if told["deployment"] is not None]
    if not numbers:
        click.echo(f"  nothing to deploy: {answer}")
    for number in numbers:
        following.steps(bot, number)


def _push(file: ServiceFile) -> bytes:
    branch = next((each for each in file.branches if not set(each) & set("*?[!")), "main")
    return payloads.push_document(
        repository=file.repository,
        repository_id=1,
        ref=f"refs/heads/{branch}",
        before=ZERO_SHA,
        after=secrets.token_hex(20),
        pushed_at=int(time.time()),
        title="A first push",
        actor="octocat",
        default_branch=branch,
    )


def _wait_until_up(settings: Settings) -> None:
    give_up = time.monotonic() + UP_SECONDS
    while time.monotonic() < give_up:
        try:
            with urllib.request.urlopen(f"{settings.effective_local_url}/readyz", timeout=5):  # noqa: S310 - our own
                return
        except urllib.error.URLError:
            time.sleep(0.1)
    raise Unavailable(f"the bot does not answer on {settings.effective_local_url}")


def _tell_how_to_sign_in(settings: Settings, password: str | None) -> None:
    url, me = settings.effective_local_url, sys.argv[0]
    command = me if me.endswith("fastdeploy") else "fastdeploy"
    # Another terminal knows nothing of what this one was told by its environment.
    if settings.home != Path("instance").resolve():
        command = shlex.join([command, "--home", str(settings.home)])
    if settings.port != Settings().port:
        command = f"PORT={settings.port} {command}"
    told = "its password stands above" if password else f"a lost password is replaced by `{command} user passwd admin`"
    click.echo(
        f"\nThe bot runs on {url} and stays up until Ctrl-C.\n"
        f"Sign in there as admin ({told}). For the API, this answers with a token:\n"
        f'  curl -s {url}/api/v1/token -d \'{{"username": "admin", "password": "{password or "…"}"}}\'\n'
        f"On this machine no sign-in is needed: `{command} status`, `{command} logs ID`, `{command} deploy SERVICE`."
    )
