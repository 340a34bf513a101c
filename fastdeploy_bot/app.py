"""The wiring: settings, store, catalogue and routes make an app; an app starts no thread."""

from __future__ import annotations

from pathlib import Path

from flask import Flask

from fastdeploy_bot import store
from fastdeploy_bot.bell import Bell
from fastdeploy_bot.core.files.catalogue import Catalogue
from fastdeploy_bot.engine.engine import Engine
from fastdeploy_bot.settings import Settings, require_serving
from fastdeploy_bot.sources import load
from fastdeploy_bot.web import (
    accounts,
    acting,
    answers,
    api,
    assets,
    atom,
    badges,
    bodies,
    browser,
    cloaks,
    health,
    hooks,
    metrics,
    openapi,
    pages,
    proxies,
    request_ids,
    setup,
    signin,
    theme,
)
from fastdeploy_bot.web.context import EXTENSION, Bot
from fastdeploy_bot.web.drawing import display, sparks
from fastdeploy_bot.web.live import sockets


def create_app(settings: Settings | None = None) -> Flask:
    """A bot's web app. Raises SettingsError where the settings do not allow one to serve."""
    settings = settings or load().settings
    require_serving(settings)
    _connect(settings)
    app = _routed()
    app.extensions[EXTENSION] = Bot(settings, catalogue(settings), Bell(settings.bell_dir))
    health.register(app)
    setup.register(app)
    sockets.register(app)
    answers.register(app)
    assets.register(app)
    display.register(app)
    sparks.register(app)
    cloaks.register(app)
    pages.register(app)
    theme.register(app)
    app.teardown_appcontext(lambda _error: store.release())
    browser.register(app)
    trusted = settings.trusted_proxies
    through = proxies.trusting(bodies.bounded(app.wsgi_app), trusted)
    app.wsgi_app = request_ids.marking(browser.protecting(through), trusted)  # type: ignore[method-assign,assignment]  # as Flask says to
    return app


def prepare(settings: Settings) -> None:
    """Before anything runs: the schema is this version's, or is brought there. Raises Unavailable where it is not."""
    store.connect(settings.effective_database_url)
    if settings.auto_migrate:
        store.migrate()
    store.require_schema()
    store.write(lambda: None)  # a full disk is no reason not to begin: it is told, and may pass
    store.disconnect()


def document(settings: Settings) -> openapi.Document:
    """The OpenAPI document of a bot with those settings."""
    return openapi.document(_routed(), settings.effective_public_url)


def settings_of(app: Flask) -> Settings:
    """The settings that an app was made with; its engine must have the same."""
    bot: Bot = app.extensions[EXTENSION]
    return bot.settings


def create_engine(settings: Settings) -> Engine:
    """The engine that makes this host's rows true."""
    _connect(settings)
    return Engine(settings, catalogue(settings), Bell(settings.bell_dir))


def catalogue(settings: Settings) -> Catalogue:
    """The service files that the settings name."""
    return Catalogue(settings.services_dir, tells=lambda: settings.tells_github)


def _connect(settings: Settings) -> None:
    """Use the settings' database; what is written there rings for those who follow the feed."""
    store.connect(settings.effective_database_url)
    store.when_changed(Bell(settings.feed_bell_dir).ring)


def _routed() -> Flask:
    """An app with every route, and no bot behind it yet."""
    app = Flask("fastdeploy_bot", template_folder=template_folder(), static_folder=None)
    programs = (hooks, api, health, metrics, openapi, sockets)
    people = (assets, signin, accounts, setup, pages, badges, atom, acting, theme)
    for blueprint in (each.bp for each in (*programs, *people)):
        app.register_blueprint(blueprint)
    return app


def template_folder() -> str:
    """Where the pages are: inside an installed package, beside it in a checkout."""
    inside = Path(__file__).parent / "templates"
    return str(inside if inside.is_dir() else inside.parents[1] / "templates")
