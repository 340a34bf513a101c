"""Signing in with a real browser: what it sends and keeps by itself is part of what the bot relies on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect

from bots import ADMIN, PASSWORD, Bot, BotMaker, free_port

pytestmark = pytest.mark.timeout(300)

SETTINGS = ("account", "users", "tokens", "audit")


@pytest.fixture
def complaints() -> list[str]:
    """What the browser's console says: above all what the Content-Security-Policy kept from happening."""
    return []


@pytest.fixture
def page(browser: Browser, complaints: list[str]) -> Iterator[Page]:
    """A window."""

    def hear(message: ConsoleMessage) -> None:
        if message.type == "error":
            complaints.append(message.text)

    context = browser.new_context()
    window = context.new_page()
    window.on("console", hear)
    yield window
    context.close()


def sign_in(page: Page, password: str = PASSWORD) -> None:
    """Fill the card that is shown."""
    page.fill("input[name=username]", ADMIN)
    page.fill("input[name=password]", password)
    page.click("main button")


def test_somebody_signs_in_does_something_and_signs_out(bot: Bot, page: Page, complaints: list[str]) -> None:
    """From the page that was wanted, past a wrong password, back to that page; and out again."""
    page.goto(f"{bot.url}/settings/users")
    sign_in(page, "guessed")
    expect(page.get_by_role("alert")).to_have_text("user name or password is wrong")
    complaints.clear()  # the browser itself says that this was a 401
    sign_in(page)
    expect(page).to_have_url(f"{bot.url}/settings/users")

    page.fill("#add ~ form input[name=username]", "anna")
    page.fill("#add ~ form input[name=password]", "correct horse")
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.get_by_role("cell", name="anna", exact=True)).to_be_visible()

    page.locator("#menu summary").click()
    page.get_by_role("button", name="Sign out", exact=True).click()
    page.goto(f"{bot.url}/settings/users")
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    assert [] == complaints


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_every_name_of_this_machine_will_do(bot: Bot, page: Page, host: str) -> None:
    """Without a `public_url`."""
    page.goto(f"http://{host}:{bot.port}/login?next=/settings/account")

    sign_in(page)

    expect(page).to_have_url(f"http://{host}:{bot.port}/settings/account")


def test_a_neighbour_cannot_send_a_form(bot: Bot, page: Page) -> None:
    """A page of another port is of the same site: the browser sends the cookie along, and the bot refuses the form."""
    page.goto(f"{bot.url}/login?next=/settings/account")
    sign_in(page)
    token = page.locator("input[name=form_token]").first.input_value()
    neighbour = f"http://127.0.0.1:{free_port()}/"
    form = (
        f"<form method=post action='{bot.url}/settings/users'><input name=form_token value='{token}'>"
        "<input name=username value=mallory><input name=password value='correct horse'><input name=role value=admin>"
        "<button>Win</button></form>"
    )
    page.route(neighbour, lambda route: route.fulfill(body=form, content_type="text/html"))
    page.goto(neighbour)

    with page.expect_response(f"{bot.url}/settings/users") as answer:
        page.get_by_role("button", name="Win").click()

    assert "fastdeploy=" in answer.value.request.all_headers()["cookie"]
    assert 403 == answer.value.status
    assert "mallory" not in bot.run("user", "list").stdout


def test_what_commands_do_stands_in_the_audit(make_bot: BotMaker, page: Page) -> None:
    """As done by `local` from `host`; the page shows it, and neither it nor the log shows a secret."""
    bot = make_bot()
    bot.service("shop", "#!/bin/sh\n")
    token = bot.run("token", "create", "shop", "--days", "1", expect=0).stdout.strip()
    bot.run("token", "revoke", "shop", "1", expect=0)
    bot.run("secret", "set", "shop", "DB_PASSWORD", stdin="a-hidden-value", expect=0)
    bot.run("secret", "rm", "shop", "DB_PASSWORD", expect=0)
    bot.run("user", "add", "anna", env={"FASTDEPLOY_PASSWORD": "a-first-password"}, expect=0)
    bot.run("user", "passwd", "anna", env={"FASTDEPLOY_PASSWORD": "a-second-password"}, expect=0)
    bot.run("sync", expect=0)
    bot.start()
    page.goto(f"{bot.url}/login?next=/settings/audit")
    sign_in(page, "a-wrong-guess")
    sign_in(page)
    expect(page).to_have_url(f"{bot.url}/settings/audit")

    rows = [row.split("\t") for row in page.locator("tbody tr").all_inner_texts()]

    assert [
        [f"{ADMIN} signed in with session 1", "127.0.0.1"],
        *(
            [f"local {deed}", "the bot's host"]
            for deed in (
                "synchronised services",
                "set the password of user anna",
                "added user anna: viewer",
                "removed secret DB_PASSWORD of shop",
                "set secret DB_PASSWORD of shop",
                "revoked token 1 of shop",
                "created token 1 of shop, 1 day",
                f"added user {ADMIN}: admin",
            )
        ),
    ] == [[cell.strip() for cell in row[1:]] for row in rows]
    told = page.content() + bot.output()
    for hidden in (token, "a-hidden-value", "a-first-password", "a-second-password", "a-wrong-guess", PASSWORD):
        assert hidden not in told


def test_the_settings_fit_a_small_screen(bot: Bot, page: Page, complaints: list[str]) -> None:
    """One column at 320 pixels, nothing to scroll sideways."""
    page.set_viewport_size({"width": 320, "height": 640})
    page.goto(f"{bot.url}/login?next=/settings/account")
    sign_in(page)
    expect(page).to_have_url(f"{bot.url}/settings/account")

    for name in SETTINGS:
        page.goto(f"{bot.url}/settings/{name}")
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= 320, name

    assert [] == complaints
