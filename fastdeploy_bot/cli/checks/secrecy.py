"""Secrets: strong enough, and for the bot's user alone."""

from __future__ import annotations

import pwd
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from fastdeploy_bot import values
from fastdeploy_bot.cli.checks import Finding, Patient, fail, ok
from fastdeploy_bot.settings import FILE

SHORTEST: Final = 16
"""Characters below which a secret can be guessed from what it signs."""
KINDS: Final = 6
"""How many different characters one has at least; of 16 random hex digits nearly all have more."""
FAMILIAR: Final = ("change", "secret", "password", "example", "fastdeploy", "test", "12345")
"""What a secret does not begin with that nobody knows."""
PRIVATE: Final = (FILE, "github-app.json", "*.key", "*.pem", "fastdeploy.db*", "secrets", "secrets/*", "secrets/*/*")
NEW: Final = "python3 -c 'import secrets; print(secrets.token_hex(32))'"


def secret_key(patient: Patient) -> Iterator[Finding]:
    """The key that tokens are signed with."""
    key = patient.settings.secret_key
    if key is None:
        yield fail("secret_key is missing", "no token can be signed, so the bot does not start", "fastdeploy init")
    elif weakness := _weakness(key):
        yield fail(
            f"secret_key is {weakness}",
            "whoever guesses it can make tokens",
            f"{NEW}, and put that into secret_key of {patient.settings.home / FILE}; restart the bot",
        )
    else:
        yield ok("secret_key is strong")


def webhook_secrets(patient: Patient) -> Iterator[Finding]:
    """What GitHub signs its webhooks with."""
    found = patient.settings.believed(now=int(patient.clock() * 1_000))
    if not found:
        yield fail(
            "webhook_secrets is empty", "no webhook can be believed, so the bot does not start", "fastdeploy init"
        )
    for place, each in enumerate(found, 1):
        if weakness := _weakness(each.secret):
            yield fail(
                f"webhook secret {place} of {len(found)} is {weakness}",
                "whoever guesses it can start deployments",
                f"{NEW}, and put that into webhook_secrets of {patient.settings.home / FILE} and into GitHub's webhook",
            )
    if found and not any(_weakness(each.secret) for each in found):
        yield ok("webhook_secrets are strong")


def file_modes(patient: Patient) -> Iterator[Finding]:
    """No other user can read what is secret, or write where the bot works."""
    home = patient.settings.home
    open_ones = [path for path in _private(home) if _mode(path) & 0o077]
    for path in open_ones:
        yield fail(
            f"{path} is open to other users (mode {_mode(path):04o})",
            "it holds secrets",
            f"chmod go-rwx {path}",
        )
    if _mode(home) & 0o022:
        yield fail(
            f"{home} can be written by other users (mode {_mode(home):04o})",
            "what they put there the bot runs",
            f"chmod go-w {home}",
        )
    elif not open_ones:
        yield ok("secrets are for the bot's user alone")


def owner(patient: Patient) -> Iterator[Finding]:
    """Home and what is in it belong to whoever runs the bot."""
    home = patient.settings.home
    mine = home.stat().st_uid
    if mine != patient.user:
        yield fail(
            f"{home} belongs to {_name(mine)}, and this command runs as {_name(patient.user)}",
            "files that the wrong user makes there the bot cannot write",
            f"sudo -u {_name(mine)} fastdeploy --home {home} doctor",
        )
        return
    others = [path for path in (*home.iterdir(), *_private(home)) if path.lstat().st_uid != mine]
    for path in others:
        yield fail(
            f"{path} belongs to {_name(path.lstat().st_uid)}, not to {_name(mine)}",
            "the bot may not be able to read or write it",
            f"chown -R {_name(mine)} {path}",
        )
    if not others:
        yield ok(f"home belongs to {_name(mine)}")


def _weakness(secret: str) -> str:
    """What is wrong with a secret, without telling anything of it; empty where nothing is."""
    if len(secret) < SHORTEST:
        return f"shorter than {SHORTEST} characters"
    if secret.lower().startswith(FAMILIAR):
        return "one that others would think of, too"
    return "made of very few different characters" if len(set(secret)) < KINDS else ""


def _private(home: Path) -> list[Path]:
    """What holds secrets: by its name, or because a setting names it."""
    found = [path for pattern in PRIVATE for path in home.glob(pattern)]
    return sorted({*found, *_named(home)})


def _named(home: Path) -> list[Path]:
    try:
        table = values.parse_toml((home / FILE).read_bytes())
    except (OSError, ValueError):
        return []
    files = [home / Path(value).expanduser() for key, value in table.items() if key.endswith("_file")]
    return [path for path in files if path.is_file()]


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def _name(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return str(user)
