"""The page in a real browser: signing in, following a push, looking at a failure, cancelling, losing the server."""

from __future__ import annotations

import json
import time

import pytest
from playwright.sync_api import Locator, expect

import fakehub
from bots import ADMIN, PASSWORD, Bot, BotMaker, wait_for
from fastdeploy_bot.forge.github import payloads
from windows import WAIT, OpenPage, overflow, push, sign_in, stay

pytestmark = pytest.mark.timeout(300)

SLOW = """#!/bin/sh
fastdeploy step Build -- echo building
fastdeploy step Migrate -- sh -c 'until [ -e go ]; do sleep 0.1; done; echo "migrated <b>it</b>"'
"""
FAILING = """#!/bin/sh
for n in $(seq 1 40); do echo "line $n"; done
fastdeploy step Migrate -- sh -c 'echo "relation tax does not exist"; exit 3'
"""
LONG = "#!/bin/sh\necho begun\nexec sleep 600\n"


def colour(place: Locator) -> str:
    """What its text is written in."""
    found: str = place.evaluate("one => getComputedStyle(one).color")
    return found


def test_a_push_is_watched_to_its_end_without_a_reload(bot: Bot, window: OpenPage) -> None:
    """On the overview and on its own page: state, steps, log, title and icon change by themselves."""
    folder = bot.service("shop", SLOW, branches=["main"])
    with window() as page:
        sign_in(page, bot)
        expect(page.locator("#live")).to_have_text("live", timeout=WAIT)
        same = stay(page)

        number = push(bot, "shop", "a" * 40)
        row = page.get_by_role("listitem").filter(has_text="shop")
        expect(row).to_contain_text("deploying aaaaaaa “Fix the feed”", timeout=WAIT)
        assert same()

        row.get_by_role("link", name="Open").click()
        expect(page.locator("#steps")).to_contain_text("Migrate", timeout=WAIT)
        expect(page.locator("#log")).to_contain_text("building", timeout=WAIT)
        icon = page.locator("link[rel=icon]").get_attribute("href")
        same = stay(page)
        (folder / "go").touch()

        expect(page.get_by_role("heading", level=1)).to_contain_text("deployed", timeout=WAIT)
        expect(page.locator("#log")).to_contain_text("migrated <b>it</b>", timeout=WAIT)
        expect(page).to_have_title(f"✓ success · shop #{number} · fastdeploy", timeout=WAIT)
        assert icon != page.locator("link[rel=icon]").get_attribute("href")
        assert same()


def test_a_failure_shows_its_last_lines_and_can_be_retried(bot: Bot, window: OpenPage) -> None:
    """The step, the status, the end of the log; Retry asks once and leads to the new deployment."""
    bot.service("tax", FAILING)
    number = bot.run_service("tax")["id"]
    with window() as page:
        sign_in(page, bot, f"/deployments/{number}")

        note = page.locator(".note.bad")
        expect(note).to_contain_text("Failed at “Migrate”: exit status 3")
        assert ["relation tax does not exist"] == (note.locator(".tail").text_content() or "").splitlines()

        note.get_by_text("Retry").click()
        note.get_by_role("button", name="Yes, deploy 5555555").click()
        page.wait_for_url(f"{bot.url}/deployments/{number + 1}")
        expect(page.locator("h1")).to_contain_text("failed", timeout=WAIT)


def test_a_deployment_is_cancelled_from_the_page(bot: Bot, window: OpenPage) -> None:
    """It asks once, with the commit; the page then shows the true end by itself."""
    bot.service("long", LONG)
    number = bot.deploy("long")
    with window() as page:
        sign_in(page, bot, f"/deployments/{number}")
        expect(page.locator("#log")).to_contain_text("begun", timeout=WAIT)

        page.get_by_text("Cancel", exact=True).click()
        sure = page.get_by_role("button", name=f"Yes, cancel deployment {number}")
        assert colour(page.get_by_text("Cancel", exact=True)) == colour(sure) != colour(page.locator("h1"))
        sure.click()

        expect(page.locator("h1")).to_contain_text("cancelled", timeout=WAIT)
    assert "cancelled" == bot.wait_end(number)["state"]


def test_what_is_open_or_typed_stays_while_the_page_is_kept_fresh(bot: Bot, window: OpenPage) -> None:
    """A question that somebody is reading is not taken away by news."""
    bot.service("calm", "#!/bin/sh\nexit 0\n")
    bot.run_service("calm", ref="main")
    with window() as page:
        sign_in(page, bot, "/services/calm")
        expect(page.locator("#live")).to_have_text("live", timeout=WAIT)
        if not page.locator("#deploy-ask").evaluate("one => one.open"):
            page.locator("#deploy-ask > summary").click()
        page.locator("#lock-ask > summary").click()
        page.get_by_label("For how long:").select_option("1 day")
        page.locator("#sha").fill("abc")

        bot.run_service("calm", sha="7" * 40)

        expect(page.locator("#deployments")).to_contain_text("7777777", timeout=WAIT)
        expect(page.locator("#sha")).to_have_value("abc")
        expect(page.locator("#sha")).to_be_focused()
        expect(page.locator("#steer")).to_contain_text("Roll back to 5555555", timeout=WAIT)
        expect(page.get_by_label("For how long:")).to_have_value("86400")


