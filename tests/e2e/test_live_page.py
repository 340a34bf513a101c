"""An open page: kept fresh through whatever happens to its socket, its tab and its session; led by keys alone."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Final

import pytest
from playwright.sync_api import Page, Request, Route, WebSocket, WebSocketRoute, expect

from bots import ADMIN, PASSWORD, Bot, BotMaker, wait_for
from windows import WAIT, OpenPage, sign_in, stay

pytestmark = pytest.mark.timeout(300)

HELD = "#!/bin/sh\necho begun\nuntil [ -e go ]; do sleep 0.05; done\necho ended\n"
LONG = "#!/bin/sh\necho begun\nexec sleep 600\n"
BUSY = """#!/bin/sh
until [ -e go ]; do sleep 0.05; done
for n in $(seq 1 40); do fastdeploy step "Step $n" -- echo "line $n"; done
until [ -e end ]; do sleep 0.05; done
"""
HIDE: Final = "hidden => { Object.defineProperty(document, 'hidden', { value: hidden, configurable: true }); "
HIDE_OR_SHOW: Final = HIDE + "document.dispatchEvent(new Event('visibilitychange')); }"
CLOSED_AND_J: Final = """() => {
    document.getElementById("keys").close();
    const key = new KeyboardEvent("keydown", { key: "j", bubbles: true, cancelable: true });
    document.activeElement.dispatchEvent(key);
    return document.activeElement.textContent;
}"""
DAY: Final = 86_400_000


@contextmanager
def requests_of(page: Page) -> Iterator[list[str]]:
    """The path of each request that the page sends meanwhile."""
    seen: list[str] = []

    def note(request: Request) -> None:
        seen.append(request.url.partition("//")[2].partition("/")[2])

    page.on("request", note)
    yield seen
    page.remove_listener("request", note)


def is_live(page: Page) -> None:
    """Wait until the page says so."""
    expect(page.locator("#live")).to_have_text("live", timeout=WAIT)


def let_session(bot: Bot, *, last: float, age: int = 0) -> None:
    """Let the newest session end in so many seconds; it began so many milliseconds ago."""
    now = time.time_ns() // 10**6
    sql = "UPDATE session SET expires = ?, created = ? WHERE id = (SELECT max(id) FROM session)"
    with closing(sqlite3.connect(bot.home / "fastdeploy.db")) as database, database:
        database.execute(sql, (now + int(last * 1_000), now - age))


def session_left(bot: Bot) -> float:
    """How many seconds the newest session lasts."""
    with closing(sqlite3.connect(bot.home / "fastdeploy.db")) as database:
        [[expires]] = database.execute("SELECT expires FROM session ORDER BY id DESC LIMIT 1")
    return float(expires) / 1_000 - time.time()


def test_after_a_restart_nothing_is_lost_and_nothing_comes_twice(make_bot: BotMaker, window: OpenPage) -> None:
    """Forty steps and forty lines while the bot is away: each event once, each step once, each line once."""
    bot = make_bot().start()
    folder = bot.service("shop", BUSY)
    number = bot.deploy("shop")
    told: list[int] = []

    def listen(socket: WebSocket) -> None:
        socket.on("framereceived", lambda frame: note(json.loads(frame)))

    def note(message: dict[str, object]) -> None:
        if isinstance(message.get("id"), int) and message["type"] != "hello":
            told.append(int(str(message["id"])))
        assert "reset" != message["type"]

    with window(away=True) as page:
        page.on("websocket", listen)
        sign_in(page, bot, f"/deployments/{number}")
        is_live(page)
        same = stay(page)

        bot.stop()
        expect(page.locator("#live")).to_have_text("offline", timeout=WAIT)
        (folder / "go").touch()
        wait_for(lambda: (folder / "go").exists())
        bot.start()
        is_live(page)
        (folder / "end").touch()

        expect(page.locator("h1")).to_contain_text("deployed", timeout=WAIT)
        expect(page.locator("#log")).to_contain_text("line 40", timeout=WAIT)
        shown = page.locator("#steps li bdi").all_text_contents()
        log = page.locator("#log").text_content() or ""
        assert same()

    assert [f"Step {n}" for n in range(1, 41)] == shown
    assert [1] * 40 == [log.count(f"line {n}\n") for n in range(1, 41)]
    assert sorted(set(told)) == told
    newest = bot.get("/events", since=told[0] - 1, limit=200)["items"]
    wait_for(lambda: {each["id"] for each in newest} <= set(told))


def test_where_the_socket_is_cut_the_page_asks_by_itself_until_it_is_not(bot: Bot, window: OpenPage) -> None:
    """It says `polling`, shows what happens all the same, and is live once the socket holds."""
    bot.service("poll", "#!/bin/sh\n")
    cut = True

    def pass_on(socket: WebSocketRoute) -> None:
        if cut:
            socket.close(code=1013, reason="try again later")
        else:
            socket.connect_to_server()

    with window() as page:
        page.route_web_socket("**/feed*", pass_on)
        sign_in(page, bot, "/services/poll")
        expect(page.locator("#live")).to_have_text("polling", timeout=WAIT)
        same = stay(page)

        bot.run_service("poll", sha="7" * 40)
        expect(page.locator("#deployments")).to_contain_text("7777777", timeout=WAIT)

        cut = False
        is_live(page)
        bot.run_service("poll", sha="8" * 40)
        expect(page.locator("#deployments")).to_contain_text("8888888", timeout=WAIT)
        assert same()


def test_a_hidden_tab_is_quiet_but_for_its_title(bot: Bot, window: OpenPage) -> None:
    """Steps and output move nothing; another state is shown by title and icon; when it is seen again, it is fresh."""
    script = (
        "#!/bin/sh\nfor n in 1 2 3; do until [ -e go$n ]; do sleep 0.05; done; fastdeploy step S$n -- echo $n; done"
    )
    folder = bot.service("hide", f"{script}\nuntil [ -e end ]; do sleep 0.05; done\n")
    number = bot.deploy("hide")
    with window() as page:
        sign_in(page, bot, f"/deployments/{number}")
        is_live(page)
        page.evaluate(HIDE_OR_SHOW, True)
        page.wait_for_timeout(400)  # what was under way is through

        with requests_of(page) as quiet:
            for n in (1, 2, 3):
                (folder / f"go{n}").touch()
            wait_for(lambda: [step["state"] for step in bot.deployment(number)["steps"]] == ["success"] * 3)
            page.wait_for_timeout(1_500)
        (folder / "end").touch()
        expect(page).to_have_title(f"✓ success · hide #{number} · fastdeploy", timeout=WAIT)
        assert "3\n" not in (page.locator("#log").text_content() or "")
        page.evaluate(HIDE_OR_SHOW, False)
        expect(page.locator("#log")).to_contain_text("3", timeout=WAIT)

    assert [] == quiet


def test_before_a_session_ends_the_page_says_so_and_offers_to_stay(bot: Bot, window: OpenPage) -> None:
    """A calm line with the time; one press, and the session lasts again."""
    with window() as page:
        sign_in(page, bot)
        let_session(bot, last=240)
        page.reload()

        notice = page.locator("#ending")
        expect(notice).to_contain_text("You will be signed out at ", timeout=WAIT)
        assert 240 >= session_left(bot)
        page.get_by_role("button", name="Stay signed in").click()

        expect(notice).to_be_hidden()
        assert session_left(bot) > 11 * 3_600


def test_a_bot_that_cannot_prolong_a_session_is_not_asked_without_a_pause(bot: Bot, window: OpenPage) -> None:
    """Nothing can be written at that moment: the page tries again, in seconds."""
    with window(refused=True) as page:
        sign_in(page, bot)
        let_session(bot, last=240)
        page.route("**/session/renew", lambda route: route.fulfill(status=503, json={}))
        page.reload()
        begun = time.monotonic()
        with page.expect_request("**/session", timeout=WAIT):
            page.get_by_role("button", name="Stay signed in").click()

        assert time.monotonic() - begun > 3
        page.unroute("**/session/renew")
        expect(page.locator("#ending")).to_be_hidden(timeout=WAIT)
        assert session_left(bot) > 11 * 3_600


def test_a_session_that_cannot_be_prolonged_says_when_it_ends(bot: Bot, window: OpenPage) -> None:
    """It is as old as one may be."""
    with window() as page:
        sign_in(page, bot)
        let_session(bot, last=200, age=30 * DAY - 200_000)
        page.reload()
        page.get_by_role("button", name="Stay signed in").click()

        expect(page.locator("#last")).to_contain_text("this session has lasted as long as one may")
        expect(page.locator("#ending")).to_be_hidden()


@pytest.mark.parametrize("beside", [False, True])
def test_when_a_session_has_ended_what_was_typed_stays_and_can_be_sent(
    bot: Bot, window: OpenPage, beside: bool
) -> None:
    """The page says so and leads to the sign-in; whoever comes back, also from a window beside it, goes on there."""
    name = "beside" if beside else "typed"
    bot.service(name, "#!/bin/sh\nexit 0\n")
    with window(refused=True) as page:
        sign_in(page, bot, f"/services/{name}")
        same = stay(page)
        page.locator("#lock-ask > summary").focus()
        page.locator("#lock-ask > summary").press("Enter")
        page.get_by_label("Why:").fill("the database moves")
        let_session(bot, last=-1)
        bot.run_service(name, sha="a" * 40)  # the page hears of that, and looks

        expect(page.locator("#ended")).to_be_visible(timeout=WAIT)
        expect(page.locator("#live")).to_have_text("signed out")
        with page.expect_popup() as opened:
            page.locator("#ended").get_by_role("link", name="Sign in").click()
        opened.value.get_by_label("User name").fill(ADMIN)
        opened.value.get_by_label("Password").fill(PASSWORD)
        opened.value.get_by_role("main").get_by_role("button", name="Sign in").click()
        opened.value.wait_for_url(f"{bot.url}/services/{name}")
        opened.value.close()
        page.evaluate("dispatchEvent(new Event('focus'))") if beside else page.evaluate(HIDE_OR_SHOW, False)

        expect(page.locator("#ended")).to_be_hidden()
        is_live(page)
        assert same()
        expect(page.get_by_label("Why:")).to_have_value("the database moves")
        page.get_by_role("button", name=f"Yes, lock {name}").click()
        expect(page.locator("#top")).to_contain_text("the database moves")


def test_a_question_stays_the_one_that_was_asked(bot: Bot, window: OpenPage) -> None:
    """Opened for one commit, it deploys that commit, though another was pushed; it says that something changed."""
    bot.service("asked", "#!/bin/sh\n", branches=["main"], auto=False)
    bot.run_service("asked", sha="a" * 40, ref="main")
    with window() as page:
        sign_in(page, bot, "/services/asked")
        is_live(page)
        page.locator("#deployments .ask > summary").first.click()
        question = page.locator("#deployments .ask[open]")
        before = question.locator("button").bounding_box()

        bot.run_service("asked", sha="b" * 40, ref="main")

        expect(page.locator("#deployments tbody tr").first).to_contain_text("bbbbbbb", timeout=WAIT)
        after = question.locator("button").bounding_box()
        assert before is not None
        assert after is not None
        assert abs(before["y"] - after["y"]) < 2
        expect(question).to_contain_text("aaaaaaa")
        question.get_by_role("button", name="Yes, deploy aaaaaaa").click()
        page.wait_for_url(f"{bot.url}/deployments/*")
        expect(page.locator("h1")).to_contain_text("aaaaaaa")


def test_a_question_that_is_out_of_date_is_not_taken_away(bot: Bot, window: OpenPage) -> None:
    """A deployment ended while somebody was asked whether to cancel it: the question says so, and goes when closed."""
    folder = bot.service("stale", HELD)
    number = bot.deploy("stale")
    bot.wait_state(number, "running")
    with window() as page:
        sign_in(page, bot, f"/deployments/{number}")
        is_live(page)
        question = page.locator(f"#cancel-top-{number}")
        question.locator("summary").click()

        (folder / "go").touch()

        expect(page.locator("h1")).to_contain_text("deployed", timeout=WAIT)
        expect(question).to_contain_text("Something has changed meanwhile")
        expect(question.get_by_role("button")).to_be_visible()
        question.locator("summary").click()
        expect(question).to_have_count(0, timeout=WAIT)


def test_the_focus_stays_where_it_was(bot: Bot, window: OpenPage) -> None:
    """On the very same link, though its row goes elsewhere."""
    for name in ("apple", "berry"):
        bot.service(name, "#!/bin/sh\n")
        bot.run_service(name)
    folder = bot.service("cherry", HELD)
    with window() as page:
        sign_in(page, bot)
        is_live(page)
        link = page.get_by_role("link", name="cherry", exact=True).first
        link.focus()
        page.evaluate("window.focused = document.activeElement")

        number = bot.deploy("cherry")

        expect(page.locator("#service-cherry")).to_contain_text("deploying", timeout=WAIT)
        assert page.evaluate("document.activeElement === window.focused && focused.isConnected")
        (folder / "go").touch()
        bot.wait_end(number)
        expect(page.locator("#service-cherry")).not_to_contain_text("deploying", timeout=WAIT)
        assert page.evaluate("document.activeElement === window.focused")


def test_a_whole_deployment_by_keys_alone(bot: Bot, window: OpenPage) -> None:
    """Sign in, find the service, deploy, watch, cancel: not one press of the mouse."""
    bot.service("keys", LONG)
    with window() as page:
        page.goto(f"{bot.url}/")
        page.keyboard.type(ADMIN)
        page.keyboard.press("Tab")
        page.keyboard.type(PASSWORD)
        page.keyboard.press("Enter")
        page.wait_for_url(f"{bot.url}/")
        is_live(page)

        page.keyboard.press("/")
        page.keyboard.type("keys")
        page.keyboard.press("Enter")
        page.wait_for_url("**/?q=keys")
        is_live(page)
        page.keyboard.press("j")
        expect(page.get_by_role("link", name="keys", exact=True)).to_be_focused()
        page.keyboard.press("Enter")
        page.wait_for_url(f"{bot.url}/services/keys")

        tab_to(page, "sha")
        page.keyboard.type("c" * 40)
        page.keyboard.press("Enter")
        page.wait_for_url(f"{bot.url}/deployments/*")
        number = int(page.url.rpartition("/")[2])
        is_live(page)
        expect(page.locator("#log")).to_contain_text("begun", timeout=WAIT)
        page.keyboard.press("f")
        expect(page.get_by_label("follow")).not_to_be_checked()

        while (
            page.evaluate("document.activeElement.getAttribute('aria-label')") != f"Cancel deployment {number} of keys"
        ):
            page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        expect(page.locator("h1")).to_contain_text("cancelled", timeout=WAIT)


def tab_to(page: Page, id: str) -> None:
    """Press Tab until that element has the focus."""
    for _ in range(60):
        if page.evaluate("document.activeElement.id") == id:
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"the focus never came to #{id}")


def test_keys_lead_to_rows_and_failures_and_can_be_switched_off(bot: Bot, window: OpenPage) -> None:
    """Never while somebody types or with a modifier; the choice is remembered."""
    bot.service("zebra", "#!/bin/sh\nexit 1\n")
    bot.run_service("zebra")
    with window() as page:
        sign_in(page, bot)
        focused = page.locator(":focus")
        page.keyboard.press("n")
        expect(focused).to_have_text("zebra")
        page.keyboard.press("Control+j")
        expect(focused).to_have_text("zebra")
        page.keyboard.press("j")
        page.keyboard.press("k")
        expect(focused).to_have_text("zebra")
        page.keyboard.press("/")
        page.keyboard.type("j?n")
        expect(page.get_by_label("Search services and deployments")).to_have_value("j?n")
        expect(page.locator("#keys")).to_be_hidden()
        page.keyboard.press("Escape")
        page.keyboard.press("n")
        expect(focused).to_have_text("zebra")

        page.evaluate("document.activeElement.blur()")
        page.keyboard.press("?")
        assert "zebra" == page.evaluate(CLOSED_AND_J), "no key is lost that comes before the page is drawn again"
        page.keyboard.press("?")
        expect(page.locator("#keys")).to_be_visible()
        page.get_by_label("Use these keys").uncheck()
        page.keyboard.press("Escape")
        page.reload()
        page.keyboard.press("?")
        page.keyboard.press("/")
        expect(page.locator("#keys")).to_be_hidden()
        expect(page.get_by_label("Search services and deployments")).not_to_be_focused()
        page.get_by_role("button", name="Keyboard").click()
        page.get_by_label("Use these keys").check()
        page.get_by_role("button", name="Close").click()
        page.keyboard.press("?")
        expect(page.locator("#keys")).to_be_visible()


@pytest.mark.parametrize("scripts", [True, False])
def test_the_theme_is_chosen_with_and_without_a_script(bot: Bot, window: OpenPage, scripts: bool) -> None:
    """By a visitor; with the script nothing is loaded anew; the next page has it, too."""
    with window(scripts=scripts) as page:
        page.goto(f"{bot.url}/login?next=/deliveries")
        look = "getComputedStyle(document.documentElement)"
        light = page.evaluate(f"{look}.backgroundColor") if scripts else ""
        page.get_by_label("Theme").click()
        if scripts:
            same = stay(page)
            with page.expect_response("**/theme"):
                page.get_by_role("button", name="dark").click()
            assert same()
            assert light != page.evaluate(f"{look}.backgroundColor")
            expect(page.locator("button[value=dark]")).to_have_attribute("aria-pressed", "true")
            expect(page.get_by_label("Theme")).to_be_focused()
        else:
            page.get_by_role("button", name="dark").click()
        page.goto(f"{bot.url}/login?next=/deliveries")

        expect(page.locator("html")).to_have_attribute("data-theme", "dark")
        expect(page.locator("meta[name=color-scheme]")).to_have_attribute("content", "dark")


def test_who_wants_less_motion_sees_none(bot: Bot, window: OpenPage) -> None:
    """The glyph of what runs stands still."""
    bot.service("calm", LONG)
    number = bot.deploy("calm")
    bot.wait_state(number, "running")
    with window() as page:
        sign_in(page, bot, f"/deployments/{number}")
        running = page.locator("h1 .glyph.running")
        moves = "one => getComputedStyle(one).animationName"
        assert "turn" == running.evaluate(moves)
        page.emulate_media(reduced_motion="reduce")
        assert "none" == running.evaluate(moves)


def test_a_newer_version_of_the_page_is_told(bot: Bot, window: OpenPage) -> None:
    """The bot was upgraded meanwhile: soon after it was opened a page offers to be loaded again, and does not do it."""
    bot.service("fresh", "#!/bin/sh\n")

    def upgrade(route: Route) -> None:
        if "live-regions" not in route.request.headers:
            return route.continue_()
        answer = route.fetch()
        return route.fulfill(response=answer, headers={**answer.headers, "live-version": "another"})

    with window() as page:
        sign_in(page, bot, "/services/fresh")
        is_live(page)
        page.route("**/services/fresh", upgrade)
        bot.run_service("fresh")

        expect(page.locator("#newer")).to_be_visible(timeout=WAIT)
        page.unroute("**/services/fresh")
        page.get_by_role("button", name="Reload").click()
        expect(page.locator("#newer")).to_be_hidden()
