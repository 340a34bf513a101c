"""The theme: light, dark, or as the reader's system has it; a cookie remembers it, for visitors, too."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from flask import Blueprint, Flask, request
from flask.typing import ResponseReturnValue

from fastdeploy_bot.errors import Invalid
from fastdeploy_bot.web import browser

bp = Blueprint("theme", __name__)

COOKIE: Final = "theme"
YEAR: Final = 365 * 86_400
"""For how many seconds it is remembered."""


class Theme(StrEnum):
    """What a page may look like."""

    AUTO = "auto"
    DARK = "dark"
    LIGHT = "light"

    @property
    def schemes(self) -> str:
        """The colour schemes that a page of this theme knows, as browsers name them."""
        return "light dark" if self is Theme.AUTO else self.value


def register(app: Flask) -> None:
    """Let templates ask for the reader's theme: `theme()`."""
    app.jinja_env.globals.update(theme=chosen, themes=list(Theme))


def chosen() -> Theme:
    """The theme that the reader has chosen."""
    given = request.cookies.get(COOKIE, "")
    return Theme(given) if given in list(Theme) else Theme.AUTO


@bp.post("/theme")
def choose() -> ResponseReturnValue:
    """Choose a theme, and go on with the page."""
    given = request.form.get("theme", "")
    if given not in list(Theme):
        raise Invalid(f"theme: expected {', '.join(Theme)}")
    answer = browser.go_to(browser.local_path(request.form.get("back", "")))
    return browser.remember(answer, COOKIE, given, seconds=YEAR)
