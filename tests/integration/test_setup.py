"""Set-up: a GitHub App in one click, whose key never reaches a page; and another secret for its webhook."""

from __future__ import annotations

import html
import json
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest
from click.testing import CliRunner
from flask import Flask, g
from werkzeug.test import TestResponse

import appkeys
import fakehub
from callers import KEY, SECRET, Browser, GitHub, ServiceFiles, sync
from fakehub import DROPPED, FakeHub, Fault
from fastdeploy_bot import appfile, facts, store
from fastdeploy_bot.appfile import App
from fastdeploy_bot.cli.root import cli
from fastdeploy_bot.core import clock, leases
from fastdeploy_bot.core.people import roundtrips
from fastdeploy_bot.core.people.sessions import Found
from fastdeploy_bot.errors import Forbidden
from fastdeploy_bot.forge.github import setup
from fastdeploy_bot.forge.github.api import apps
from fastdeploy_bot.settings import Settings
from fastdeploy_bot.store.models import Audit
from fastdeploy_bot.web.setup import EXTENSION, Glances
from fastdeploy_bot.words import LOCAL, WebhookSecret

HOUR = 3_600 * clock.SECOND
ORIGIN = "http://deploy.example"
ZEN = b'{"zen": "Speak like a human.", "hook": {"type": "App"}}'
NEVER_SHOWN = ("BEGIN RSA", appkeys.pem().splitlines()[5], "client-secret-of-the-app", SECRET)


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    """An Enterprise Server, to which nothing wrong may have been said in the end."""
    with FakeHub(prefix="/api/v3") as made:
        made.installations.clear()
        yield made
    assert [] == made.wrongs


@pytest.fixture
def settings(home: Path, database_url: str, hub: FakeHub) -> Iterator[Settings]:
    """A bot that GitHub may be able to reach, without credentials."""
    yield Settings(
        home=home,
        database_url=database_url,
        secret_key=KEY,
        webhook_secrets=(WebhookSecret(SECRET),),
        public_url=ORIGIN,
        github_api_url=hub.url,
        github_url=hub.web,
    )
    facts.hide(())


class Admin:
    """Somebody at the page, and at GitHub's."""

    def __init__(self, app: Flask, hub: FakeHub) -> None:
        self.app = app
        self.hub = hub
        self.browser = Browser(app, origin=ORIGIN).signed_in("admin")
        [cookie] = (self.browser.client._cookies or {}).values()
        self.browser.client.set_cookie("fastdeploy", cookie.value, domain="deploy.example")
        self.seen: list[str] = []

    def open(self, path: str = "/setup", status: int = 200) -> str:
        """The page, as GitHub's answers are now."""
        self.app.extensions[EXTENSION] = Glances()
        return self.read(self.browser.get(path), status)

    def read(self, answer: TestResponse, status: int = 200) -> str:
        """What an answer shows."""
        assert status == answer.status_code, answer.text
        self.seen.append(answer.text)
        return answer.text

    def form(self, text: str) -> tuple[str, str]:
        """Where the form of a page goes, and the manifest in it."""
        found = re.search(
            r'<form method="post" action="([^"]*)"><input type="hidden" name="manifest" value="([^"]*)"', text
        )
        assert found is not None
        return html.unescape(found[1]), html.unescape(found[2])

    def way_back(self) -> str:
        """Go to GitHub and have the App made; the path that GitHub sends the browser to."""
        action, manifest = self.form(self.open())
        state = parse_qs(urlsplit(action).query)["state"][0]
        self.hub.app.codes["code-1"] = json.loads(manifest)
        self.hub.app.made = json.loads(manifest)
        self.hub.app.secret = "signs-the-webhooks-of-the-app"
        self.hub.granted = dict(json.loads(manifest)["default_permissions"])
        return f"/setup/created?code=code-1&state={state}"

    def make_app(self) -> None:
        """All of the way."""
        assert 303 == self.browser.get(self.way_back()).status_code

    def rotate(self) -> TestResponse:
        """Press the button."""
        return self.browser.post("/setup/rotate")


@pytest.fixture
def admin(app: Flask, hub: FakeHub) -> Iterator[Admin]:
    """Whose pages never show a key or a secret."""
    made = Admin(app, hub)
    yield made
    kept = appfile.found(Path(app.extensions["fastdeploy"].settings.home))
    secrets = [*NEVER_SHOWN, *(each for each in (kept.secrets if kept else []) if "BEGIN" not in each)]
    assert [] == [secret for secret in secrets for text in made.seen if secret in text]


def kept(settings: Settings) -> App:
    """The App as the file has it."""
    found = appfile.found(settings.home)
    assert found is not None
    return found


