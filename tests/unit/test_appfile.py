"""The App file: for the bot's user alone, whole or not there, and read again when it has changed."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

import appkeys
from fastdeploy_bot import appfile, facts, settings, sources
from fastdeploy_bot.appfile import App, BadAppFile
from fastdeploy_bot.settings import AppKey, Settings
from fastdeploy_bot.sources import Loaded
from fastdeploy_bot.words import WebhookSecret

NOW = 1_000_000
SECRET = "hunter2-of-the-app"


@pytest.fixture(autouse=True)
def nothing_hidden() -> Iterator[None]:
    """What is read is hidden from the log; the next test begins anew."""
    yield
    facts.hide(())


def app(**fields: object) -> App:
    """An App as GitHub makes one."""
    made = App(id=7, client_id="Iv23abc", pem=appkeys.pem(), slug="shop-bot", webhook_secret=SECRET)
    return msgspec.structs.replace(made, **fields)


def write(home: Path, text: str) -> None:
    """Put a file there by hand."""
    path = home / appfile.FILE
    path.write_text(text)
    path.chmod(0o600)


def test_what_is_kept_is_found(tmp_path: Path) -> None:
    """All of it, by whoever asks, and readable by nobody else."""
    kept = app(name="Shop bot", owner="octo-org", client_secret="s", earlier_secret="before", earlier_until=NOW)

    appfile.keep(tmp_path, kept)

    assert kept == appfile.found(tmp_path)
    assert 0o600 == stat.S_IMODE((tmp_path / appfile.FILE).stat().st_mode)
    assert [appfile.FILE] == os.listdir(tmp_path)
    assert "" == appfile.problem(tmp_path)


def test_a_home_without_it_has_no_app(tmp_path: Path) -> None:
    """Nor is that a problem."""
    assert appfile.found(tmp_path) is None
    assert "" == appfile.problem(tmp_path / "none")


def test_another_app_and_none_are_seen_at_once(tmp_path: Path) -> None:
    """Whoever changed the file, and however."""
    appfile.keep(tmp_path, app())
    assert 7 == (appfile.found(tmp_path) or app(id=0)).id

    appfile.keep(tmp_path, app(id=8))
    assert 8 == (appfile.found(tmp_path) or app(id=0)).id

    (tmp_path / appfile.FILE).unlink()
    assert appfile.found(tmp_path) is None


@pytest.mark.parametrize("form", appkeys.forms())
def test_its_key_may_stand_there_in_every_form(tmp_path: Path, form: str) -> None:
    """People write such a file, too."""
    write(tmp_path, msgspec.json.encode(app(pem=appkeys.forms()[form])).decode())

    found = appfile.found(tmp_path)

    assert found is not None
    assert found.pem.startswith("-----BEGIN")


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", '{"id": "hunter2"}', '{"id": 7, "client_id": "x", "pem": "hunter2"}', '{"id": 7}', "hunter2 \xff"],
)
def test_a_file_that_cannot_be_used_is_told_without_being_shown(tmp_path: Path, text: str) -> None:
    """There is no App then; what is wrong stands in `check`, on the page and in the log."""
    write(tmp_path, text)

    assert appfile.found(tmp_path) is None
    assert str(tmp_path / appfile.FILE) in appfile.problem(tmp_path)
    assert "hunter2" not in appfile.problem(tmp_path)


def test_a_file_that_others_can_read_is_not_used(tmp_path: Path) -> None:
    """As with the services' secrets; closing it mends that."""
    appfile.keep(tmp_path, app())
    (tmp_path / appfile.FILE).chmod(0o640)
    assert "chmod 600" in appfile.problem(tmp_path)
    assert appfile.found(tmp_path) is None

    (tmp_path / appfile.FILE).chmod(0o600)

    assert appfile.found(tmp_path) is not None


def test_a_home_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    """And leaves nothing half."""
    with pytest.raises(BadAppFile, match="cannot be written"):
        appfile.keep(tmp_path / "none", app())