def test_a_server_that_was_away_is_found_again_and_nothing_is_missed(make_bot: BotMaker, window: OpenPage) -> None:
    """Five seconds without a server: the page says so, comes back by itself and shows all that happened."""
    bot = make_bot().start()
    folder = bot.service("shop", SLOW)
    number = bot.deploy("shop")
    with window(away=True) as page:
        sign_in(page, bot, f"/deployments/{number}")
        expect(page.locator("#steps")).to_contain_text("Migrate", timeout=WAIT)
        expect(page.locator("#live")).to_have_text("live", timeout=WAIT)
        same = stay(page)

        bot.stop()
        expect(page.locator("#live")).to_have_text("offline", timeout=WAIT)
        (folder / "go").touch()
        page.wait_for_timeout(5_000)  # what is claimed is about this time
        bot.start()

        expect(page.locator("#live")).to_have_text("live", timeout=WAIT)
        expect(page.locator("h1")).to_contain_text("deployed", timeout=WAIT)
        expect(page.locator("#log")).to_contain_text("migrated", timeout=WAIT)
        lines = page.locator("#log .lines").all_text_contents()
        assert ["    1 building\n", "    2 migrated <b>it</b>\n"] == lines
        assert same()


GAPS = """all => all.map(each =>
    each.getBoundingClientRect().top - each.previousElementSibling.getBoundingClientRect().bottom)"""
"""How many pixels are above each of these."""


def test_without_javascript_everything_is_there(bot: Bot, window: OpenPage) -> None:
    """The same facts, and every action: sign in, deploy, look, retry, roll back, lock, unlock, print, sign out."""
    bot.service("plain", "#!/bin/sh\necho plainly done\n")
    with window(scripts=False) as page:
        sign_in(page, bot, "/services/plain")
        page.locator("#sha").fill("9" * 40)
        page.get_by_role("button", name="Yes, deploy to plain").click()
        page.wait_for_url(f"{bot.url}/deployments/*")
        number = int(page.url.rpartition("/")[2])
        bot.wait_end(number)

        page.reload()
        expect(page.locator("h1")).to_contain_text("deployed")
        expect(page.locator("#log")).to_contain_text("plainly done")
        page.get_by_text("Retry").click()
        page.get_by_role("button", name="Yes, deploy 9999999").click()
        page.wait_for_url(f"{bot.url}/deployments/{number + 1}")

        bot.wait_end(number + 1)
        bot.run_service("plain", sha="8" * 40, ref="main")
        page.goto(f"{bot.url}/services/plain")
        page.locator("#lock-ask > summary").click()
        page.get_by_label("Why:").fill("the database moves")
        page.get_by_role("button", name="Yes, lock plain").click()
        page.locator("#rollback-ask > summary").click()
        page.get_by_role("button", name="Yes, roll back to 9999999").click()
        expect(page.locator("#top")).to_contain_text("locked by admin: the database moves")
        page.goto(bot.url)
        page.locator("#unlock-plain > summary").click()
        page.get_by_role("button", name="Yes, unlock plain").click()
        page.wait_for_url(f"{bot.url}/services/plain")
        expect(page.locator("#top")).not_to_contain_text("Locked")
        page.emulate_media(media="print")
        expect(page.locator("#deploy")).to_be_hidden()
        expect(page.locator(".button:visible, button:visible")).to_have_count(0)
        told = page.locator("#deployments time").first
        assert f'" ({told.get_attribute("title")})"' == told.evaluate("it => getComputedStyle(it, '::after').content")
        page.emulate_media(media="screen")
        assert "success" == bot.wait_end(number + 3)["state"]

        page.goto(bot.url)
        expect(page.locator("#services")).to_contain_text("plain")
        page.locator("#menu > summary").click()
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")


