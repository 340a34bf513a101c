"""Asking again: what was answered before is brought only where it is another now, and costs nothing otherwise.

Source: https://docs.github.com/en/rest/using-the-rest-api/best-practices-for-using-the-rest-api#use-conditional-requests
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Final, Generic, TypeVar

import msgspec

from fastdeploy_bot.forge.github.client import LARGEST_ANSWER, Answer, Client

T = TypeVar("T")

EXPECTED: Final = frozenset({HTTPStatus.OK, HTTPStatus.NOT_MODIFIED})


class Known(msgspec.Struct, Generic[T], frozen=True):
    """An answer, and the name under which GitHub knows it."""

    found: T
    etag: str | None
    fresh: bool = True
    """Whether it is another one than before."""


def get(
    client: Client,
    token: str,
    path: str,
    read: Callable[[Answer], T],
    *,
    before: Known[T] | None,
    query: Mapping[str, str | int] | None = None,
    also: frozenset[HTTPStatus] = frozenset(),
    largest: int = LARGEST_ANSWER,
) -> Known[T]:
    """What is at a path, as `read` makes of the answer; what was known before, where it is the same still.

    `also` are further statuses that `read` understands, `largest` the most bytes of an answer. Raises CallFailed.
    """
    etag = before.etag if before is not None else None
    expected = EXPECTED | also
    answer = client.call("GET", path, token, expected=expected, query=query, etag=etag, largest=largest)
    if answer.status == HTTPStatus.NOT_MODIFIED and before is not None:
        return msgspec.structs.replace(before, fresh=False)
    return Known(read(answer), answer.headers.get("etag"))
