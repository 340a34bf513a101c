"""Masks: what must not be seen of a deployment, hidden from what is said of it."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Final

from fastdeploy_bot.core.files import secrets
from fastdeploy_bot.core.people import tokens
from fastdeploy_bot.masking import Masker
from fastdeploy_bot.settings import Settings
from fastdeploy_bot.store.models import Deployment

KEPT: Final = 16
"""Maskers are kept for the next report of the same deployment: large secrets have many forms to make up."""


def of(settings: Settings, deployment: Deployment) -> Masker:
    """A masker, for texts, of what a running deployment's script was given: its service's secrets and its own token.

    And of the secrets of the bot's GitHub App, which lie where it runs. It reads all of them as they are now, so it is
    not to be called inside a write. One that was replaced since the script began is known by its new value only.
    """
    wanted = json.loads(deployment.definition or "{}").get("secrets", [])
    given = secrets.readable(settings.secrets_dir, deployment.service.name, wanted) if wanted else ()
    own = [tokens.for_deployment(deployment.id, deployment.run or "", key=key) for key in settings.keys]
    app = [] if settings.app is None else settings.app.words
    return _masker((*given, *own, *app))


@lru_cache(maxsize=KEPT)
def _masker(secrets: tuple[str, ...]) -> Masker:
    return Masker(secrets)
