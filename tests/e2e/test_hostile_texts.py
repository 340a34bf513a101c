"""Hostile texts in a real browser: through every field of outsiders, nothing runs, and the true text is shown."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final
from urllib.parse import quote

import playwright.sync_api
import pytest
from playwright.sync_api import Dialog, Page, expect

import hostile
import windows
from bots import Bot, wait_for
from fastdeploy_bot.forge.github import payloads
from windows import WAIT, push, sign_in, stay

pytestmark = pytest.mark.timeout(300)

SCRIPT: Final = """#!/usr/bin/env python3
import json, os, pathlib, sys, time
texts = json.loads(pathlib.Path("texts.json").read_text())
while not pathlib.Path("go").exists():
    time.sleep(0.05)
with open(os.environ["FASTDEPLOY_STEPS_FILE"], "a") as steps:
    for text in texts:
        told = {"name": text[:200], "state": "success", "message": text[:4096]}
        steps.write(json.dumps(told) + "\\n")
    steps.write(json.dumps({"name": texts[0], "state": "failure", "message": texts[0]}) + "\\n")
for text in texts:
    sys.stdout.buffer.write(text.encode() + b"\\n")
sys.exit(1)
"""

NOTE_VIOLATIONS: Final = """
window.violations = [];
document.addEventListener("securitypolicyviolation", (event) => {
  violations.push(`${event.violatedDirective} ${event.blockedURI} ${event.sample}`);
});
"""

DANGERS: Final = """() => {
  const found = [];
  const links = ["href", "src", "action", "formaction", "data", "xlink:href", "poster", "background"];
  const ours = /^(https?:|[/](?![/])|#|[?]|data:image[/]svg[+]xml,)/;
  const never = new RegExp(
    "^(iframe|object|embed|base|style|math|template|video|audio|source|xss|marquee|plaintext|xmp|noscript|b|use" +
      "|animate|foreignobject|isindex)$",
    "i",
  );
  for (const one of document.querySelectorAll("*")) {
    if (never.test(one.localName)) found.push(one.outerHTML.slice(0, 100));
    if (one.localName === "script" && !one.getAttribute("src")?.startsWith("/static/")) found.push(one.outerHTML);
    if (one.localName === "meta" && one.httpEquiv) found.push(one.outerHTML);
    for (const { name, value } of one.attributes) {
      if (/^(on|style$|srcdoc$|popover|contenteditable$)/.test(name)) found.push(`${one.localName} ${name}`);
      if (links.includes(name) && !ours.test(value)) found.push(`${one.localName} ${name}=${value}`);
    }
  }
  const texts = document.createTreeWalker(document.querySelector("main"), NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const text = texts.currentNode;
    const bound = text.parentElement.closest("bdi, code, pre, select");
    if (/[\u202a-\u202e\u2066-\u2069]/.test(text.data) && !bound) found.push(`unbound: ${text.data.slice(0, 100)}`);
  }
  return found;
}"""
"""What only a text that became markup could have put into a page, and texts that could turn what stands beside them."""


class Watch:
    """Sees whether anything of a text runs."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.dialogs: list[str] = []
        page.add_init_script(NOTE_VIOLATIONS)
        page.on("dialog", self._note)

    def _note(self, dialog: Dialog) -> None:
        self.dialogs.append(dialog.message)
        dialog.dismiss()

    def shows(self, texts: Iterable[str], within: str = "main") -> None:
        """The page has each of these texts, letter by letter, as the whole text of some element."""
        there = set(self.page.eval_on_selector_all(f"{within} *", "all => all.map(one => one.textContent.trim())"))
        missing = [text for text in texts if hostile.parsed(text).strip() not in there]
        assert [] == missing
        self.is_calm()

    def is_calm(self) -> None:
        """Nothing ran, nothing was kept from running, and nothing on the page could run."""
        assert ([], []) == (self.page.evaluate(DANGERS), self.page.evaluate("violations"))
        assert [] == self.dialogs


@pytest.fixture(scope="module")
def watch(browser: playwright.sync_api.Browser, bot: Bot) -> Iterator[Watch]:
    """The window of an admin, for all tests; what its console complains of is a fault."""
    with windows.opener(browser)() as page:
        watch = Watch(page)
        sign_in(page, bot, "/settings/account")
        yield watch


@pytest.fixture(scope="module")
def pushed(bot: Bot) -> list[int]:
    """A locked service, for which every text came as commit, person, branch, reason and token; its deployments."""
    folder = bot.service("shop", "#!/bin/sh\n", branches=["**"], supersede=False, description=described())
    assert folder.exists()
    for text in hostile.TEXTS:
        if reason := hostile.reason(text):
            bot.post("/services/shop/lock", {"reason": reason}, expect=200)
    for text in named():
        bot.post("/services/shop/tokens", {"name": text}, expect=201)
    return [arrive(bot, number, text) for number, text in enumerate(hostile.TEXTS, 1)]


def described() -> str:
    """All that fits into a service's description, as TOML can hold it in the way that the tests write it."""
    return " ".join(re.sub(r"[\x00\x7f\U00010000-\U0010ffff]", "", text) for text in hostile.TEXTS if len(text) < 300)


def named() -> list[str]:
    """The texts that a token may be called by."""
    return [text.strip() for text in hostile.TEXTS if text.isprintable() and len(text.strip()) <= 60]


def arrive(bot: Bot, number: int, text: str) -> int:
    """A push that says a text wherever it can; answers the deployment."""
    body = payloads.push_document(
        repository="octo-org/shop",
        repository_id=1,
        before="0" * 40,
        after=f"{number:040x}",
        pushed_at=1_700_000_000 + number,
        ref=f"refs/heads/{hostile.branch(text)}",
        title=text,
        actor=text,
    )
    answer = bot.deliver(body)
    assert 202 == answer.status_code, answer.text
    deployment: int = answer.json()["verdicts"][0]["deployment"]
    return deployment


def quoted(text: str) -> str:
    """A commit's title as pages write it."""
    return f"“{hostile.title(text)}”"


def test_what_commits_say_is_text(bot: Bot, pushed: list[int], watch: Watch) -> None:
    """Titles, people and the description on the service's page; all of them at once."""
    watch.page.goto(f"{bot.url}/services/shop")

    watch.shows(quoted(text) for text in hostile.TEXTS if hostile.title(text))
    watch.shows(hostile.name(text) for text in hostile.TEXTS)
    assert re.sub(r"\s+", " ", hostile.parsed(described())) in re.sub(r"\s+", " ", watch.page.inner_text("#top"))

    watch.page.goto(bot.url)
    watch.shows(quoted(text) for text in hostile.TEXTS[-15:])
    watch.page.goto(f"{bot.url}/deployments/{pushed[11]}")
    watch.shows([quoted(hostile.TEXTS[11])])


def test_what_branches_are_called_is_text(bot: Bot, pushed: list[int], watch: Watch) -> None:
    """On the page of deliveries, and on that of a deployment."""
    watch.page.goto(f"{bot.url}/deliveries")
    watch.shows(hostile.branch(text) for text in hostile.TEXTS)

    for at in (35, 48, 118):
        watch.page.goto(f"{bot.url}/deployments/{pushed[at]}")
        watch.page.locator("#details").evaluate("one => one.open = true")
        watch.shows([f"refs/heads/{hostile.branch(hostile.TEXTS[at])}"])


def test_why_somebody_locked_is_text(bot: Bot, pushed: list[int], watch: Watch) -> None:
    """Where it stands now, and in the audit for all times."""
    assert pushed
    reasons = [reason for text in hostile.TEXTS if (reason := hostile.reason(text))]
    watch.page.goto(f"{bot.url}/settings/audit?action=lock")
    told = watch.page.inner_text("main")
    watch.page.get_by_role("link", name="older").click()
    told += watch.page.inner_text("main")

    assert [] == [reason for reason in reasons if squeezed(reason) not in squeezed(told)]
    watch.is_calm()
    watch.page.goto(f"{bot.url}/services/shop")
    watch.shows([reasons[-1]])


def test_what_tokens_are_called_is_text(bot: Bot, pushed: list[int], watch: Watch) -> None:
    """In the list of them, and in the audit."""
    assert pushed
    watch.page.goto(f"{bot.url}/settings/tokens")
    watch.shows(named())
    watch.page.goto(f"{bot.url}/settings/audit?action=create")
    watch.is_calm()


def squeezed(text: str) -> str:
    """Without what a browser may fold: spaces, and what takes no room."""
    return re.sub(r"[\s\u200b\ufeff\xad]+", "", hostile.parsed(text))


def test_what_scripts_say_is_text_while_they_say_it(bot: Bot, watch: Watch) -> None:
    """Steps, their messages and the log, put into an open page by its script; and drawn anew by the server."""
    texts = [text for text in hostile.TEXTS if "\0" not in text]
    folder = bot.service("steps", SCRIPT, timeout="5m")
    (folder / "texts.json").write_text(json.dumps(texts))
    number = bot.deploy("steps")
    watch.page.goto(f"{bot.url}/deployments/{number}")
    expect(watch.page.locator("#live")).to_have_text("live", timeout=WAIT)
    same = stay(watch.page)

    (folder / "go").touch()
    expect(watch.page.locator("h1")).to_contain_text("failed", timeout=WAIT)
    expect(watch.page.locator("#log")).to_contain_text("alert(136)", timeout=WAIT)
    wait_for(lambda: watch.page.locator("#steps li").count() == len({text[:200] for text in texts}))

    assert same()
    judge(watch, texts)
    watch.page.reload()
    judge(watch, texts)


def judge(watch: Watch, texts: list[str]) -> None:
    """The page of a deployment whose script said all of these."""
    watch.shows((text[:200] for text in texts), within="#steps")
    watch.shows((text[:4_096] for text in texts), within="#steps")
    log = squeezed(watch.page.locator("#log").text_content() or "")
    lines = [hostile.logged(line) for text in texts for line in text.split("\n")]
    assert [] == [line for line in lines if squeezed(line[:4_000]) not in log]
    assert squeezed(hostile.logged(texts[-4])) in squeezed(watch.page.locator(".tail").text_content() or "")


def test_what_senders_say_of_themselves_is_text(bot: Bot, watch: Watch) -> None:
    """The headers of a delivery, and the events of those that were refused."""
    texts = [text.strip() for text in hostile.TEXTS if text.isascii() and text.isprintable() and len(text) < 300]
    body = b"{}"
    headers = bot.signed(body, event="ping", guid="hostile")
    headers |= {f"X-GitHub-Test-{number}": text for number, text in enumerate(texts[:80])}
    assert 200 == bot.http("POST", "/webhooks/github", token="", headers=headers, data=body).status_code
    chunks = ["".join(texts[at : at + 7])[:300] for at in range(0, len(texts), 7)][:15]
    for chunk in chunks:
        refused = bot.signed(body, event=chunk, secret="guessed")
        assert 401 == bot.http("POST", "/webhooks/github", token="", headers=refused, data=body).status_code

    watch.page.goto(f"{bot.url}/deliveries/hostile")
    watch.shows(texts[:80])
    watch.page.goto(f"{bot.url}/deliveries")
    watch.shows(chunks, within="#refused")


def test_what_somebody_asks_for_is_text(bot: Bot, pushed: list[int], watch: Watch) -> None:
    """A search, a filter of the audit, and where to go after the sign-in."""
    assert pushed
    for query in asked(200):
        watch.page.goto(f"{bot.url}/?q={quote(query)}")
        expect(watch.page.locator("input[name=q]")).to_have_value(re.sub(r"[\r\n]", "", query).strip())
        watch.is_calm()
        watch.page.goto(f"{bot.url}/settings/audit?who={quote(query)}&about={quote(query)}")
        watch.is_calm()


def asked(length: int) -> list[str]:
    """All texts in a few that are as long as this."""
    whole = "".join(re.sub(r"[\x00\r\n]", "", text) for text in hostile.TEXTS if len(text) < 300)
    return [whole[at : at + length] for at in range(0, len(whole), length)][::3]


def test_addresses_that_lead_nowhere_are_text(bot: Bot, browser: playwright.sync_api.Browser) -> None:
    """On the pages of errors, and beside the API; seen by somebody who has not signed in."""
    with visiting(browser) as watch:
        for path in asked(400):
            watch.page.goto(f"{bot.url}/none/{quote(path, safe='')}")
            expect(watch.page.locator("h1")).to_have_text("There is nothing here")
            watch.is_calm()
            watch.page.goto(f"{bot.url}/login?next={quote(path)}")
            watch.is_calm()
        watch.page.goto(f"{bot.url}/api/docs")
        assert [] == watch.page.evaluate("violations")


@contextmanager
def visiting(browser: playwright.sync_api.Browser) -> Iterator[Watch]:
    """A window whose console may tell of pages that are not there, as they are asked for."""
    context = browser.new_context()
    yield Watch(context.new_page())
    context.close()


def test_what_everybody_may_see_is_text(bot: Bot, browser: playwright.sync_api.Browser) -> None:
    """A public service's page to a visitor; its badge runs nothing as a page of its own."""
    bot.service("open", "#!/bin/sh\nexit 0\n", branches=["main"], visibility="public")
    title = "<svg onload=alert(1)>\u202e{{7*7}}</bdi><script>alert(2)</script>"
    bot.wait_end(push(bot, "open", "a" * 40, title=title))
    with visiting(browser) as watch:
        watch.page.goto(f"{bot.url}/services/open")
        watch.shows([f"“{title}”"])
        watch.page.goto(f"{bot.url}/badges/open.svg")
        assert "open: ✓ success" in (watch.page.locator("svg > title").text_content() or "")
        assert [] == watch.dialogs


def test_what_would_go_live_is_text(bot: Bot, watch: Watch) -> None:
    """The commits between what is live and the head, and who wrote them."""
    bot.service("behind", "#!/bin/sh\nexit 0\n", branches=["main"])
    bot.wait_end(push(bot, "behind", "a" * 40))
    bot.post("/services/behind/lock", {"reason": "freeze"})
    texts = [hostile.TEXTS[at] for at in (0, 11, 35, 43, 61, 72, 92, 112, 118, 131)]
    commits = [
        payloads.Commit(id=f"{number:040x}", message=text, author=payloads.Author(name=text))
        for number, text in enumerate(texts, 1)
    ]
    body = payloads.push_document(
        repository="octo-org/behind",
        repository_id=sum(b"behind"),
        before="a" * 40,
        after=commits[-1].id,
        pushed_at=time.time_ns() // 10**9 + 60,
        listed=commits,
    )
    assert 202 == bot.deliver(body).status_code

    watch.page.goto(f"{bot.url}/services/behind")
    watch.page.evaluate("document.querySelectorAll('main details').forEach(one => one.open = true)")

    watch.shows(hostile.title(text) for text in texts)
    watch.shows(hostile.name(text) for text in texts)
    watch.page.goto(bot.url)
    watch.is_calm()
