"""Making a bot's home."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Final

import click
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from fastdeploy_bot.app import template_folder
from fastdeploy_bot.cli import shared
from fastdeploy_bot.core import clock
from fastdeploy_bot.core.people import users
from fastdeploy_bot.errors import SettingsError
from fastdeploy_bot.settings import FILE, Settings
from fastdeploy_bot.words import LOCAL, Role

EXAMPLE: Final = "hello"


def make(home: Path) -> bool:
    """Make the folders, and the settings file with fresh secrets; False where there was one already."""
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        for folder in ("services", "secrets", "runs"):
            (home / folder).mkdir(mode=0o700, exist_ok=True)
        settings = _rendered("fastdeploy.toml", secret_key=secrets.token_hex(32), webhook_secret=secrets.token_hex(32))
        return _write_new(home / FILE, settings, 0o600)
    except OSError as error:
        raise SettingsError(f"home: cannot make {home}: {error.strerror}; choose another with --home") from error


def first_user(name: str, *, password_stdin: bool) -> str | None:
    """Make the first user, where there is none; answers the password if it was made up."""
    if users.is_anybody_there():
        return None
    given = password_stdin or "FASTDEPLOY_PASSWORD" in os.environ
    password = shared.read_password(password_stdin) if given else secrets.token_urlsafe(12)
    users.add(name, password, Role.ADMIN, by=LOCAL, now=clock.now())
    click.echo(f"User {name} (admin)" + ("" if given else f", password {password} (shown this once)"))
    return None if given else password


def example(settings: Settings) -> bool:
    """Make the example service, where there is no service."""
    if any(settings.services_dir.iterdir()):
        return False
    folder = settings.services_dir / EXAMPLE
    folder.mkdir(mode=0o700)
    _write_new(folder / "service.toml", _rendered("service.toml"), 0o600)
    _write_new(folder / "deploy.sh", _rendered("deploy.sh"), 0o700)
    return True


def _rendered(name: str, **values: str) -> str:
    pages = Environment(
        loader=FileSystemLoader(Path(template_folder()) / "init"),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - these are settings and scripts, no pages
    )
    return pages.get_template(name).render(**values)


def _write_new(path: Path, text: str, mode: int) -> bool:
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError:
        return False
    with open(file, "w", encoding="utf-8") as out:
        out.write(text)
    return True
