"""`fastdeploy simulate`: deliver a payload to the running bot, signed, as GitHub would."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any
from uuid import uuid4

import click

from fastdeploy_bot.cli import shared
from fastdeploy_bot.errors import Conflict, Unavailable
from fastdeploy_bot.forge.github import signatures
from fastdeploy_bot.settings import Settings, require_serving


@click.command()
@click.argument("payload", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--event", default="push", show_default=True, help="The event's name, as in X-GitHub-Event.")
def simulate(payload: Path, event: str) -> None:
    r"""Sign a payload with the bot's webhook secret and deliver it over HTTP.

    \b
    fastdeploy simulate push.json
    fastdeploy simulate ping.json --event ping
    """
    shared.show(deliver(shared.settings(), event, payload.read_bytes()))


def deliver(settings: Settings, event: str, body: bytes) -> dict[str, Any]:
    """The bot's answer to a delivery. Raises Unavailable where it does not answer, Conflict where it refuses."""
    require_serving(settings)
    secrets = sorted(settings.webhook_secrets, key=lambda each: each.repositories is not None)  # unbound ones first
    request = urllib.request.Request(  # noqa: S310 - our own address
        f"{settings.effective_local_url}/webhooks/github",
        data=body,
        headers={
            "Content-Type": "application/json",
            "User-Agent": "fastdeploy-simulate",
            "X-GitHub-Event": event,
            "X-GitHub-Delivery": str(uuid4()),
            "X-Hub-Signature-256": signatures.sign(secrets[0].secret, body),
        },
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - our own address
            told: dict[str, Any] = json.load(answer)
    except urllib.error.HTTPError as error:
        raise Conflict(f"the bot refused it: {error.code} {error.read(2_000).decode(errors='replace')}") from error
    except (urllib.error.URLError, OSError) as error:
        raise Unavailable(
            f"no bot answers on {settings.effective_local_url}: is `fastdeploy serve` running?"
        ) from error
    return told
