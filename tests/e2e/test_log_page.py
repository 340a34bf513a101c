"""The log of a deployment in a real browser: folded, linked to, searched, followed; much of it without a script."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime
from typing import Final

import pytest
from playwright.sync_api import Page, expect

from bots import Bot, wait_for
from databases import SQLITE, Raw
from windows import WAIT, OpenPage, overflow, sign_in, stay

pytestmark = pytest.mark.timeout(300)

LONG: Final = r"""#!/bin/sh
echo begun
fastdeploy step Build -- sh -c 'for n in $(seq 2 300); do echo "building $n"; done; printf "needle \033[1min the hay\n"'
echo between
fastdeploy step Migrate -- sh -c 'echo migrating; exit 3' && exit
for n in $(seq 1 100); do echo "tidying $n"; done
exit 3
"""
LIVE: Final = r"""#!/bin/sh
fastdeploy step Build -- sh -c 'seq 1 300; printf "\033[1;31mhalf a "; until [ -e go ]; do sleep 0.1; done; echo line'
fastdeploy step Migrate -- sh -c 'echo migrating; until [ -e on ]; do sleep 0.1; done; echo migrated'
"""
LATE: Final = r"""#!/bin/sh
fastdeploy step First -- echo first
until [ -e begin ]; do sleep 0.1; done; echo loose; until [ -e go ]; do sleep 0.1; done
fastdeploy step Build -- sh -c 'echo built; until [ -e on ]; do sleep 0.1; done'
"""


@pytest.fixture(scope="module")
def long(bot: Bot) -> int:
    """A deployment that failed, with a long log."""
    bot.service("long", LONG)
    number: int = bot.run_service("long")["id"]
    return number


def is_in_sight(page: Page, selector: str) -> bool:
    """Whether an element can be seen in the window, and in the log's own."""
    seen: bool = page.locator(selector).evaluate(
        """one => {
            const log = document.getElementById("log").getBoundingClientRect();
            const box = one.getBoundingClientRect();
            return box.height > 0 && box.top >= log.top && box.bottom <= log.bottom && box.bottom <= innerHeight;
        }"""
    )
    return seen


def fold(step: str) -> str:
    """How to find a step's lines."""
    return f"#log details:has(summary bdi:text-is('{step}'))"


def is_open(page: Page, step: str) -> bool:
    """Whether a step's lines are unfolded."""
    found: bool = page.locator(fold(step)).evaluate("one => one.open")
    return found


@pytest.mark.parametrize("scripts", [True, False])
def test_a_long_log_opens_at_what_failed(bot: Bot, long: int, window: OpenPage, scripts: bool) -> None:
    """What went well is folded and can be opened; what was written in no step stands between and behind."""
    with window(scripts=scripts) as page:
        sign_in(page, bot, f"/deployments/{long}")

        assert (False, True) == (is_open(page, "Build"), is_open(page, "Migrate"))
        expect(page.locator(fold("Build")).locator("summary")).to_contain_text("✓ Build 300 lines")
        expect(page.locator(fold("Migrate")).locator("summary")).to_contain_text("✗ Migrate 1 line")
        expect(page.get_by_text("between")).to_be_visible()
        expect(page.locator(".tail")).to_have_text("migrating\n")
        assert is_in_sight(page, f"{fold('Migrate')} summary") or not scripts
        expect(page.get_by_text("building 17", exact=False).first).not_to_be_visible()
        if scripts:
            page.keyboard.press("n")
            expect(page.locator(".note.bad :focus")).to_have_text("Retry")
            page.keyboard.press("n")
            expect(page.locator(f"{fold('Migrate')} summary")).to_be_focused()

        page.locator(fold("Build")).locator("summary").click()
        expect(page.get_by_text("building 17", exact=False).first).to_be_visible()


def test_on_paper_no_line_is_cut(bot: Bot, window: OpenPage) -> None:
    """Of what cannot be scrolled there every long line is broken; what is folded under Details stands there, too."""
    bot.service("wide", f"#!/bin/sh\necho {'x' * 500}\nexit 1\n")
    number = bot.run_service("wide")["id"]
    with window() as page:
        sign_in(page, bot, f"/deployments/{number}")
        page.emulate_media(media="print")

        for place in (".tail", "#log"):
            assert page.locator(place).evaluate("one => one.scrollWidth <= one.clientWidth"), place
        expect(page.locator("#facts")).to_contain_text("exit status 1")
        assert page.locator("#facts").evaluate("one => one.checkVisibility({ contentVisibilityAuto: true })")


@pytest.mark.parametrize("scripts", [True, False])
def test_an_address_with_a_line_opens_its_fold(bot: Bot, long: int, window: OpenPage, scripts: bool) -> None:
    """And brings the line in sight, marked."""
    with window(scripts=scripts) as page:
        sign_in(page, bot)
        page.goto(f"{bot.url}/deployments/{long}#L250")

        expect(page.locator("#L250")).to_be_visible()
        page.wait_for_function("document.getElementById('L250').getBoundingClientRect().bottom < innerHeight")
        assert is_in_sight(page, "#L250")
        assert is_open(page, "Build")
        assert "250" == (page.locator("a:target").text_content() or "").strip()

        page.locator("#L251").click()
        assert page.url.endswith("#L251")


