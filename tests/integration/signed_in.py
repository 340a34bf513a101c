"""Bots that are let in to a GitHub of tests: by a token, or as its App."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

import appkeys
import fakehub
from fakehub import FakeHub
from fastdeploy_bot.settings import Settings


def by_token(settings: Settings, hub: FakeHub, **more: Any) -> Settings:  # Any: whatever else is to be another
    """These settings, with a token that everything is allowed by."""
    return replace(settings, github_api_url=hub.url, github_token=fakehub.TOKEN, **more)


def by_app(settings: Settings, hub: FakeHub, **more: Any) -> Settings:  # Any: whatever else is to be another
    """These settings, with the App that is installed there."""
    given = {"github_client_id": fakehub.CLIENT_ID, "github_private_key": appkeys.pem()}
    return replace(settings, github_api_url=hub.url, **given, **more)
