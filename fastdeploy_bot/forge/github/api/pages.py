"""Pages: how GitHub hands out a long list, each page of which may be known already.

Source: https://docs.github.com/en/rest/using-the-rest-api/using-pagination-in-the-rest-api
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Generic, TypeVar

import msgspec

from fastdeploy_bot.forge.github.api import conditional
from fastdeploy_bot.forge.github.api.conditional import Known
from fastdeploy_bot.forge.github.client import Answer, Client

T = TypeVar("T")

SIZE: Final = 50
"""How many things a page has: a check run with all that it says may have 130 KB."""
LARGEST: Final = 8 << 20
MOST: Final = 10
"""How many pages of a list are looked at."""


class Page(msgspec.Struct, Generic[T], frozen=True):
    """A part of a list."""

    items: Sequence[T]
    total: int
    """How many things the whole list has."""


class Memory(Generic[T]):
    """What GitHub answered before of one list, page by page: what has not changed costs nothing to ask again."""

    def __init__(self) -> None:
        self._pages: list[Known[Page[T]]] = []

    def all(self, fetch: Callable[[int, Known[Page[T]] | None], Known[Page[T]]]) -> tuple[list[T], bool]:
        """All things of a list, and whether that is really all: there is a bound.

        `fetch` gets a page by its number, given what was known of it before.
        """
        pages: list[Known[Page[T]]] = []
        whole = False
        while not whole and len(pages) < MOST:
            before = self._pages[len(pages)] if len(pages) < len(self._pages) else None
            known = fetch(len(pages) + 1, before)
            pages.append(known)
            whole = len(known.found.items) < SIZE or len(pages) * SIZE >= known.found.total
        self._pages = pages
        return [item for known in pages for item in known.found.items], whole


def get(
    client: Client,
    token: str,
    path: str,
    read: Callable[[Answer], Page[T]],
    *,
    page: int,
    before: Known[Page[T]] | None,
    **query: str,
) -> Known[Page[T]]:
    """A page of a list, as `read` makes it of the answer. Raises CallFailed."""
    asked: dict[str, str | int] = {"per_page": SIZE, "page": page, **query}
    return conditional.get(client, token, path, read, before=before, query=asked, largest=LARGEST)