# --- making one -------------------------------------------------------------------------------------------


def test_the_form_says_what_is_to_be_made(admin: Admin, hub: FakeHub) -> None:
    """Least permissions, the events that belong to them, and the way back; to GitHub's page and nowhere else."""
    answer = admin.browser.get("/setup")
    action, manifest = admin.form(admin.read(answer))

    assert action.startswith(f"{hub.web}/settings/apps/new?state=")
    assert {
        "name": "fastdeploy deploy.example",
        "url": "http://deploy.example",
        "hook_attributes": {"url": "http://deploy.example/webhooks/github", "active": True},
        "redirect_url": "http://deploy.example/setup/created",
        "setup_url": "http://deploy.example/setup",
        "setup_on_update": True,
        "public": False,
        "default_permissions": {
            "metadata": "read",
            "contents": "read",
            "statuses": "write",
            "deployments": "write",
            "checks": "write",
        },
        "default_events": ["push", "check_run", "check_suite", "status", "repository"],
        "callback_urls": [f"{ORIGIN}/login/github/callback"],
        "request_oauth_on_install": False,
    } == json.loads(manifest)
    assert f"form-action 'self' {hub.web};" in answer.headers["Content-Security-Policy"]


def test_no_other_page_lets_forms_go_elsewhere(admin: Admin, hub: FakeHub) -> None:
    """The exception is the set-up page's alone."""
    policy = admin.browser.get("/settings/users").headers["Content-Security-Policy"]

    assert "form-action 'self';" in policy
    assert hub.web not in policy


def test_an_organization_may_own_it(admin: Admin, hub: FakeHub) -> None:
    """By its name."""
    action, _ = admin.form(admin.open("/setup?organization=octo-org"))

    assert action.startswith(f"{hub.web}/organizations/octo-org/settings/apps/new?state=")


@pytest.mark.parametrize("name", ["../x", "a/b", "-a", "a-", "a--b", 'a"b', "a%2fb", "a" * 40, "a?b", "ä", "a\nb"])
def test_an_organization_that_cannot_be_one_is_refused(admin: Admin, name: str) -> None:
    """Nothing of it comes into the address."""
    admin.app.extensions[EXTENSION] = Glances()
    answer = admin.browser.get("/setup", query_string={"organization": name})

    assert 422 == answer.status_code
    assert "/organizations/" not in admin.form(admin.read(answer, 422))[0]


def test_a_bot_that_github_cannot_reach_is_made_an_app_without_a_webhook(hub: FakeHub) -> None:
    """GitHub refuses such addresses; the page names what to do."""
    made = setup.manifest("a name of more than thirty-four characters", "http://127.0.0.1:8000", reachable=False)

    assert not {"hook_attributes", "default_events"} & made.keys()
    assert 34 == len(made["name"])
    assert hub.wrongs == []


def test_the_app_is_kept_and_used_at_once(admin: Admin, settings: Settings, github: GitHub) -> None:
    """In a file for the bot's user alone; the audit knows who has made it."""
    admin.make_app()

    app = kept(settings)
    assert (fakehub.CLIENT_ID, "signs-the-webhooks-of-the-app") == (app.client_id, app.webhook_secret)
    assert 0o600 == stat.S_IMODE((settings.home / appfile.FILE).stat().st_mode)
    assert settings.tells_github
    assert 200 == github.deliver(ZEN, event="ping", secret=app.webhook_secret).status_code
    [made] = Audit.select().where(Audit.action == "create app")
    assert ("admin", "app shop-bot") == (made.who, made.object)


def test_the_page_shows_where_it_is_installed(admin: Admin, hub: FakeHub) -> None:
    """What it may do, and how to install it; asked of GitHub."""
    admin.make_app()
    before = admin.open()
    hub.installations["octo-org/shop"] = fakehub.INSTALLATION
    after = admin.open("/setup?installation_id=77&setup_action=install")

    assert "Nowhere yet" in before
    assert f'href="{hub.web}/apps/shop-bot/installations/new"' in before
    assert "<code>octo-org/shop</code>" in after
    assert "<code>checks: write</code>" in after
    assert "What it lacks" not in after


def test_the_page_names_what_the_app_does_not_see(
    app: Flask, admin: Admin, hub: FakeHub, service: ServiceFiles
) -> None:
    """Who signs in by GitHub is refused for it; not where only the first repositories of many are known."""
    for name in ("shop", "blog"):
        service(name, repository=f"Octo-Org/{name}")
    sync(app)
    hub.installations["octo-org/shop"] = fakehub.INSTALLATION
    admin.make_app()
    text = admin.open()
    hub.installations |= {f"octo-org/{number}": fakehub.INSTALLATION for number in range(apps.PAGE)}

    assert "refused until the App sees this repository, too: <code>octo-org/blog</code>" in text
    assert "refused until" not in admin.open()


