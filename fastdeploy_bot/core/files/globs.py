"""Globs, one kind everywhere: `*` stops at `/`, `**` does not, `?` is one character, `[ab]`, `[!ab]` choose.

A pattern stands for a whole name. `a/**` is everything below `a`; `**/x` is `x` at any depth, also at none.
Neither `?` nor a choice is ever a `/`; a bracket that nothing closes is itself.

A pattern is followed through a text in all its possible states at once: none is slow, whatever the text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Final, NamedTuple

_PIECES: Final = re.compile(
    r"(?P<deep>(?:^|(?<=/))\*\*/)"  # any number of folders, also none
    r"|(?P<any>\*\*+)"
    r"|(?P<star>\*)"
    r"|(?P<one>\?)"
    r"|\[(?P<set>!?+(?:\][^\]]*|[^\]]+))\]"
    r"|(?P<text>.)",
    re.DOTALL,
)
_SKIPPABLE: Final = frozenset({"deep", "any", "star"})


class _Pattern(NamedTuple):
    """A pattern's pieces as bits: bit n stands for its piece n, and one more for its end."""

    end: int
    skippable: int
    """Pieces that may stand for nothing."""
    kinds: dict[str, int]
    """The pieces of each kind."""
    texts: dict[str, int]
    """The pieces that are just this character."""
    sets: tuple[tuple[int, str], ...]
    """The pieces that choose, and what from."""


def match(pattern: str, text: str) -> bool:
    """Whether the pattern stands for the text."""
    parsed = _parsed(pattern)
    states = _skipped(parsed, 1)
    for character in text:
        states = _after(parsed, states, character)
        if not states:
            return False
    return bool(states & parsed.end)


def last_match(patterns: Sequence[str], text: str) -> bool:
    """Whether the last pattern that stands for the text is one without `!`.

    A list of `!` patterns alone takes away from everything; an empty list wants nothing.
    """
    wanted = bool(patterns) and all(pattern.startswith("!") for pattern in patterns)
    for pattern in patterns:
        if match(pattern.removeprefix("!"), text):
            wanted = not pattern.startswith("!")
    return wanted


def beginning(pattern: str) -> str:
    """With what everything begins that the pattern stands for, as far as it is a plain text."""
    return re.split(r"[*?\[]", pattern, maxsplit=1)[0]


@lru_cache(maxsize=1024)
def _parsed(pattern: str) -> _Pattern:
    found = [(piece.lastgroup or "", piece[piece.lastgroup or 0]) for piece in _PIECES.finditer(pattern)]
    kinds = dict.fromkeys(("deep", "any", "star", "one", "set", "text"), 0)
    texts: dict[str, int] = {}
    for place, (kind, text) in enumerate(found):
        kinds[kind] |= 1 << place
        if kind == "text":
            texts[text] = texts.get(text, 0) | 1 << place
    return _Pattern(
        end=1 << len(found),
        skippable=sum(kinds[kind] for kind in _SKIPPABLE),
        kinds=kinds,
        texts=texts,
        sets=tuple((1 << place, text) for place, (kind, text) in enumerate(found) if kind == "set"),
    )


def _skipped(pattern: _Pattern, states: int) -> int:
    """The states with all that can be reached by letting pieces stand for nothing."""
    while skipped := (states & pattern.skippable) << 1 & ~states:
        states |= skipped
    return states


def _after(pattern: _Pattern, states: int, character: str) -> int:
    """The states that a character leads to."""
    kinds = pattern.kinds
    done = pattern.texts.get(character, 0) | kinds["any"]
    going_on = kinds["any"] | kinds["deep"]
    if character == "/":
        done |= kinds["deep"]
    else:
        done |= kinds["star"] | kinds["one"] | _choosing(pattern, character)
        going_on |= kinds["star"]
    # A `**/` that has begun ends at a slash only: what goes on may not be skipped any more.
    return _skipped(pattern, (states & done) << 1) | states & going_on


def _choosing(pattern: _Pattern, character: str) -> int:
    return sum(bit for bit, members in pattern.sets if _chosen(members, character))


def _chosen(members: str, character: str) -> bool:
    refused = members.startswith("!")
    ranges = re.finditer(r"(.)-(.)|(.)", members[refused:], re.DOTALL)
    found = any(piece[3] == character if piece[3] else piece[1] <= character <= piece[2] for piece in ranges)
    return found is not refused
