"""A bot of its own for each test: a home in a fresh folder, a real database, the app without an engine."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

import scenes
from callers import KEY, SECRET, Auth, Browser, GitHub, Host, ServiceFiles, be_patient, sync
from databases import Raw, Server, migrated
from described import Judge
from fastdeploy_bot import store
from fastdeploy_bot.app import create_app
from fastdeploy_bot.core import clock
from fastdeploy_bot.core.files.catalogue import Catalogue
from fastdeploy_bot.settings import Settings
from fastdeploy_bot.store import sqlite
from fastdeploy_bot.web.context import EXTENSION
from fastdeploy_bot.words import WebhookSecret
from reading import Translated


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """An empty home."""
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite file with the schema and no rows: copying one is faster than making one."""
    path = tmp_path_factory.mktemp("template") / "fastdeploy.db"
    migrated(f"sqlite:///{path}")
    return path


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, home: Path) -> str:
    """A database with the schema and no rows: every test with it, or with what is made of it, runs on both engines."""
    if request.param == "sqlite":
        path = shutil.copy(request.getfixturevalue("template"), home / "fastdeploy.db")
        return f"sqlite:///{path}"
    server: Server = request.getfixturevalue("postgres")
    return server.ready()


@pytest.fixture
def settings(home: Path, database_url: str) -> Settings:
    """What the bot is run with."""
    return Settings(home=home, database_url=database_url, secret_key=KEY, webhook_secrets=(WebhookSecret(SECRET),))


@pytest.fixture
def database(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The database in use by this process; its URL.

    Writers are patient: where many threads write at once, a loaded machine may take its time. And SQLite leaves to the
    system when to write its file, as the tests' PostgreSQL does: none of this has to outlive a power cut.
    """
    be_patient(monkeypatch, 60)
    monkeypatch.setitem(sqlite.PRAGMAS, "synchronous", "off")
    store.connect(database_url)
    yield database_url
    store.disconnect()


@pytest.fixture
def raw(database: str) -> Iterator[Raw]:
    """Another program at the same database."""
    program = Raw(database)
    yield program
    program.close()


@pytest.fixture(scope="session")
def translated() -> Translated:
    """The templates as Python, for every app: to translate them anew takes longer than most tests."""
    return Translated()


@pytest.fixture
def app(settings: Settings, database: str, translated: Translated) -> Iterator[Flask]:
    """The app over that database; nothing runs behind it, and every answer has to be as the document describes it."""
    assert database == settings.effective_database_url
    store.disconnect()
    app = create_app(settings)
    app.jinja_env.bytecode_cache = translated
    app.testing = True
    app.config["PROPAGATE_EXCEPTIONS"] = False
    judge = Judge()
    app.after_request(judge)
    yield app
    store.disconnect()
    assert not judge.surprises


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


@pytest.fixture
def deployer(app: Flask) -> Browser:
    """A deployer's browser."""
    return Browser(app).signed_in("deployer")


@pytest.fixture
def viewer(app: Flask) -> Browser:
    """A viewer's browser."""
    return Browser(app).signed_in("viewer")


@pytest.fixture
def visitor(app: Flask) -> Browser:
    """The browser of somebody who has not signed in."""
    return Browser(app)


@pytest.fixture
def scene(database: object, home: Path) -> dict[str, int]:
    """Five services in five states; the newest deployment of each."""
    assert database is not None
    return scenes.draw(home, now=clock.now())
