"""Pages: how GitHub hands out a long list, each page of which may be known already.

Source: https://docs.github.com/en/rest/using-the-rest-api/using-pagination-in-the-rest-api
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Final, Generic, TypeVar

import msgspec

from fastdeploy_bot.forge.github.client import Client, not_understood

T = TypeVar("T")
B = TypeVar("B")

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
    etag: str | None
    """By which to ask whether it is still so."""


class Told(msgspec.Struct, Generic[B], frozen=True):
    """An answer that was not known before."""

    body: B
    etag: str | None


class Memory(Generic[T]):
    """What GitHub answered before of one list, page by page: what has not changed costs nothing to ask again."""

    def __init__(self) -> None:
        self._pages: list[Page[T]] = []

    def all(self, fetch: Callable[[int, str | None], Page[T] | None]) -> tuple[list[T], bool]:
        """All things of a list, and whether that is really all: there is a bound. `fetch` gets a page, given its etag.

        None stands for a page that has not changed.
        """
        found: list[Page[T]] = []
        whole = False
        while not whole and len(found) < MOST:
            known = self._pages[len(found)] if len(found) < len(self._pages) else None
            page = fetch(len(found) + 1, None if known is None else known.etag) or known
            if page is None:
                raise not_understood("nothing new, though nothing was known")
            found.append(page)
            whole = len(page.items) < SIZE or len(found) * SIZE >= page.total
        self._pages = found
        return [item for page in found for item in page.items], whole


def read(
    client: Client, token: str, path: str, shape: type[B], *, page: int, etag: str | None, **query: str
) -> Told[B] | None:
    """A page of a list, whose answers look so; None where `etag` still holds."""
    answer = client.call(
        "GET",
        path,
        token,
        expected={HTTPStatus.OK} if etag is None else {HTTPStatus.OK, HTTPStatus.NOT_MODIFIED},
        query={"per_page": SIZE, "page": page, **query},
        etag=etag,
        largest=LARGEST,
    )
    if answer.status == HTTPStatus.NOT_MODIFIED:
        return None
    try:
        body = msgspec.convert(answer.data, shape)
    except msgspec.ValidationError as error:
        raise not_understood("no list") from error
    return Told(body, answer.headers.get("etag"))
