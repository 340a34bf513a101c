"""What is pressed on the page, from first click to end: twice, by two people, taken back, and asked for again."""

from __future__ import annotations

from contextlib import suppress

import pytest
from playwright.sync_api import Error, Page, expect

from bots import PASSWORD, Bot
from windows import WAIT, OpenPage, push, sign_in

pytestmark = pytest.mark.timeout(300)

QUICK = '#!/bin/sh\necho "$FASTDEPLOY_SHA" >> ran\n'
HELD = '#!/bin/sh\necho begun\nuntil [ -e go ]; do sleep 0.1; done\necho "$FASTDEPLOY_SHA" >> ran\n'
BROKEN = "#!/bin/sh\n[ -e mended ] || exit 3\nuntil [ -e go ]; do sleep 0.1; done\n"


def ask(page: Page, question: str) -> None:
    """Open a question by its button."""
    page.locator(f"#{question} > summary").click()


def test_a_rollback_waits_is_called_off_asked_for_again_and_ended_by_a_push(bot: Bot, window: OpenPage) -> None:
    """Under a lock; at each step page and API say the same of what is live, waits and is held back."""
    folder = bot.service("back", QUICK, branches=["main"])
    first, second = (bot.wait_end(push(bot, "back", commit * 40))["id"] for commit in "ab")
    with window() as page:
        sign_in(page, bot, "/services/back")
        top = page.locator("#top")
        ask(page, "lock-ask")
        page.get_by_label("Why:").fill("the database <b>moves</b>")
        page.get_by_label("For how long:").select_option("1 hour")
        page.get_by_role("button", name="Yes, lock back").dblclick()
        expect(top).to_contain_text("Locked by admin")
        expect(top).to_contain_text("the database <b>moves</b>, until")

        ask(page, "rollback-ask")
        page.get_by_role("button", name="Yes, roll back to aaaaaaa").dblclick()
        called_off = second + 1
        page.wait_for_url(f"{bot.url}/deployments/{called_off}")
        expect(page.locator("h1")).to_contain_text("waiting aaaaaaa")
        assert {"sha": "b" * 40, "by": "admin"} == bot.get("/services/back")["held_back"]

        page.locator(f"#cancel-top-{called_off} > summary").click()
        page.get_by_role("button", name=f"Yes, cancel deployment {called_off}").dblclick()
        expect(page.locator("h1")).to_contain_text("cancelled")
        assert bot.get("/services/back")["held_back"] is None

        page.locator(f"#retry-top-{called_off} > summary").click()
        page.get_by_role("button", name="Yes, deploy aaaaaaa").dblclick()
        again = called_off + 1
        page.wait_for_url(f"{bot.url}/deployments/{again}")
        expect(top).to_contain_text(f"rollback to #{first}")
        page.goto(f"{bot.url}/services/back")
        expect(top).to_contain_text("bbbbbbb is held back by a rollback of admin; a newer push ends this")
        ask(page, "unlock-back")
        page.get_by_role("button", name="Yes, unlock back").dblclick()
        expect(top).to_contain_text("main is at bbbbbbb", timeout=WAIT)
        expect(top).to_contain_text("rolled back by admin, and held back since", timeout=WAIT)
        assert "success" == bot.wait_end(again)["state"]
        assert ("a" * 40, again) == (bot.get("/services/back")["live"]["sha"], bot.get("/services/back")["last"]["id"])

        bot.wait_end(push(bot, "back", "c" * 40))
        expect(top).to_contain_text("main = live", timeout=WAIT)
        expect(top).not_to_contain_text("held back", timeout=WAIT)
    assert [commit * 40 for commit in "abac"] == (folder / "ran").read_text().split()


def test_two_people_who_retry_and_roll_back_at_the_same_time_start_one_of_each(bot: Bot, window: OpenPage) -> None:
    """The second is led to what the first one began; both see how it ends."""
    bot.run("user", "add", "ben", "--role", "deployer", env={"FASTDEPLOY_PASSWORD": PASSWORD}, expect=0)
    folder = bot.service("two", BROKEN, branches=["main"])
    (folder / "mended").touch()
    (folder / "go").touch()
    good = bot.wait_end(push(bot, "two", "a" * 40))["id"]
    (folder / "mended").unlink()
    bad = bot.wait_end(push(bot, "two", "b" * 40))["id"]
    (folder / "mended").touch()
    (folder / "go").unlink()
    with window() as anna, window() as ben:

        def press(answer: str, number: int, told: str) -> None:
            """Both, whose question is open, are led to that deployment, and see it live once it may go on."""
            for page in (anna, ben):
                page.get_by_role("button", name=answer).click()
                page.wait_for_url(f"{bot.url}/deployments/{number}")
            expect(ben.locator("#top")).to_contain_text(f"by admin · {told}")
            (folder / "go").touch()
            for page in (anna, ben):
                expect(page.locator("h1")).to_contain_text(f"deployed {answer[-7:]}", timeout=WAIT)

        sign_in(anna, bot, f"/deployments/{bad}")
        sign_in(ben, bot, f"/deployments/{bad}", name="ben")
        for page in (anna, ben):
            ask(page, f"retry-note-{bad}")
        press("Yes, deploy bbbbbbb", bad + 1, f"retry of #{bad}")

        (folder / "go").unlink()
        for page in (anna, ben):
            page.goto(f"{bot.url}/services/two")
            ask(page, "rollback-ask")
        press("Yes, roll back to aaaaaaa", bad + 2, f"rollback to #{good}")
    assert ["success", "failure", "success", "success"] == [row["state"] for row in bot.deployments("two")]


