"""Fixtures of the tests about checks: a bot that asks a GitHub, its clerk, and pushes that wait."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from flask import Flask

import clerks
import signed_in
from callers import GitHub, ServiceFiles
from clerks import Clerk
from fakehub import FakeHub
from fastdeploy_bot.settings import Settings


@pytest.fixture
def settings(settings: Settings, hub: FakeHub) -> Settings:
    """A bot that asks this GitHub."""
    return signed_in.by_token(settings, hub)


@pytest.fixture
def clerk(settings: Settings, app: Flask) -> Iterator[Clerk]:
    """The clerk of this host."""
    assert app.testing
    yield from clerks.clerk(settings)


@pytest.fixture
def wait_for(service: ServiceFiles, app: Flask) -> Callable[..., None]:
    """Let shop wait for checks of these names."""
    return clerks.waiter(service, app)


@pytest.fixture
def push(github: GitHub) -> Callable[..., int]:
    """Push commit after commit to main, and answer the deployment of shop that it makes."""
    return clerks.pusher(github)