def test_what_it_lacks_is_told(admin: Admin, hub: FakeHub) -> None:
    """Before a call is refused for it."""
    admin.make_app()
    hub.granted = {"metadata": "read", "contents": "write", "statuses": "read"}

    text = admin.open()

    lacks = text[text.index("What it lacks") :]
    assert "<code>statuses: write</code>, <code>deployments: write</code>, <code>checks: write</code>" in lacks


def test_a_suspended_installation_is_told(admin: Admin, hub: FakeHub) -> None:
    """Nothing is asked of it."""
    admin.make_app()
    hub.installations["octo-org/shop"] = fakehub.INSTALLATION
    hub.suspended.add(fakehub.INSTALLATION)

    assert "suspended on GitHub" in admin.open()
    assert not [path for path in hub.paths() if "access_tokens" in path]


def test_the_page_waits_for_github(admin: Admin, settings: Settings, github: GitHub) -> None:
    """It looks again by itself, without a script, until something came."""
    admin.make_app()
    waiting = admin.open()
    github.deliver(ZEN, event="ping", secret=kept(settings).webhook_secret)
    after = admin.open()

    assert ('http-equiv="refresh"' in waiting, "Waiting for GitHub" in waiting) == (True, True)
    assert ('http-equiv="refresh"' in after, "GitHub reached this bot" in after) == (False, True)


def test_github_is_not_asked_at_each_look(admin: Admin, hub: FakeHub) -> None:
    """A page that waits asks for itself every few seconds."""
    admin.make_app()
    admin.open()
    asked = len(hub.calls)

    for _ in range(5):
        admin.read(admin.browser.get("/setup"))

    assert asked == len(hub.calls)


def test_github_is_not_asked_while_it_wants_to_hear_nothing(admin: Admin, hub: FakeHub) -> None:
    """What holds for the desk holds here."""
    admin.make_app()
    asked = len(hub.calls)
    leases.be_silent(until=clock.now() + HOUR, now=clock.now())

    assert "wants to be asked nothing until" in admin.open()
    assert asked == len(hub.calls)


def test_a_limit_that_the_page_hears_of_holds_for_everybody(admin: Admin, hub: FakeHub) -> None:
    """Who opens the page again, and who wants another secret; and the desk, which would ask next."""
    admin.make_app()
    hub.fail(Fault(403, "You have exceeded a secondary rate limit", {"Retry-After": "60"}), on="/app")
    admin.open()
    asked = len(hub.calls)

    assert "wants to be asked nothing until" in admin.open()
    assert "wants to be asked nothing until" in admin.read(admin.rotate(), 502)
    assert asked == len(hub.calls)
    left = (leases.silent_until(now=clock.now()) or 0) - clock.now()
    assert 50 * clock.SECOND < left <= 60 * clock.SECOND


def test_github_being_away_is_told_on_the_page(admin: Admin, hub: FakeHub) -> None:
    """And the rest is shown all the same."""
    admin.make_app()
    hub.down = True

    text = admin.open()

    assert "GitHub cannot be reached" in text
    assert "Change its secret" in text


def test_what_github_names_as_its_addresses_is_linked_only_there(admin: Admin, settings: Settings) -> None:
    """Whoever answers in its place can lead nobody elsewhere."""
    admin.make_app()
    appfile.change(settings.home, lambda it: msgspec.structs.replace(it, html_url="javascript:alert(1)"))

    assert "javascript:" not in admin.open()


# --- the way back -----------------------------------------------------------------------------------------


def test_a_state_is_good_once(admin: Admin, settings: Settings, hub: FakeHub) -> None:
    """The same way back does nothing more."""
    path = admin.way_back()
    assert 303 == admin.browser.get(path).status_code
    (settings.home / appfile.FILE).unlink()
    asked = len(hub.calls)

    assert "was taken before" in admin.read(admin.browser.get(path), 403)
    assert (asked, False) == (len(hub.calls), (settings.home / appfile.FILE).exists())


def test_a_state_of_another_session_is_refused(admin: Admin, app: Flask, settings: Settings, hub: FakeHub) -> None:
    """Also of another session of the same admin."""
    path = admin.way_back()
    other = Browser(app, origin=ORIGIN).signed_in("admin")

    assert 403 == other.get(path).status_code
    assert ([], False) == (hub.calls, (settings.home / appfile.FILE).exists())


