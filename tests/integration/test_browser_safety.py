"""Safety of pages: where links lead, where requests come from, and what browsers are told."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest
from flask import Flask
from msgspec.structs import replace

from callers import Auth, Browser, GitHub, ServiceFiles, document, sync
from fastdeploy_bot import app as wiring
from fastdeploy_bot.app import create_app
from fastdeploy_bot.core.files import servicefile
from fastdeploy_bot.core.files.servicefile import BadServiceFile
from fastdeploy_bot.settings import Settings
from fastdeploy_bot.web import assets
from fastdeploy_bot.web.drawing import display

TEMPLATES: Final = sorted(Path(wiring.template_folder()).glob("*.html"))
ADDRESS: Final = re.compile(r"""\b(href|src|action|formaction|poster|srcdoc)\s*=\s*"([^"]*\{\{[^"]*)\"""")
OURS: Final = re.compile(
    r"[/#?]|\{\{ (asset\(|form_page\(\)|state \| icon|each\.page )|\{\{ (?:[\w.]+|\w+\([\w.]+\)|\(.+\)) \| link \}\}$"
)
"""An address of a template is one of the bot's own, or has passed the filter."""

EVIL: Final = [
    "javascript:alert(1)",
    "JaVaScRiPt:alert(1)",
    " javascript:alert(1)",
    "java\tscript:alert(1)",
    "java\nscript:alert(1)",
    "\x01javascript:alert(1)",
    "javascript&colon;alert(1)",
    "data:text/html,<script>alert(1)</script>",
    "vbscript:msgbox(1)",
    "blob:https://shop.example/x",
    "file:///etc/passwd",
    "//evil.example",
    "/\\evil.example",
    "https:evil.example",
    "http:/evil.example",
    "https://",
    'https://shop.example" onmouseover="alert(1)',
    "https://shop.example\n/x",
    "https://shop.example/<script>",
    "https://shop.example\\@evil.example",
    "ftp://shop.example",
    "mailto:anna@shop.example",
]


@pytest.mark.parametrize("url", EVIL)
def test_a_link_that_is_none_of_the_web_leads_nowhere(url: str) -> None:
    """The one filter for addresses from outside."""
    assert "" == display.link(url)


@pytest.mark.parametrize(
    "url", ["https://shop.example", "http://[::1]:8080/a?b=c&d=%20#e", "https://münchen.example/ä"]
)
def test_a_link_of_the_web_stays_as_it_is(url: str) -> None:
    """By its own letters."""
    assert url == display.link(url)


@pytest.mark.parametrize("url", EVIL)
def test_no_service_file_names_such_an_address(url: str) -> None:
    """It is refused where it is written, too, with the key that is wrong."""
    text = '"' + "".join(f"\\u{ord(each):04x}" for each in url) + '"'

    with pytest.raises(BadServiceFile, match="url: "):
        servicefile.parse("shop", f'repository = "octo-org/shop"\nurl = {text}\n'.encode())


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda each: each.name)
def test_every_address_on_a_page_is_ours_or_has_passed_the_filter(template: Path) -> None:
    """Whatever a template writes into a link, a form or a picture."""
    written = [value for _, value in ADDRESS.findall(template.read_text())]

    assert [] == [value for value in written if not OURS.match(value)]


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda each: each.name)
def test_no_page_opens_windows_or_writes_markup_of_others(template: Path) -> None:
    """No window with an opener, no text that is taken for safe, no style or handler in place."""
    text = template.read_text()

    assert not re.search(r"\|\s*safe\b|autoescape|<style|\sstyle=|\son[a-z]+=|<script(?! type=\"module\" src=)", text)
    outside = re.findall(r"<a [^>]*(?:\| link|target=)[^>]*>", text)
    assert [] == [tag for tag in outside if 'rel="noopener noreferrer"' not in tag and 'class="button"' not in tag]


def test_the_script_makes_html_by_its_policy_alone() -> None:
    """Every sink of Trusted Types that there could be."""
    script = (assets.FOLDER / "fastdeploy.js").read_text()

    assert not re.search(
        r"\b(outerHTML|insertAdjacentHTML|document\.write|eval|setTimeout\(\"|new Function|srcdoc)\b", script
    )
    assert not re.search(r"\.innerHTML\s*[+=](?!=)", script)
    assert ["policy.createHTML(text)"] == re.findall(r"parseFromString\(([^,]+),", script)


@pytest.mark.parametrize(
    ("site", "status"),
    [("same-origin", 303), ("none", 303), ("", 303), ("same-site", 403), ("cross-site", 403), ("x", 403)],
)
def test_a_browser_that_says_where_a_form_comes_from_is_believed(app: Flask, site: str, status: int) -> None:
    """Whatever the Origin is; browsers that say nothing are judged by it alone."""
    browser = Browser(app).signed_in("viewer")
    headers = {"Origin": browser.origin} | ({"Sec-Fetch-Site": site} if site else {})

    assert status == browser.post("/logout", headers=headers).status_code


@pytest.mark.parametrize(("url", "name"), [("https://deploy.example", "__Host-fastdeploy"), (None, "fastdeploy")])
def test_cookies_are_the_hosts_own_where_there_is_tls(
    settings: Settings, database: str, url: str | None, name: str
) -> None:
    """Secure, of the whole path and of no domain, kept from scripts; no promise is made for the whole host."""
    assert database
    app = create_app(replace(settings, public_url=url))
    app.testing = True

    answer = app.test_client().get("/login")

    cookie = answer.headers["Set-Cookie"]
    assert cookie.startswith(f"{name}-form=")
    assert (url is not None) == ("Secure" in cookie)
    assert {"HttpOnly", "SameSite=Lax", "Path=/"} <= set(cookie.split("; "))
    assert "Domain" not in cookie
    assert "Strict-Transport-Security" not in answer.headers


def test_what_leads_elsewhere_tells_nobody_where_from(app: Flask, service: ServiceFiles) -> None:
    """No opener, no referrer."""
    service("shop", url="https://shop.example")
    sync(app)

    shown = Browser(app).signed_in("viewer").get("/services/shop")

    assert '<a href="https://shop.example" rel="noopener noreferrer">https://shop.example</a>' in shown.text
    assert "same-origin" == shown.headers["Referrer-Policy"]


def test_what_is_no_text_is_refused_where_it_comes_in(
    app: Flask, service: ServiceFiles, github: GitHub, auth: Auth
) -> None:
    """Half a character of UTF-16: in a push, in a form and by the API; and no page breaks on one in an address."""
    service("shop", branches=["main"])
    sync(app)
    browser = Browser(app).signed_in("deployer")
    lone = "\\ud800<script>"

    pushed = github.deliver(document(title="TITLE").replace(b"TITLE", lone.encode()))
    headers = auth("deployer") | {"Content-Type": "application/json"}
    locked = app.test_client().post("/api/v1/services/shop/lock", data=f'{{"reason": "{lone}"}}', headers=headers)

    assert (400, 400) == (pushed.status_code, locked.status_code)
    for path in (
        "/%ed%a0%80",
        "/?q=%ed%a0%80",
        "/services/%ed%a0%80",
        "/login?next=/%ed%a0%80",
        "/badges/%ed%a0%80.svg",
    ):
        assert browser.get(path, headers={"Accept": "text/html"}).status_code in (200, 404)
