"""`fastdeploy simulate`: deliver a payload to the running bot, signed, as GitHub would."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any
from uuid import uuid4

import click

from fastdeploy_bot.cli import printing, shared
from fastdeploy_bot.core import clock
from fastdeploy_bot.core.commits import deliveries
from fastdeploy_bot.errors import Conflict, Unavailable
from fastdeploy_bot.forge.github import signatures
from fastdeploy_bot.settings import Settings, require_serving


@click.command()
@click.argument("payload", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--event", default="push", show_default=True, help="The event's name, as in X-GitHub-Event.")
@click.option("--url", metavar="ADDRESS", help="Where the bot listens, if not where the settings say.")
def simulate(payload: Path, event: str, url: str | None) -> None:
    """Sign a payload with the bot's webhook secret and deliver it over HTTP.

    \b
    fastdeploy simulate push.json
    fastdeploy simulate ping.json --event ping
    """  # noqa: D301 - click wants the character: what follows keeps its lines
    settings = shared.settings()
    printing.show(deliver(settings, url or settings.effective_local_url, event, payload.read_bytes()))


def deliver(settings: Settings, url: str, event: str, body: bytes) -> dict[str, Any]:
    """The answer of the bot at `url` to a delivery. Raises Unavailable where there is none, Conflict for a refusal."""
    require_serving(settings)
    believed = settings.believed(now=clock.now())
    secrets = sorted(believed, key=lambda each: each.repositories is not None)  # unbound ones first
    request = urllib.request.Request(  # noqa: S310 - an address that the caller chose
        f"{url.rstrip('/')}/webhooks/github",
        data=body,
        headers={
            "Content-Type": "application/json",
            "User-Agent": deliveries.SIMULATING,
            "X-GitHub-Event": event,
            "X-GitHub-Delivery": str(uuid4()),
            "X-Hub-Signature-256": signatures.sign(secrets[0].secret, body),
        },
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - as above
            told: dict[str, Any] = json.load(answer)
    except urllib.error.HTTPError as error:
        raise Conflict(f"the bot refused it: {error.code} {_detail(error.read(2_000))}") from error
    except (urllib.error.URLError, OSError) as error:
        where = "start `fastdeploy serve`, or say where it is by `simulate --url ADDRESS`"
        raise Unavailable(f"no bot answers on {url}: {where}") from error
    return told


def _detail(body: bytes) -> str:
    """What a refusal says, as a problem or as whatever a proxy says."""
    text = body.decode(errors="replace")
    try:
        return str(json.loads(text)["detail"])
    except (ValueError, TypeError, KeyError):
        return text