def test_a_form_that_was_gone_back_to_says_how_things_stand_now(bot: Bot, window: OpenPage) -> None:
    """Back shows the page anew, with nothing of the form that was sent; another commit is another wish."""
    folder = bot.service("again", HELD, branches=["main"])
    (folder / "go").touch()
    number = bot.wait_end(push(bot, "again", "a" * 40))["id"]
    (folder / "go").unlink()
    with window() as page:
        sign_in(page, bot, "/services/again")
        ask(page, "deploy-ask")
        page.locator("#sha").fill("ddddddd")
        page.keyboard.press("Enter")
        expect(page.locator("#sha:invalid")).to_be_visible()
        page.locator("#sha").fill("")
        page.locator("#sha").press_sequentially("  " + "d" * 40)
        page.keyboard.press("Enter")
        page.wait_for_url(f"{bot.url}/deployments/{number + 1}")
        push(bot, "again", "b" * 40)

        page.go_back()
        expect(page.locator("#deploy-ask > summary")).to_have_text("Deploy bbbbbbb")
        ask(page, "deploy-ask")
        expect(page.locator("#deploy-ask")).to_contain_text("b" * 40)
        page.locator("#sha").fill("")
        page.get_by_role("button", name="Yes, deploy to again").dblclick()
        page.wait_for_url(f"{bot.url}/deployments/{number + 3}")
        (folder / "go").touch()
        expect(page.locator("h1")).to_contain_text("deployed bbbbbbb", timeout=WAIT)
    assert [commit * 40 for commit in "adbb"] == (folder / "ran").read_text().split()


def test_a_push_that_was_ignored_is_replayed_to_its_end(bot: Bot, window: OpenPage) -> None:
    """The list of deliveries says why it did not deploy; once the file wants it, one press, or two, deploy it once."""
    folder = bot.service("late", QUICK, branches=["release"])
    push(bot, "late", "a" * 40)
    bot.write_toml("late", repository="octo-org/late", command=["./deploy"], branches=["main"])
    with window() as page:
        sign_in(page, bot, "/deliveries?service=late")
        row = page.locator("#deliveries li").first
        expect(row).to_contain_text("late ignores it: branch main is not wanted: only release")
        row.get_by_text("Replay", exact=True).click()
        expect(row).to_contain_text("Decide this push of aaaaaaa once more?")
        row.get_by_role("button", name="Yes, replay it").dblclick()
        page.wait_for_url(f"{bot.url}/deliveries/*")
        expect(page.locator("#decided")).to_contain_text("branch main is now aaaaaaa")
        page.locator("#decided a[href^='/deployments/']").click()
        expect(page.locator("h1")).to_contain_text("deployed aaaaaaa", timeout=WAIT)
        expect(page.locator("#top")).to_contain_text("by admin · replay")
    assert ["a" * 40] == (folder / "ran").read_text().split()


def test_a_page_of_somebody_who_has_left_is_drawn_for_who_came_instead(bot: Bot, window: OpenPage) -> None:
    """Nobody presses as one what the page says another one would."""
    bot.run("user", "add", "eve", "--role", "deployer", env={"FASTDEPLOY_PASSWORD": PASSWORD}, expect=0)
    bot.service("whose", QUICK)
    number = bot.run_service("whose")["id"]
    with window(refused=True) as page:
        sign_in(page, bot, f"/deployments/{number}")
        expect(page.locator("#menu > summary")).to_have_text("admin")
        beside = page.context.new_page()
        beside.goto(bot.url)
        beside.locator("#menu > summary").click()
        beside.get_by_role("button", name="Sign out").click()
        expect(beside.get_by_label("User name")).to_be_visible()
        sign_in(beside, bot, f"/deployments/{number}", name="eve")
        beside.close()

        with suppress(Error):  # it may be drawn anew already
            page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")

        expect(page.locator("#menu > summary")).to_have_text("eve", timeout=WAIT)
        ask(page, f"retry-top-{number}")
        page.get_by_role("button", name="Yes, deploy 5555555").click()
        expect(page.locator("#top")).to_contain_text(f"by eve · retry of #{number}", timeout=WAIT)