@pytest.mark.parametrize("state", ["", "1", "1-", "x-y", "-", "1-" + "0" * 64, "\u0661-x", "9" * 30 + "-x", "1-\udcff"])
def test_a_made_up_state_is_refused(admin: Admin, hub: FakeHub, state: str) -> None:
    """Before GitHub is asked for anything."""
    given = {"code": "code-1", "state": state.encode(errors="replace").decode()}

    assert 403 == admin.browser.get("/setup/created", query_string=given).status_code
    assert [] == hub.calls


def test_a_state_lasts_an_hour(database: str) -> None:
    """And is not taken before it began."""
    assert database
    found = Found(principal=LOCAL, id=1, created=5, expires=10 * HOUR)
    state = roundtrips.begin(found, key=KEY, now=HOUR)

    for now in (HOUR - 1, 2 * HOUR):
        with pytest.raises(Forbidden, match="longer than an hour"):
            roundtrips.end(found, state, keys=[KEY], now=now)


def test_a_state_outlives_another_key(admin: Admin, app: Flask, settings: Settings) -> None:
    """As long as that is a fallback."""
    path = admin.way_back()
    bot = app.extensions["fastdeploy"]
    rotated = msgspec.structs.replace(settings, secret_key="n" * 32, secret_key_fallbacks=(KEY,))
    app.extensions["fastdeploy"] = msgspec.structs.replace(bot, settings=rotated)

    assert 303 == admin.browser.get(path).status_code


@pytest.mark.parametrize("code", ["", "../../x", "a/b", "a b", "x" * 300])
def test_a_code_that_cannot_be_one_is_not_sent(admin: Admin, hub: FakeHub, code: str) -> None:
    """It would lead elsewhere."""
    state = admin.way_back().partition("state=")[2]

    assert 422 == admin.browser.get("/setup/created", query_string={"code": code, "state": state}).status_code
    assert [] == hub.calls


def test_a_code_that_github_does_not_know_is_told(admin: Admin, settings: Settings, hub: FakeHub) -> None:
    """It was exchanged before, or came too late."""
    path = admin.way_back()
    hub.app.codes.clear()

    assert "GitHub answered 404" in admin.read(admin.browser.get(path), 502)
    assert not (settings.home / appfile.FILE).exists()


@pytest.mark.parametrize(
    "raw", [b"", b"[]", b"{}", b'{"id": 1, "client_id": "x", "pem": "hunter2"}', b'{"id": "hunter2"}']
)
def test_an_answer_that_makes_no_sense_is_told(admin: Admin, settings: Settings, hub: FakeHub, raw: bytes) -> None:
    """Nothing of it is shown, and nothing kept."""
    path = admin.way_back()
    hub.fail(Fault(201, raw=raw or b"\0"), on="/conversions")

    text = admin.read(admin.browser.get(path), 502)

    assert ("was not understood" in text, "hunter2" in text) == (True, False)
    assert not (settings.home / appfile.FILE).exists()


def test_an_app_is_not_replaced_by_another(admin: Admin, settings: Settings, hub: FakeHub) -> None:
    """Its key would be lost; whoever wants that takes the file away."""
    admin.make_app()
    before = kept(settings)
    state = roundtrips_state(admin)
    hub.app.codes["code-2"] = hub.app.made

    answer = admin.browser.get("/setup/created", query_string={"code": "code-2", "state": state})

    assert 409 == answer.status_code
    assert (before, ["code-2"]) == (kept(settings), list(hub.app.codes))


def roundtrips_state(admin: Admin) -> str:
    """A state as a page of this session carries it."""
    with admin.browser.client as client:
        client.get("/settings/account")
        return roundtrips.begin(g.session, key=KEY, now=clock.now())


# --- by hand ----------------------------------------------------------------------------------------------


def test_a_bot_that_is_signed_in_by_its_settings_says_so(
    admin: Admin, app: Flask, settings: Settings, hub: FakeHub
) -> None:
    """And offers no App, which would be passed over."""
    bot = app.extensions["fastdeploy"]
    by_token = msgspec.structs.replace(settings, github_token="ghp_1")
    app.extensions["fastdeploy"] = msgspec.structs.replace(bot, settings=by_token)

    text = admin.open()

    assert "<code>github_token</code>" in text
    assert 'name="manifest"' not in text
    assert [] == hub.calls


def test_a_file_that_cannot_be_used_is_told(admin: Admin, settings: Settings) -> None:
    """As `check` tells it."""
    path = settings.home / appfile.FILE
    path.write_text("{")
    path.chmod(0o644)

    assert "chmod 600" in admin.open()


