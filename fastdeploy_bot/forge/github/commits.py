"""Commits: as pushes and comparisons list them, reduced to what is shown. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

import msgspec

from fastdeploy_bot.forge.github.shapes import SHA
from fastdeploy_bot.words import Commit

MOST_KEPT: Final = 50
"""How many of the newest are kept."""
LONGEST_TITLE: Final = 200
LONGEST_NAME: Final = 100

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class Listed(msgspec.Struct, frozen=True):
    """A commit as GitHub lists it; what it does not say is empty."""

    id: str
    message: str
    author: str


def kept(listed: Iterable[Listed]) -> tuple[Commit, ...]:
    """Those that are named, in their order."""
    return tuple(
        Commit(each.id, title(each.message), _author(each.author)) for each in listed if SHA.fullmatch(each.id)
    )


def title(message: str) -> str:
    """The first line of a message."""
    return shown(message.strip().partition("\n")[0], LONGEST_TITLE)


def shown(text: str, longest: int) -> str:
    """Text without what could steer a terminal; and no environment variable can hold a NUL."""
    return _CONTROL.sub("", text).strip()[:longest]


def _author(name: str) -> str:
    """Some have their address in the place of their name."""
    return shown(name.partition("@")[0], LONGEST_NAME)