def test_a_small_screen_needs_no_sideways_scroll(bot: Bot, window: OpenPage) -> None:
    """One column at 320 pixels, whatever titles and logs hold, and whatever is opened."""
    bot.service("narrow", f"#!/bin/sh\necho {'x' * 500}\nexit 1\n", branches=["main"], url="https://shop.example/")
    number = push(bot, "narrow", "b" * 40, title="y" * 200)
    bot.wait_end(number)
    go = bot.service("steady", "#!/bin/sh\n[ -e go ] || exec sleep 600\n") / "go"
    go.touch()
    for _ in range(3):
        bot.run_service("steady")
    go.unlink()
    running = bot.deploy("steady")
    bot.wait_state(running, "running")
    assert bot.http("POST", "/api/v1/services/narrow/lock", json={"reason": "z" * 100}).ok
    with window(width=320) as page:
        page.goto(f"{bot.url}/login")
        widths = {"/login": overflow(page)}
        sign_in(page, bot)
        for path in ("/", "/services/narrow", f"/deployments/{number}", f"/deployments/{running}", "/deliveries"):
            page.goto(bot.url + path)
            page.evaluate("document.querySelectorAll('main details').forEach(one => one.open = true)")
            widths[path] = overflow(page)
            gaps = page.locator("#services .actions").evaluate_all(GAPS)
            assert all(gap >= 6 for gap in gaps), "buttons keep off the text above them"
        page.goto(bot.url)
        sign = "getComputedStyle(document.querySelector('#services .glyph.waiting'), '::after')"
        assert "solid" == page.evaluate(f"{sign}.borderStyle"), "what waits has its sign drawn"
        assert page.evaluate(f"parseFloat({sign}.width)") >= 8

    assert dict.fromkeys(widths, 0) == widths


def test_following_a_log_stops_where_somebody_reads(bot: Bot, window: OpenPage) -> None:
    """New lines are counted until the bottom is wanted again."""
    script = "#!/bin/sh\nseq 1 200\nuntil [ -e go ]; do sleep 0.1; done\necho the end\n"
    folder = bot.service("reader", script)
    number = bot.deploy("reader")
    with window() as page:
        sign_in(page, bot, f"/deployments/{number}")
        log = page.locator("#log")
        expect(log).to_contain_text("200", timeout=WAIT)
        log.evaluate("one => one.scrollTop = 0")
        expect(page.get_by_label("follow")).not_to_be_checked()

        (folder / "go").touch()

        button = page.get_by_role("button", name="1 new line ↓")
        expect(button).to_be_visible(timeout=WAIT)
        assert 0 == log.evaluate("one => one.scrollTop")
        button.click()
        assert log.evaluate("one => one.scrollHeight - one.scrollTop - one.clientHeight < 2")


@pytest.mark.parametrize("scripts", [True, False])
def test_a_github_app_is_made_in_one_click(make_bot: BotMaker, window: OpenPage, scripts: bool) -> None:
    """From the first click to GitHub's first webhook that is believed; the bot that runs tells GitHub from then on."""
    with fakehub.FakeHub(prefix="/api/v3") as hub:
        hub.installations.clear()
        bot = make_bot(FASTDEPLOY_GITHUB_API_URL=hub.url, FASTDEPLOY_GITHUB_URL=hub.web)
        bot.environment["FASTDEPLOY_PUBLIC_URL"] = url = f"http://deploy.localhost:{bot.port}"
        bot.service("shop", "#!/bin/sh\n", branches=["main"])
        bot.start()
        with window(scripts=scripts) as page:
            page.goto(f"{url}/setup")
            page.get_by_label("User name").fill(ADMIN)
            page.get_by_label("Password").fill(PASSWORD)
            page.get_by_role("main").get_by_role("button", name="Sign in").click()

            page.get_by_role("button", name="Create a GitHub App").click()
            page.wait_for_url(f"{hub.web}/settings/apps/new?state=*")
            page.get_by_role("button", name="Create GitHub App fastdeploy deploy.localhost").click()
            page.wait_for_url(f"{url}/setup")
            expect(page.get_by_text("Waiting for GitHub")).to_be_visible()
            expect(page.get_by_text("Nowhere yet")).to_be_visible()

            page.get_by_role("link", name="Install it on an account").click()
            page.get_by_role("button", name="Install").click()
            page.wait_for_url(f"{url}/setup?installation_id=*")
            expect(page.get_by_text("GitHub reached this bot").last).to_contain_text("installation")
            hub.app.deliver("ping", {"zen": "Speak like a human.", "hook": {"type": "App"}})
            page.get_by_role("navigation", name="Settings").get_by_role("link", name="GitHub").click()
            expect(page.get_by_text("GitHub reached this bot").last).to_contain_text("ping")
            shown = page.content()

        assert [401, 200, 200] == [200 if status == 202 else status for status in hub.app.answers]
        assert [] == hub.wrongs
        assert hub.app.secret not in shown
        assert hub.app.secret not in bot.output()
        assert "PRIVATE KEY" not in shown + bot.output()
        body = payloads.push_document(
            repository="octo-org/shop",
            repository_id=4711,
            before="1" * 40,
            after="c" * 40,
            pushed_at=time.time_ns() // 10**9,
            title="Tell GitHub",
        )
        hub.app.deliver("push", json.loads(body))
        wait_for(lambda: "success" in hub.states("c" * 40))
