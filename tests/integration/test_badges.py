"""Badges: what the picture of a service says, to whom, and how long it is kept."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest
from flask import Flask
from werkzeug.test import TestResponse

import hostile
from callers import Browser, GitHub, Host, ServiceFiles, sync
from fastdeploy_bot.core import clock
from fastdeploy_bot.core.deploying import locking
from fastdeploy_bot.web import badges
from fastdeploy_bot.web.badges import Badge
from fastdeploy_bot.web.drawing import markup
from fastdeploy_bot.words import LOCAL, DeploymentState

SVG = "{http://www.w3.org/2000/svg}"


def said(answer: TestResponse) -> str:
    """What a picture says to those who do not see it."""
    root = ElementTree.fromstring(answer.data)
    assert "img" == root.get("role")
    assert root.get("aria-label") == root.findtext(f"{SVG}title")
    return root.get("aria-label", "")


@pytest.mark.parametrize("visibility", ["status", "public"])
def test_a_badge_says_state_and_age_to_everybody(
    app: Flask, visitor: Browser, service: ServiceFiles, github: GitHub, host: Host, visibility: str
) -> None:
    """By its word and its glyph, as everywhere."""
    service("shop", branches=["main"], visibility=visibility)
    sync(app)
    github.push()
    assert re.fullmatch(r"shop: ◌ queued · (just now|\d+ s ago)", said(visitor.get("/badges/shop.svg")))
    locking.lock("shop", {}, locking.Wish(reason="freeze"), by=LOCAL, now=clock.now())
    waits = visitor.get("/badges/shop.svg")
    assert re.fullmatch(r"shop: ⧖ waiting · (just now|\d+ s ago)", said(waits))
    assert "⧖" not in "".join(each.text or "" for each in ElementTree.fromstring(waits.data).iter(f"{SVG}text"))
    locking.unlock("shop", {}, by=LOCAL, now=clock.now())

    host.begin(1)
    host.end(1, DeploymentState.FAILURE, exit_status=3)

    answer = visitor.get("/badges/shop.svg")
    assert re.fullmatch(r"shop: ✗ failure · (just now|\d+ s ago)", said(answer))
    assert (200, "image/svg+xml") == (answer.status_code, answer.mimetype)


def test_what_was_never_deployed_is_said_to_be_that(visitor: Browser, service: ServiceFiles) -> None:
    """There is no age then."""
    service("shop", visibility="status")

    assert "shop: ○ never deployed" == said(visitor.get("/badges/shop.svg"))


@pytest.mark.parametrize("name", ["none", "SHOP", "%3Cscript%3E", "shop%00", "x" * 500, "..%2fshop"])
def test_a_private_badge_is_that_of_no_service(
    app: Flask, visitor: Browser, service: ServiceFiles, github: GitHub, name: str
) -> None:
    """The same picture, status and headers, but for the request's own id."""
    service("shop", branches=["main"])
    sync(app)
    github.push()
    private, missing = visitor.get("/badges/shop.svg"), visitor.get(f"/badges/{name}.svg")

    assert (404, "fastdeploy: unknown") == (private.status_code, said(private))
    if "%2f" not in name:  # else it is no badge's address
        assert (private.status_code, private.data) == (missing.status_code, missing.data)
        assert [each for each in private.headers if each[0] != "X-Request-Id"] == [
            each for each in missing.headers if each[0] != "X-Request-Id"
        ]


def test_whoever_has_signed_in_sees_the_badge_of_a_private_service(viewer: Browser, service: ServiceFiles) -> None:
    """It is for the bot's own pages alone, and is not kept."""
    service("shop")

    answer = viewer.get("/badges/shop.svg")

    assert "shop: ○ never deployed" == said(answer)
    assert "no-store" == answer.headers["Cache-Control"]
    assert "same-origin" == answer.headers["Cross-Origin-Resource-Policy"]


def test_a_badge_is_asked_for_anew_and_sent_only_where_it_has_changed(
    app: Flask, visitor: Browser, service: ServiceFiles, github: GitHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """GitHub's proxy keeps pictures for long that do not say `no-cache`."""
    service("shop", branches=["main"], visibility="public")
    sync(app)
    github.push()
    later = clock.now() + 125_000
    monkeypatch.setattr(clock, "now", lambda: later)
    first = visitor.get("/badges/shop.svg")
    tag = {"If-None-Match": first.headers["ETag"]}

    same = visitor.get("/badges/shop.svg", headers=tag)
    later += 60_000
    other = visitor.get("/badges/shop.svg", headers=tag)

    assert ("no-cache", "Cookie") == (first.headers["Cache-Control"], first.headers["Vary"])
    assert (304, b"") == (same.status_code, same.data)
    assert (200, "shop: ◌ queued · 3 min ago") == (other.status_code, said(other))


def test_a_picture_that_is_opened_as_a_page_can_do_nothing(visitor: Browser, service: ServiceFiles) -> None:
    """It has no script and could run none."""
    service("shop", visibility="public")

    policy = visitor.get("/badges/shop.svg").headers["Content-Security-Policy"]

    assert {"default-src 'none'", "sandbox"} <= set(policy.split("; "))


@pytest.mark.parametrize("text", [*hostile.TEXTS, "\ud800"], ids=lambda text: text.encode(errors="replace")[:40])
def test_whatever_a_picture_says_is_text(text: str) -> None:
    """Nothing of it becomes an element or an attribute; what XML cannot hold is replaced."""
    root = ElementTree.fromstring(badges.draw(Badge(text, "success", text)))

    shown = hostile.parsed(markup.fit(text))
    assert f"{shown}: {shown}" == root.findtext(f"{SVG}title")
    assert {"title", "rect", "text"} == {each.tag.removeprefix(SVG) for each in root}
    assert not [name for each in root.iter() for name in each.attrib if name.startswith("on")]


@pytest.mark.parametrize("colour", [badges.LABEL, badges.GREY, *badges.COLOURS.values()])
def test_white_is_read_on_every_colour(colour: str) -> None:
    """4.5 to 1 at least. Source: WCAG 2.2, 1.4.3."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]

    assert 1.05 / (0.2126 * red + 0.7152 * green + 0.0722 * blue + 0.05) >= 4.5


def test_a_picture_is_as_wide_as_what_it_says() -> None:
    """Without fonts: each letter has its width, and browsers stretch the text to the sum."""
    narrow, wide = (
        ElementTree.fromstring(badges.draw(Badge("i", "", "x"))),
        ElementTree.fromstring(badges.draw(Badge("www", "", "x"))),
    )

    assert int(narrow.get("width", "0")) < int(wide.get("width", "0"))
    for text in wide.iter(f"{SVG}text"):
        assert (
            int(text.get("x", "0")) + int(text.get("textLength", "0")) <= int(wide.get("width", "0")) - badges.PADDING
        )