def test_a_webhook_by_hand_is_explained(admin: Admin, github: GitHub) -> None:
    """Its address, and where its secret stands; and whether it has worked."""
    before = admin.open()
    github.deliver(ZEN, event="ping")
    after = admin.open()

    assert "http://deploy.example/webhooks/github" in before
    assert ("GitHub reached this bot" in before, "GitHub reached this bot" in after) == (False, True)


def done(text: str) -> list[bool]:
    """Which of the first steps the page says are done."""
    steps = text.partition("First steps")[2].partition("</ol>")[0]
    return ['aria-label="done"' in step for step in steps.split("<li>")[1:]]


def test_first_steps_are_ticked_off(admin: Admin, github: GitHub, service: ServiceFiles) -> None:
    """The address, the account, GitHub, a service, a deployment: each as soon as it is true."""
    assert [True, True, False, False, False] == done(admin.open())

    github.deliver(ZEN, event="ping")
    service("shop")
    page = admin.open()
    assert [True, True, True, True, False] == done(page)
    assert 'href="/services/shop#deploy"' in page

    github.push()
    assert [True, True, True, True, True] == done(admin.open())


# --- another webhook secret -------------------------------------------------------------------------------


def test_the_earlier_secret_counts_until_github_has_signed_with_the_new_one(
    admin: Admin, settings: Settings, github: GitHub, hub: FakeHub
) -> None:
    """No webhook is refused meanwhile."""
    admin.make_app()
    old = kept(settings).webhook_secret
    assert 303 == admin.rotate().status_code
    new = hub.app.secret

    signed = []
    for secret in (old, new, old):
        with github.deliver(ZEN, event="ping", secret=secret) as answer:
            signed.append(answer.status_code)

    assert [200, 200, 401] == signed
    assert (new, "") == (kept(settings).webhook_secret, kept(settings).earlier_secret)
    assert old != new


def test_the_earlier_secret_counts_for_an_hour_at_most(admin: Admin, settings: Settings) -> None:
    """Whether or not GitHub has sent anything."""
    admin.make_app()
    old = kept(settings).webhook_secret
    admin.rotate()

    app = kept(settings)
    assert old in app.believed(now=clock.now() + HOUR - 60_000)
    assert [app.webhook_secret] == app.believed(now=clock.now() + HOUR)


def test_a_secret_that_github_refuses_is_not_used(admin: Admin, settings: Settings, hub: FakeHub) -> None:
    """All is as before."""
    admin.make_app()
    before = kept(settings)
    hub.fail(Fault(403, "Resource not accessible"), on="/hook/config")

    assert "GitHub answered 403" in admin.read(admin.rotate(), 502)
    assert before == kept(settings)


@pytest.mark.parametrize("done", [True, False])
def test_where_it_is_not_known_what_github_has_taken_both_count(
    admin: Admin, settings: Settings, github: GitHub, hub: FakeHub, done: bool
) -> None:
    """The next try offers the same secret, and settles it."""
    admin.make_app()
    old = kept(settings).webhook_secret
    hub.fail(DROPPED._replace(done=done), on="/hook/config")
    assert 502 == admin.rotate().status_code
    assert "not known whether GitHub has taken" in admin.open()
    new = kept(settings).webhook_secret

    assert {old, new} == set(kept(settings).believed(now=clock.now() + 100 * HOUR))
    assert (new if done else old) == hub.app.secret

    assert 303 == admin.rotate().status_code
    assert (new, new) == (hub.app.secret, kept(settings).webhook_secret)
    assert 200 == github.deliver(ZEN, event="ping", secret=old).status_code


def test_without_an_app_there_is_no_secret_to_change(admin: Admin) -> None:
    """That of a webhook by hand stands in the settings."""
    assert 409 == admin.rotate().status_code


def test_the_secret_may_be_changed_by_a_command(
    admin: Admin, settings: Settings, hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the bot's host; what is printed shows nothing of it."""
    admin.make_app()
    old = kept(settings).webhook_secret
    given = {"HOME": settings.home, "GITHUB_API_URL": hub.url, "DATABASE_URL": settings.effective_database_url}
    for name, value in given.items():
        monkeypatch.setenv(f"FASTDEPLOY_{name}", str(value))
    store.disconnect()

    done = CliRunner().invoke(cli, ["secret", "rotate-webhook"])

    assert (0, "GitHub signs the webhooks of shop-bot with another secret from now on\n") == (
        done.exit_code,
        done.output,
    )
    assert old != hub.app.secret == kept(settings).webhook_secret