def test_the_browsers_search_finds_what_is_folded(bot: Bot, long: int, window: OpenPage) -> None:
    """Words in a step that is closed, over a change of colour."""
    with window() as page:
        sign_in(page, bot)
        page.goto(f"{bot.url}/deployments/{long}#:~:text=needle%20in%20the%20hay")

        expect(page.get_by_text("needle")).to_be_visible()
        assert is_open(page, "Build")


def test_a_log_that_grows_goes_on_in_the_right_fold(bot: Bot, window: OpenPage) -> None:
    """A line that had not ended, its colour, its step's state; then a new step. What was read is closed behind."""
    folder = bot.service("grows", LIVE)
    number = bot.deploy("grows")
    with window() as page:
        sign_in(page, bot, f"/deployments/{number}")
        build = page.locator(fold("Build"))
        expect(build).to_contain_text("half a", timeout=WAIT)
        expect(build.locator("summary")).to_contain_text("◐ Build 301 lines")
        same = stay(page)

        (folder / "go").touch()

        migrate = page.locator(fold("Migrate"))
        expect(migrate).to_contain_text("migrating", timeout=WAIT)
        expect(build.locator("summary")).to_contain_text("✓ Build 301 lines")
        assert 1 == page.locator("#L301").count()
        expect(build.locator(".f1.bold")).to_have_text("half a line")
        assert (False, True) == (is_open(page, "Build"), is_open(page, "Migrate"))

        (folder / "on").touch()
        expect(migrate).to_contain_text("migrated", timeout=WAIT)
        expect(migrate.locator("summary")).to_contain_text("✓ Migrate 2 lines", timeout=WAIT)
        assert same()
        shown = page.locator("#log").inner_html()
        page.reload()
        assert shown.replace(' open=""', "") == page.locator("#log").inner_html().replace(' open=""', "")


def test_nobody_who_reads_is_disturbed_by_what_comes(bot: Bot, window: OpenPage) -> None:
    """Nothing is closed or moved; the new lines are counted."""
    folder = bot.service("calm", LIVE)
    number = bot.deploy("calm")
    with window() as page:
        sign_in(page, bot, f"/deployments/{number}")
        expect(page.locator("#log")).to_contain_text("half a", timeout=WAIT)

        def scrolls() -> bool:
            page.locator("#log").evaluate("one => one.scrollTop = 50")
            return not page.get_by_label("follow").is_checked()

        wait_for(scrolls)  # more than once, where lines that came right then have been followed
        (folder / "go").touch()

        expect(page.get_by_role("button", name="1 new line ↓")).to_be_visible(timeout=WAIT)
        assert is_open(page, "Build")
        assert 50 == page.locator("#log").evaluate("one => one.scrollTop")


def test_lines_go_to_their_step_when_it_is_told_of_late(bot: Bot, window: OpenPage) -> None:
    """On the open page, as when it is loaded anew; what else is folded stays as it was."""
    folder = bot.service("late", LATE)
    number = bot.deploy("late")
    with window() as page:
        page.clock.set_fixed_time(datetime.now(UTC))  # lines that came a while ago stay where they are
        sign_in(page, bot, f"/deployments/{number}")
        expect(page.locator(fold("First"))).to_contain_text("first", timeout=WAIT)
        (folder / "begin").touch()
        expect(page.locator("div.part #L2")).to_be_visible(timeout=WAIT)
        (folder / "go").touch()
        expect(page.locator(fold("Build"))).to_contain_text("built", timeout=WAIT)
        page.get_by_label("follow").uncheck()
        page.locator(fold("First")).locator("summary").click()
        same = stay(page)

        with closing(Raw(f"{SQLITE}{bot.home}/fastdeploy.db")) as raw:
            raw.execute("UPDATE step SET log_from = 6 WHERE name = 'Build' AND deployment_id = ?", number)
        (folder / "on").touch()

        expect(page.locator(fold("Build")).locator("#L2, #L3")).to_have_count(2, timeout=WAIT)
        expect(page.locator(fold("Build")).locator("summary")).to_contain_text("✓ Build 2 lines")
        assert (2, 3, False) == (
            page.locator(".part").count(),
            page.locator(".lines > a").count(),
            is_open(page, "First"),
        )
        assert same()


@pytest.mark.parametrize("scripts", [True, False])
def test_lines_wrap_and_tell_their_times_where_that_is_wished(bot: Bot, window: OpenPage, scripts: bool) -> None:
    """Both are off at first, and work without a script."""
    name = f"wide-{scripts}".lower()
    bot.service(name, "#!/bin/sh\nseq -s ' ' 1 400\n")
    number = bot.run_service(name)["id"]
    with window(scripts=scripts, width=600) as page:
        sign_in(page, bot, f"/deployments/{number}")
        time = "getComputedStyle(document.getElementById('L1'), '::before').content"
        wide = "(one => one.scrollWidth > one.clientWidth)(document.getElementById('log'))"
        assert ("none", True) == (page.evaluate(time), page.evaluate(wide))

        page.get_by_label("wrap").check()
        page.get_by_label("times").check()

        assert not page.evaluate(wide)
        assert page.locator("#L1").get_attribute("data-at") == page.evaluate(time).strip('"')
        assert 0 == overflow(page)
