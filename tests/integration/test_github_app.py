"""The GitHub App of the App file: a bot that runs begins to use it, and to do without it, when the file says so."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask

import appkeys
import fakehub
from callers import KEY, SECRET, GitHub, ServiceFiles, sha, sync
from fakehub import FakeHub
from fastdeploy_bot import appfile, facts
from fastdeploy_bot.app import catalogue
from fastdeploy_bot.appfile import App
from fastdeploy_bot.bell import Bell
from fastdeploy_bot.core.output import masks
from fastdeploy_bot.engine import desk
from fastdeploy_bot.settings import Settings
from fastdeploy_bot.store.models import Deployment, Report
from fastdeploy_bot.words import WebhookSecret
from runs import eventually

APP_SECRET = "signs-the-webhooks-of-the-app"


@pytest.fixture
def settings(home: Path, database_url: str, hub: FakeHub) -> Iterator[Settings]:
    """A bot without credentials for this GitHub."""
    yield Settings(
        home=home,
        database_url=database_url,
        secret_key=KEY,
        webhook_secrets=(WebhookSecret(SECRET),),
        github_api_url=hub.url,
    )
    facts.hide(())


def keep(settings: Settings, client_id: str = fakehub.CLIENT_ID) -> None:
    """Write the App file, as the set-up page does."""
    app = App(id=int(fakehub.APP_ID), client_id=client_id, pem=appkeys.pem(), webhook_secret=APP_SECRET)
    appfile.keep(settings.home, app)


def test_a_running_bot_begins_to_tell_github(
    settings: Settings, app: Flask, github: GitHub, service: ServiceFiles, hub: FakeHub
) -> None:
    """Web and desk see the file without a restart; what was pushed before is not told."""
    service("shop", branches=["main"])
    sync(app)
    stopping, bell = threading.Event(), Bell(settings.feed_bell_dir)
    thread = threading.Thread(target=desk.of(settings, catalogue(settings), "host-1").run, args=(bell, stopping))
    thread.start()
    try:
        github.push(after=sha(2))
        assert not Report.select().exists()

        keep(settings)
        github.push(before=sha(2), after=sha(3), secret=APP_SECRET)

        assert "pending" in eventually(lambda: hub.states(sha(3)))
        assert [] == hub.states(sha(2))
    finally:
        stopping.set()
        bell.ring()
        thread.join()


def test_without_the_file_github_is_owed_nothing_any_more(
    settings: Settings, app: Flask, github: GitHub, service: ServiceFiles
) -> None:
    """And webhooks that the App's secret signs are refused again."""
    service("shop", branches=["main"])
    sync(app)
    keep(settings)
    assert 202 == github.push(secret=APP_SECRET).status_code
    assert 1 == Report.select().count()

    (settings.home / appfile.FILE).unlink()

    assert 401 == github.push(before=sha(2), after=sha(3), secret=APP_SECRET).status_code
    assert 202 == github.push(before=sha(2), after=sha(3)).status_code
    assert 1 == Report.select().count()


def test_another_app_takes_the_place_of_one_that_github_refuses(
    settings: Settings, app: Flask, github: GitHub, service: ServiceFiles, hub: FakeHub
) -> None:
    """Its key is used for the next call."""
    service("shop", branches=["main"])
    sync(app)
    keep(settings, client_id="Iv23unknown")
    github.push()
    speaking = desk.of(settings, catalogue(settings), "host-1")
    try:
        speaking.round()
        assert "does GitHub know this App" in Report.get().problem

        keep(settings)
        github.push(before=sha(2), after=sha(3))

        assert "pending" in eventually(lambda: hub.states(sha(3)) if speaking.round() else None)
    finally:
        speaking.end()


def test_what_a_script_says_of_the_apps_secrets_is_hidden(
    settings: Settings, app: Flask, github: GitHub, service: ServiceFiles
) -> None:
    """It runs as the bot's user, and could read the file."""
    service("shop", branches=["main"])
    sync(app)
    keep(settings)
    github.push(secret=APP_SECRET)

    masker = masks.of(settings, Deployment.get())

    assert "******** ********" == masker.text(f"{APP_SECRET} {appkeys.pem().strip()}")
