"""The demonstration of `serve --demo`: one signed push, and its steps as they happen."""

from __future__ import annotations

import os
import secrets
import time
import urllib.error
import urllib.request
from typing import Final

import click

from fastdeploy_bot import store
from fastdeploy_bot.cli import home, shared
from fastdeploy_bot.cli.simulating import deliver
from fastdeploy_bot.core import deployments, views
from fastdeploy_bot.core.servicefile import ServiceFile
from fastdeploy_bot.errors import FastdeployError, Unavailable
from fastdeploy_bot.forge.github import payloads
from fastdeploy_bot.settings import Settings
from fastdeploy_bot.words import ZERO_SHA

UP_SECONDS: Final = 60


def prepare(settings: Settings) -> None:
    """Make what is missing: home, database, first user, an example service."""
    home.make(settings.home)
    settings = shared.settings()
    store.connect(settings.effective_database_url)
    store.migrate()
    home.first_user("admin", password_stdin=False)
    home.example(settings)
    store.disconnect()


def in_background(settings: Settings) -> None:
    """Let another process wait for the server, push to it once and tell what happens."""
    if os.fork() != 0:
        return
    status = 1
    try:
        _demonstrate(settings)
        status = 0
    except (FastdeployError, OSError) as error:
        click.echo(f"fastdeploy: {error}", err=True)
    finally:
        os._exit(status)


def _demonstrate(settings: Settings) -> None:
    _wait_until_up(settings)
    file = shared.bot().catalogue.entries()
    services = [(name, entry.file) for name, entry in file.items() if entry.file is not None]
    name, first = next(((name, file) for name, file in services if name == home.EXAMPLE), services[0])
    click.echo(f"\nDelivering a signed push to {first.repository}, as GitHub would:")
    answer = deliver(settings, "push", _push(first))
    numbers = [told["deployment"] for told in answer["verdicts"] if told["deployment"] is not None]
    if not numbers:
        click.echo(f"  nothing to deploy: {answer}")
    for number in numbers:
        shared.follow(
            lambda number=number: views.deployment(  # type: ignore[misc]
                deployments.find(number), public_url=settings.effective_public_url
            )
        )
    _tell_how_to_sign_in(settings, name)


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


def _tell_how_to_sign_in(settings: Settings, service: str) -> None:
    url = settings.effective_local_url
    click.echo(
        f"\nThe bot runs on {url} and stays up until Ctrl-C.\n"
        f"Sign in as admin with the password shown when {settings.home} was made "
        "(`fastdeploy user passwd admin` sets a new one):\n"
        f'  curl -s {url}/api/v1/token -d \'{{"username": "admin", "password": "…"}}\'\n'
        f"On this machine no sign-in is needed: `fastdeploy status`, `fastdeploy logs ID`, "
        f"`fastdeploy deploy {service}`."
    )
