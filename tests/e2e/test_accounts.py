"""Accounts in a real browser: signing in with GitHub, service tokens, and the audit, each from the first click."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from bots import ADMIN, PASSWORD, PATIENCE, Bot, BotMaker
from fakehub import FakeHub
from windows import WAIT, OpenPage, overflow, push, sign_in

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    """An Enterprise Server to which nothing wrong may have been said in the end."""
    with FakeHub(prefix="/api/v3") as made:
        yield made
    assert [] == made.wrongs


@pytest.fixture
def app_bot(make_bot: BotMaker, hub: FakeHub) -> Bot:
    """A bot that can be made an App, with one service."""
    bot = make_bot(FASTDEPLOY_GITHUB_API_URL=hub.url, FASTDEPLOY_GITHUB_URL=hub.web)
    bot.service("shop", "#!/bin/sh\necho done\n", branches=["main"])
    return bot.start()


def make_app(page: Page, bot: Bot) -> None:
    """Go to GitHub and have it made, as the admin."""
    sign_in(page, bot, "/setup")
    page.get_by_role("button", name="Create a GitHub App").click()
    page.get_by_role("button", name="Create GitHub App").click()
    page.wait_for_url(f"{bot.url}/setup")


def sign_out(page: Page) -> None:
    """By the menu."""
    page.locator("#menu > summary").click()
    page.get_by_role("button", name="Sign out", exact=True).click()


@pytest.mark.parametrize("scripts", [True, False])
def test_somebody_signs_in_with_github(app_bot: Bot, hub: FakeHub, window: OpenPage, scripts: bool) -> None:
    """From the App that one click makes, past somebody who may nothing, to the page that was wanted."""
    bot = app_bot
    hub.people["stranger"] = (9, "none")
    with window(scripts=scripts, refused=True) as page:
        page.goto(f"{bot.url}/login")
        expect(page.get_by_text("Sign in with GitHub")).to_have_count(0)
        make_app(page, bot)
        expect(page.get_by_role("heading", name="Who signs in by it")).to_be_visible()
        sign_out(page)

        page.goto(f"{bot.url}/services/shop")
        page.get_by_role("link", name="Sign in with GitHub").click()
        page.get_by_role("button", name="Cancel").click()
        expect(page.get_by_role("alert")).to_have_text(
            "GitHub was not allowed to say who you are, so nobody is signed in"
        )
        page.get_by_role("link", name="Sign in with GitHub").click()
        page.get_by_role("button", name="Authorize as stranger").click()
        expect(page.get_by_role("alert")).to_contain_text("GitHub gives you too little here")
        page.get_by_role("link", name="Sign in with GitHub").click()
        page.get_by_role("button", name="Authorize as octocat").click()

        page.wait_for_url(f"{bot.url}/services/shop")
        expect(page.locator("#menu > summary")).to_have_text("octocat")
        page.goto(f"{bot.url}/settings/account")
        expect(page.get_by_text("Your role: deployer")).to_be_visible()
        expect(page.get_by_text("You have none: you sign in with GitHub, as octocat")).to_be_visible()
        sign_out(page)

        sign_in(page, bot, "/settings/users")
        row = page.get_by_role("row").filter(has_text="octocat")
        expect(row).to_contain_text("GitHub, as octocat")
        page.goto(f"{bot.url}/settings/audit")
        expect(page.get_by_role("table")).to_contain_text("octocat added user octocat: deployer, as GitHub says")
    assert [] == list(hub.sign_in.tokens)


def test_a_user_is_linked_and_signs_in_as_themselves(app_bot: Bot, hub: FakeHub, window: OpenPage) -> None:
    """An admin gives the number; the role stays what it is here."""
    bot = app_bot
    with window() as page:
        make_app(page, bot)
        page.goto(f"{bot.url}/settings/users")
        page.get_by_label(f"GitHub account of {ADMIN}").click()
        page.get_by_label("Number").fill(str(hub.people["reader"][0]))
        page.get_by_role("group").get_by_role("button", name="Set").click()
        # Whatever is changed of a user ends what they are signed in with.
        page.get_by_role("link", name="Sign in with GitHub").click()
        page.get_by_role("button", name="Authorize as reader").click()

        expect(page.locator("#menu > summary")).to_have_text(ADMIN)
        expect(page.get_by_role("row").filter(has_text=ADMIN)).to_contain_text("password or GitHub, as reader")


def test_github_being_away_leaves_the_card(app_bot: Bot, hub: FakeHub, window: OpenPage) -> None:
    """One calm sentence, and the password works as ever."""
    bot = app_bot
    with window(refused=True) as page:
        make_app(page, bot)
        sign_out(page)
        page.goto(f"{bot.url}/login?next=/deliveries")
        page.get_by_role("link", name="Sign in with GitHub").click()
        back = hub.sign_in.agree(page.url, "octocat")
        hub.down = True
        page.goto(back)

        expect(page.get_by_role("alert")).to_have_text(
            "GitHub could not be asked: try again shortly, or sign in with a password"
        )
        page.get_by_label("User name").fill(ADMIN)
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("main").get_by_role("button", name="Sign in").click()
        page.wait_for_url(f"{bot.url}/deliveries")
        hub.down = False


def test_a_token_is_made_copied_used_and_revoked(bot: Bot, window: OpenPage) -> None:
    """The command works as it is pasted; the list says when it was used; then it is good for nothing."""
    bot.service("shop", "#!/bin/sh\necho done\n", branches=["main"])
    push(bot, "shop", "a" * 40)
    with window() as page:
        page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        sign_in(page, bot, "/settings/tokens")
        page.get_by_role("main").get_by_label("Service").select_option("shop")
        page.get_by_label("What it is for").fill("the nightly job")
        page.get_by_role("button", name="Create").click()

        page.get_by_role("button", name="Copy: a command that starts a deployment").click()
        expect(page.locator("#said")).to_have_text("Copied")
        command = page.evaluate("navigator.clipboard.readText()")
        assert page.locator("#made-curl").text_content() == command
        pasted = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=PATIENCE)
        assert '"service":"shop"' in pasted.stdout

        page.get_by_role("navigation", name="Settings").get_by_role("link", name="Tokens").click()
        row = page.get_by_role("row").filter(has_text="the nightly job")
        expect(row).not_to_contain_text("never")
        expect(row.get_by_role("time")).to_have_count(2)
        expect(row).to_contain_text("89 days left")
        expect(page.locator("#made-token")).to_have_count(0)
        row.get_by_text("Revoke", exact=True).click()
        row.get_by_role("button", name="Yes, revoke it").click()
        expect(row).to_contain_text("revoked")

    again = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=PATIENCE)
    assert "this token was revoked" in again.stdout


def test_without_javascript_a_token_is_shown_without_buttons_to_copy(bot: Bot, window: OpenPage) -> None:
    """They would do nothing; the text can be selected."""
    bot.service("plain", "#!/bin/sh\n")
    bot.run("sync")
    with window(scripts=False) as page:
        sign_in(page, bot, "/settings/tokens")
        page.get_by_role("main").get_by_label("Service").select_option("plain")
        page.get_by_role("button", name="Create").click()

        expect(page.locator("#made-token")).to_contain_text("fds_")
        expect(page.locator("#made-curl")).to_contain_text('-d "{\\"sha\\": \\"$(git rev-parse HEAD)\\"}"')
        expect(page.locator("#made-step")).to_contain_text("token: ${{ secrets.FASTDEPLOY_TOKEN_PLAIN }}")
        expect(page.get_by_role("button", name="Copy")).to_have_count(0)


@pytest.mark.parametrize("scripts", [True, False])
def test_the_audit_is_searched(bot: Bot, window: OpenPage, scripts: bool) -> None:
    """Whole sentences; by a form whose search is in the address."""
    name = f"audited-{str(scripts).lower()}"
    bot.service(name, "#!/bin/sh\nexec sleep 600\n")
    number = bot.deploy(name)
    bot.run("cancel", str(number), expect=0)
    with window(scripts=scripts) as page:
        sign_in(page, bot, "/settings/audit")
        page.get_by_label("To what, or for which service").fill(name)
        page.get_by_label("What they did").select_option("cancel")
        page.get_by_role("button", name="Show", exact=True).click()

        rows = page.get_by_role("table").get_by_role("row")
        expect(rows).to_have_count(2)
        expect(rows.nth(1)).to_contain_text(f"local cancelled deployment {number} of {name}")
        assert f"action=cancel&about={name}" in page.url
        rows.nth(1).get_by_role("link", name=f"deployment {number}").click()
        page.wait_for_url(f"{bot.url}/deployments/{number}")
        page.go_back()
        page.get_by_role("link", name="Show all").click()
        expect(page.get_by_role("row").filter(has_text="signed in with session").first).to_be_visible()


def test_accounts_need_no_sideways_scroll(app_bot: Bot, window: OpenPage) -> None:
    """At 320 pixels, whatever is opened."""
    bot = app_bot
    with window(width=320) as page:
        make_app(page, bot)
        widths = {"setup": overflow(page)}
        for path in ("account", "users", "audit", "tokens"):
            page.goto(f"{bot.url}/settings/{path}")
            page.evaluate("document.querySelectorAll('main details').forEach(one => one.open = true)")
            widths[path] = overflow(page)
        page.get_by_role("button", name="Create").click()
        page.wait_for_selector("#made-token", timeout=WAIT)
        widths["token"] = overflow(page)
        sign_out(page)
        page.goto(f"{bot.url}/login")
        widths["login"] = overflow(page)

    assert dict.fromkeys(widths, 0) == widths