def test_changes_take_turns(tmp_path: Path) -> None:
    """None is lost."""
    appfile.keep(tmp_path, app(id=0))

    def count() -> None:
        for _ in range(5):
            appfile.change(tmp_path, lambda it: msgspec.structs.replace(it, id=it.id + 1))

    threads = [threading.Thread(target=count) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()

    assert 20 == (appfile.found(tmp_path) or app()).id


def test_without_an_app_there_is_nothing_to_change(tmp_path: Path) -> None:
    """And none is made."""
    assert appfile.change(tmp_path, lambda it: it) is None
    assert [] == os.listdir(tmp_path)


def test_its_secrets_are_in_no_line_of_the_log(tmp_path: Path) -> None:
    """Neither its key nor what signs its webhooks, as soon as they are known; nor in how it shows itself."""
    appfile.keep(tmp_path, app(client_secret="client-secret"))

    found = appfile.found(tmp_path)

    assert found is not None
    line = facts.masked(f"{SECRET} client-secret {appkeys.pem().splitlines()[3]}")
    assert "******** ******** ********" == line
    assert SECRET not in repr(found)


def test_an_earlier_secret_is_believed_for_as_long_as_the_file_says() -> None:
    """Without an end until GitHub has signed with the new one."""
    rotated = app(earlier_secret="before", earlier_until=NOW)

    assert ["before", SECRET] == rotated.believed(now=NOW - 1)
    assert [SECRET] == rotated.believed(now=NOW)
    assert ["before", SECRET] == app(earlier_secret="before").believed(now=NOW)
    assert [] == app(webhook_secret="").believed(now=NOW)


# --- what the settings make of it -------------------------------------------------------------------------


def test_github_is_told_as_soon_as_there_is_an_app(tmp_path: Path) -> None:
    """And no longer than that; settings that were read before see it, too."""
    given = Settings(home=tmp_path)
    before = given.tells_github

    appfile.keep(tmp_path, app())
    assert (False, True) == (before, given.tells_github)
    assert AppKey("Iv23abc", appkeys.pem()) == given.sign_in
    assert {"7", "Iv23abc"} == given.app_names
    assert (WebhookSecret(SECRET),) == given.believed(now=NOW)
    assert SECRET in given.own_secrets

    (tmp_path / appfile.FILE).unlink()
    assert given.sign_in is None


def test_what_the_settings_name_themselves_comes_first(tmp_path: Path) -> None:
    """The App's webhook is believed all the same: GitHub signs with its secret."""
    appfile.keep(tmp_path, app())
    by_token = Settings(home=tmp_path, github_token="t", webhook_secrets=(WebhookSecret("own"),))
    by_key = Settings(home=tmp_path, github_app_id="9", github_private_key="pem")

    assert ("t", frozenset()) == (by_token.sign_in, by_token.app_names)
    assert (AppKey("9", "pem"), {"9"}) == (by_key.sign_in, set(by_key.app_names))
    assert (WebhookSecret("own"), WebhookSecret(SECRET)) == by_token.believed(now=NOW)


def test_settings_are_told_with_what_the_file_gives_them(tmp_path: Path) -> None:
    """Its path is their origin, and its secrets are masked."""
    appfile.keep(tmp_path, app())
    loaded = sources.load(environ={"FASTDEPLOY_HOME": str(tmp_path)})

    told = {name: (value, origin) for name, value, origin in sources.describe(loaded)}

    path = str(tmp_path / appfile.FILE)
    assert ("Iv23abc", path) == told["github_client_id"]
    assert ("7", path) == told["github_app_id"]
    assert ("********", path) == told["github_private_key"]
    assert ("********", path) == told["webhook_secrets"]


def test_settings_that_win_are_told_as_they_are(tmp_path: Path) -> None:
    """The file gives nothing then."""
    appfile.keep(tmp_path, app())
    given = Settings(home=tmp_path, github_token="t", webhook_secrets=(WebhookSecret("own"),))

    told = sources.describe(Loaded(given, dict.fromkeys(Settings.__struct_fields__, "default")))

    assert {"default"} == {origin for _, _, origin in told}


def test_an_apps_secret_is_enough_to_serve(tmp_path: Path) -> None:
    """Webhooks can be believed by it."""
    appfile.keep(tmp_path, app())

    settings.require_serving(Settings(home=tmp_path, secret_key="k" * 32))
