"""The theme: a form that works for everyone, and is remembered."""

from __future__ import annotations

from typing import Final

import pytest
from flask import Flask

from callers import Browser

THEMES: Final = {"auto": "light dark", "dark": "dark", "light": "light"}


@pytest.mark.parametrize("role", ["viewer", None])
@pytest.mark.parametrize("theme", THEMES)
def test_a_theme_is_chosen_and_stays(app: Flask, theme: str, role: str | None) -> None:
    """By users and by visitors; the page says it to the stylesheet and to the browser."""
    browser = Browser(app) if role is None else Browser(app).signed_in(role)

    answer = browser.post("/theme", theme=theme, back="/login?next=/services/shop")

    assert (303, "/login?next=/services/shop") == (answer.status_code, answer.location)
    cookie = answer.headers["Set-Cookie"]
    assert {f"theme={theme}", "HttpOnly", "Path=/", "SameSite=Lax", "Max-Age=31536000"} <= set(cookie.split("; "))
    page = browser.get("/login").text
    assert f'data-theme="{theme}"' in page
    assert f'name="color-scheme" content="{THEMES[theme]}"' in page
    assert f'value="{theme}" aria-pressed="true"' in page


def test_without_a_choice_it_is_the_systems(app: Flask) -> None:
    """Also where somebody has put something else into the cookie."""
    browser = Browser(app)
    browser.client.set_cookie("theme", "<b>")

    assert 'data-theme="auto"' in browser.get("/login").text


@pytest.mark.parametrize("theme", ["", "pink", "DARK"])
def test_there_are_no_other_themes(app: Flask, theme: str) -> None:
    """422, and nothing is remembered."""
    answer = Browser(app).post("/theme", theme=theme)

    assert 422 == answer.status_code
    assert "Set-Cookie" not in answer.headers


def test_nobody_is_led_elsewhere(app: Flask) -> None:
    """A page of somebody else's is none to come back to."""
    assert "/" == Browser(app).post("/theme", theme="dark", back="//evil.example/").location


def test_whoever_is_signed_in_can_choose_it_on_the_page_to_sign_in_with(app: Flask) -> None:
    """Its forms are bound to another cookie than all others."""
    browser = Browser(app).signed_in("viewer")
    token = browser.get("/login").text.partition('action="/theme"')[2].partition('value="')[2].partition('"')[0]

    assert 303 == browser.post("/theme", theme="dark", form_token=token).status_code
