"""Log lines: a script's output as numbered lines that are safe to show. Pure."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from fastdeploy_bot.core.logs import Excerpt

LONGEST: Final = 4_000
"""Characters of a line that are shown; the rest is in the raw log."""
_SEQUENCE: Final = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor
    r"|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?"  # OSC and other strings: titles, links
    r"|\x1b[ -/]*[0-~]?"
)
"""What terminals obey. Source: ECMA-48."""
_CONTROL: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""What is never shown: control characters, and those that turn the direction of what follows."""


class Line(msgspec.Struct, frozen=True):
    """A line of a log; where some were not kept, the number is 0 and the text says so."""

    number: int
    text: str


class Lines(msgspec.Struct, frozen=True):
    """Some lines of a log, and where to go on."""

    shown: list[Line]
    after: int
    """The offset at which the line begins that has not ended yet, or the end."""
    number: int
    """That line's number."""
    hidden: int
    """How many lines come before the first that is shown."""


def lines(excerpt: Excerpt, *, offset: int = 0, number: int = 1, last: int | None = None) -> Lines:
    """The lines of what was read from `offset` on, which is where line `number` begins; at most the `last` ones."""
    rows: list[tuple[int, bytes]] = []
    after = offset
    for start, data in _parts(excerpt, offset):
        if rows or start > offset:
            number += rows[-1][0] == number if rows else 0
            rows.append((0, f"… {_gap_size(excerpt):,} bytes were not kept …".encode()))
        *whole, rest = data.split(b"\n")
        rows += enumerate(whole, number)
        number += len(whole)
        after = start + len(data) - len(rest)
        if rest:
            rows.append((number, rest))
    hidden = 0 if last is None else max(0, len(rows) - last)
    return Lines([Line(each, text(row)) for each, row in rows[hidden:]], after, number, hidden)


def tail(data: bytes, count: int) -> list[str]:
    """The last lines of a log, as text."""
    rows = data.removesuffix(b"\n").rsplit(b"\n", count)[-count:] if data.strip() else []
    return [text(row) for row in rows]


def text(row: bytes) -> str:
    """One line as it would look on a terminal in the end, without what terminals obey."""
    written = _SEQUENCE.sub("", row.decode("utf-8", "replace"))
    last = next((part for part in reversed(written.split("\r")) if part), "")
    clean = _CONTROL.sub("", last)
    if len(clean) <= LONGEST:
        return clean
    return f"{clean[:LONGEST]} … ({len(clean) - LONGEST:,} more characters: see the raw log)"


def _parts(excerpt: Excerpt, offset: int) -> list[tuple[int, bytes]]:
    """What is kept, each part with its place in the whole output: one, or two with a gap between them."""
    if excerpt.gap is None:
        return [(offset, excerpt.data)]
    head = max(0, excerpt.gap[0] - offset)
    tail = (excerpt.gap[1], excerpt.data[head:])
    return [(offset, excerpt.data[:head]), tail] if head else [tail]


def _gap_size(excerpt: Excerpt) -> int:
    return 0 if excerpt.gap is None else excerpt.gap[1] - excerpt.gap[0]
