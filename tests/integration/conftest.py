"""A bot of its own for each test: a home in a fresh folder, a real database, the app without an engine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from callers import KEY, SECRET, Auth, GitHub, Host, ServiceFiles, sync
from fastdeploy_bot import store
from fastdeploy_bot.app import create_app
from fastdeploy_bot.core.catalogue import Catalogue
from fastdeploy_bot.settings import Settings
from fastdeploy_bot.store import sqlite
from fastdeploy_bot.web.context import EXTENSION
from fastdeploy_bot.words import WebhookSecret


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """An empty home."""
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


@pytest.fixture
def settings(home: Path) -> Settings:
    """What the bot is run with."""
    return Settings(home=home, secret_key=KEY, webhook_secrets=(WebhookSecret(SECRET),))


@pytest.fixture
def database(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A database with the schema in it, in use by this process; its file.

    Writers are patient: where many threads write at once, a loaded machine may take its time.
    """
    monkeypatch.setattr(sqlite, "BUSY_SECONDS", 60)
    store.connect(settings.effective_database_url)
    store.migrate()
    yield settings.home / "fastdeploy.db"
    store.disconnect()


@pytest.fixture
def app(settings: Settings, database: Path) -> Iterator[Flask]:
    """The app over that database; nothing runs behind it."""
    assert database.exists()
    store.disconnect()
    app = create_app(settings)
    app.testing = True
    app.config["PROPAGATE_EXCEPTIONS"] = False
    yield app
    store.disconnect()


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """Somebody who calls the app."""
    return app.test_client()


@pytest.fixture
def github(client: FlaskClient) -> GitHub:
    """GitHub, with the right secret."""
    return GitHub(client)


@pytest.fixture
def service(settings: Settings) -> ServiceFiles:
    """Writes service files: `service("shop", branches=["main"])`."""
    return ServiceFiles(settings)


@pytest.fixture
def auth(app: Flask) -> Auth:
    """Headers of somebody with a token: `auth("viewer")`, `auth.service("shop")`."""
    assert EXTENSION in app.extensions
    return Auth()


@pytest.fixture
def host() -> Host:
    """Begins and ends deployments in the engine's place."""
    return Host()


@pytest.fixture
def catalogue(settings: Settings) -> Catalogue:
    """The service files as another process reads them."""
    return Catalogue(settings.services_dir)


@pytest.fixture
def start(client: FlaskClient, auth: Auth) -> Any:  # a function with keywords of every kind
    """Ask for a deployment of shop, as a deployer."""

    def call(headers: dict[str, str] | None = None, **wish: Any) -> TestResponse:
        return client.post("/api/v1/deployments", json={"service": "shop"} | wish, headers=headers or auth("deployer"))

    return call


@pytest.fixture
def two_services(service: ServiceFiles, app: Flask) -> ServiceFiles:
    """Shop, of main and release/*, and other; both known to the bot."""
    service("shop", branches=["main", "release/*"])
    service("other", repository="octo-org/other")
    sync(app)
    return service
