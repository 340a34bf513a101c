"""Faults: what a page says of an error, for people: what, why, and what to do. Pure."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

import msgspec

from fastdeploy_bot.web.drawing import display, markup

LONGEST: Final = 400
"""Characters of a reason that are shown: it may repeat what was sent."""
PROGRAMS_WORDS: Final = frozenset(
    {
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.UNAUTHORIZED,
        HTTPStatus.FORBIDDEN,
        HTTPStatus.NOT_FOUND,
        HTTPStatus.METHOD_NOT_ALLOWED,
        HTTPStatus.INTERNAL_SERVER_ERROR,
    }
)
"""Their reasons are worded for programs: a page has its own title for them."""


class Words(msgspec.Struct, frozen=True):
    """What is said of every error of a status."""

    title: str
    advice: str


class Told(msgspec.Struct, frozen=True):
    """An error as a page tells it."""

    status: int
    title: str
    reason: str
    advice: str


OTHER: Final = Words("That did not work", "Go back, and try again.")
WORDS: Final = {
    400: Words("That could not be read", "Go back, load the page anew, and try again."),
    401: Words("You are not signed in", "Sign in, and do it again."),
    403: Words("You may not do that", "Where that is wrong, ask an admin of this bot for another role."),
    404: Words("There is nothing here", "It may have been removed, or the address is not quite right."),
    405: Words("That is not how this page is used", "Open the page itself, and use what it offers."),
    409: Words("That is not possible now", "Look how things stand, and decide anew."),
    410: Words("That is no longer kept", "What is newer is still there."),
    413: Words("That is too large", "Send less at once."),
    415: Words("That is of a kind that is not taken here", "Use the form of the page."),
    422: Words("Something in that cannot be used", "Go back, change it, and send it again."),
    429: Words("That was tried too often", "Wait, and try again"),
    500: Words("Something broke", "This is a fault of the bot, not yours. Its log tells more of this request."),
    502: Words("GitHub did not do its part", "Nothing was lost. Try again"),
    503: Words("Not available at the moment", "Deployments that run go on. Try again"),
}
"""Advice without a full stop is followed by when."""


def told(status: int, title: str, detail: str, *, retry_after: int | None = None) -> Told:
    """An error as a page tells it; the detail may hold whatever somebody sent."""
    words = WORDS.get(status, OTHER)
    shown = words.title if status in PROGRAMS_WORDS or not title else title
    when = "shortly" if retry_after is None else f"in {display.remaining(retry_after)}"
    advice = words.advice if words.advice.endswith(".") else f"{words.advice} {when}."
    return Told(status, shown, _sentence(detail) if status != HTTPStatus.INTERNAL_SERVER_ERROR else "", advice)


def _sentence(text: str) -> str:
    clean = markup.fit(text).strip()
    clean = clean if len(clean) <= LONGEST else f"{clean[:LONGEST]} …"
    ended = clean[-1:] in {"", ".", "!", "?", "…"}
    return clean[:1].upper() + clean[1:] + ("" if ended else ".")
