"""Globs, one kind everywhere: `*` stops at `/`, `**` does not, `?` is one character, `[ab]` and `[!ab]` choose one.

A pattern stands for a whole name. `a/**` is everything below `a`; `**/x` is `x` at any depth, also at none. A pattern
is followed through a text in all its possible states at once, so that no pattern is slow, whatever the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final

_PIECES: Final = re.compile(
    r"(?P<deep>(?:^|(?<=/))\*\*/)"  # any number of folders, also none
    r"|(?P<any>\*\*+)"
    r"|(?P<star>\*)"
    r"|(?P<one>\?)"
    r"|\[(?P<set>!?\]?[^\]]*)\]"
    r"|(?P<text>.)",
    re.DOTALL,
)
_SKIPPABLE: Final = frozenset({"deep", "any", "star"})

Piece = tuple[str, str]
"""A kind of piece, and its text."""


def match(pattern: str, text: str) -> bool:
    """Whether the pattern stands for the text."""
    pieces = _parsed(pattern)
    states = _closure(pieces, {0})
    for character in text:
        states = _closure(pieces, {after for state in states for after in _after(pieces, state, character)})
    return len(pieces) in states


def last_match(patterns: Sequence[str], text: str) -> bool:
    """Whether the last pattern that stands for the text is one without `!`.

    A list of `!` patterns alone takes away from everything.
    """
    wanted = all(pattern.startswith("!") for pattern in patterns)
    for pattern in patterns:
        if match(pattern.removeprefix("!"), text):
            wanted = not pattern.startswith("!")
    return wanted


def any_path(patterns: Sequence[str], paths: Iterable[str]) -> bool:
    """Whether the patterns want any of the paths."""
    return any(last_match(patterns, path) for path in paths)


@lru_cache(maxsize=1024)
def _parsed(pattern: str) -> tuple[Piece, ...]:
    found = _PIECES.finditer(pattern)
    return tuple((piece.lastgroup or "text", piece[piece.lastgroup or 0]) for piece in found)


def _closure(pieces: tuple[Piece, ...], states: set[int]) -> set[int]:
    """The states with all that can be reached by letting stars stand for nothing. State ~n: within folders of `**/` n."""
    for state in sorted(state for state in states if state >= 0):
        following = state
        while following < len(pieces) and pieces[following][0] in _SKIPPABLE:
            following += 1
            states.add(following)
    return states


def _after(pieces: tuple[Piece, ...], state: int, character: str) -> tuple[int, ...]:
    """The states that a character leads to."""
    if state == len(pieces):
        return ()
    place = state if state >= 0 else ~state
    kind, text = pieces[place]
    match kind:
        case "deep":
            return (~place, place + 1) if character == "/" else (~place,)
        case "any":
            return (place,)
        case "star":
            return (place,) if character != "/" else ()
        case "one":
            return (place + 1,) if character != "/" else ()
        case "set":
            return (place + 1,) if character != "/" and _in_set(text, character) else ()
        case _:
            return (place + 1,) if character == text else ()


def _in_set(text: str, character: str) -> bool:
    if text.startswith("!"):
        return not _in_set(text[1:], character)
    ranges = re.finditer(r"(.)-(.)|(.)", text, re.DOTALL)
    return any(
        character == piece[3] if piece[3] else piece[1] <= character <= piece[2] for piece in ranges
    )
