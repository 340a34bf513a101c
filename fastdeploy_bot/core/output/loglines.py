"""Log lines: a script's output as numbered lines, by the steps that wrote them, from any line on. Pure."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import groupby
from typing import Final

import msgspec

from fastdeploy_bot.core.output import terminal
from fastdeploy_bot.core.output.logparts import Part
from fastdeploy_bot.core.output.logs import Excerpt, Mark
from fastdeploy_bot.core.output.terminal import PLAIN, Run, Style
from fastdeploy_bot.errors import Invalid

LONGEST: Final = 4_000
"""Characters of a line that are shown; the rest is in the raw log."""
BLOCK: Final = 50
"""So many lines are drawn at a time."""
LARGEST: Final = 16 << 20
"""Bytes of a log that are drawn at most: its last ones."""
COLOURED: Final = 100_000
"""Pieces of text in colour that are drawn at most, give or take one a line: the last ones. Each costs browsers 300
bytes."""
_PLACE: Final = re.compile(r"([0-9]{1,18})\.([0-9]{1,18})\.([0-9]{1,18})\.([0-9]{1,18})\.([0-9;]{0,40})")

_Row = tuple[int, int, bytes | None]
"""A line before it is drawn: its number, the offset of its first byte, and its bytes; None for those not kept."""
_Piece = tuple[int, bytes]
"""Bytes that were kept, and the offset of the first."""


class Place(msgspec.Struct, frozen=True):
    """Where a log goes on: the beginning of a line, and what is to be known of those before it."""

    offset: int = 0
    number: int = 1
    """That line's number."""
    section: int = 0
    """The section that was drawn last, by its id."""
    first: int = 1
    """The number of that section's first line."""
    style: Style = PLAIN
    """The style in which the line begins."""

    def __str__(self) -> str:
        return f"{self.offset}.{self.number}.{self.section}.{self.first}.{terminal.written(self.style)}"


BEGINNING: Final = Place()


class Section(msgspec.Struct, frozen=True):
    """What a step wrote at a stretch, or what was written in no step."""

    id: int
    """The offset at which the stretch began."""
    name: str | None
    """The step; None for no step."""
    first: int
    """The number of its first line."""
    count: int
    """How many lines it has by now."""


class Line(msgspec.Struct, frozen=True):
    """A line of a log; where some bytes were not kept, the number is 0 and the text says so."""

    number: int
    runs: list[Run]
    at: int | None = None
    """When it was begun, in Unix milliseconds; None where nobody noted that."""

    @property
    def text(self) -> str:
        """What can be read of it."""
        return "".join(text for text, _ in self.runs)


class Block(msgspec.Struct, frozen=True):
    """Some lines of a section; of a section that only ended since it was drawn, none."""

    section: Section
    index: int
    """Which block of its section it is; one that was drawn half goes on under the same number."""
    lines: list[Line]

    @property
    def full(self) -> bool:
        """Whether no line can be added any more."""
        return bool(self.lines) and (self.lines[-1].number - self.section.first) % BLOCK == BLOCK - 1


class Drawing:
    """The lines of a log from a place on, in blocks that are made when they are asked for."""

    def __init__(
        self,
        excerpt: Excerpt,
        parts: Sequence[Part],
        marks: Sequence[Mark] = (),
        *,
        place: Place = BEGINNING,
        most: int | None = None,
    ) -> None:
        """The excerpt was read from the place on; of more than `most` lines only the last ones are drawn.

        Of very many colours, too: what comes before the last ones is drawn in none.
        """
        pieces = _pieces(excerpt, place.offset)
        skipped = 0 if most is None else _before_last(excerpt.data, most)
        begin = _pass(pieces, place, skipped) if skipped else place
        self._gap = "" if excerpt.gap is None else f"… {excerpt.gap[1] - excerpt.gap[0]:,} bytes were not kept …"
        self._rows, offset, number = _rows(pieces, begin)
        self._begin = begin
        self._parts, self._marks = parts, marks
        self.hidden = begin.number - place.number
        """How many lines come before the first that is drawn."""
        self.colourless = _colourless(self._rows)
        """The number of the last line that is drawn without its colours; 0 where all have them."""
        self.place = msgspec.structs.replace(begin, offset=offset, number=number)
        """Where the log goes on; all of it is known when all blocks have been made."""

    @property
    def count(self) -> int:
        """How many lines are drawn."""
        return len(self._rows)

    def blocks(self) -> Iterator[Block]:
        """The lines, section by section. To be asked for once."""
        style, time = self._begin.style, _Clock(self._marks)
        unended = None
        for section, rows in self._sections():
            if not rows:
                yield Block(section, 0, [])
            for index, some in groupby(rows, key=partial(_index, section)):
                lines = []
                for number, offset, data in some:
                    if data is None:
                        lines.append(Line(0, [(self._gap, PLAIN)]))
                        continue
                    if offset == self.place.offset:
                        unended = style
                    runs, style = terminal.runs(data.decode("utf-8", "replace"), style)
                    shown = _fitting(runs) if number > self.colourless else _plain(_fitting(runs))
                    lines.append(Line(number, terminal.joined(shown), time.at(offset)))
                yield Block(section, index, lines)
            self.place = msgspec.structs.replace(self.place, section=section.id, first=section.first)
        self.place = msgspec.structs.replace(self.place, style=style if unended is None else unended)

    def _sections(self) -> Iterator[tuple[Section, list[_Row]]]:
        """Each section with those lines of it that are drawn; first the one that was drawn last, even without any."""
        before, starts = self._begin, [part.start for part in self._parts]
        groups = [
            (which, list(rows)) for which, rows in groupby(self._rows, key=lambda row: bisect_right(starts, row[1]) - 1)
        ]
        drawn = starts.index(before.section) if before.first < before.number and before.section in starts else None
        if drawn is not None and (not groups or groups[0][0] != drawn):
            groups.insert(0, (drawn, []))
        for which, rows in groups:
            first = before.first if which == drawn else rows[0][0]
            behind = rows[-1][0] + 1 if rows else before.number
            yield Section(self._parts[which].start, self._parts[which].name, first, behind - first), rows


def place(text: str) -> Place:
    """The place that was written so. Raises Invalid."""
    found = _PLACE.fullmatch(text)
    if found is None:
        raise Invalid(f"place: expected what the page was given, got {text[:60]!r}")
    offset, number, section, first = (int(each) for each in found.groups()[:4])
    return Place(offset, max(1, number), section, max(1, first), terminal.read(found[5]))


def last(data: bytes, count: int) -> list[Line]:
    """The last lines of what was written, without numbers."""
    rows = data.removesuffix(b"\n").rsplit(b"\n", count)[-count:] if data.strip() else []
    style = terminal.after(data[: len(data) - sum(map(len, rows)) - len(rows)])
    lines = []
    for row in rows:
        runs, style = terminal.runs(row.decode("utf-8", "replace"), style)
        lines.append(Line(0, terminal.joined(_fitting(runs))))
    return lines


def tail(data: bytes, count: int) -> list[str]:
    """The last lines of what was written, as text."""
    return [line.text for line in last(data, count)]


def text(row: bytes) -> str:
    """What of a line can be read in the end."""
    runs, _ = terminal.runs(row.decode("utf-8", "replace"), PLAIN)
    return Line(0, _fitting(runs)).text


def before(excerpt: Excerpt, offset: int, end: int) -> bytes:
    """What was kept before the offset `end`, of an excerpt that was read from the other offset on."""
    return b"".join(data[: max(0, end - start)] for start, data in _pieces(excerpt, offset))


class _Clock:
    """Tells when bytes were written, for offsets that only grow."""

    def __init__(self, marks: Sequence[Mark]) -> None:
        self._marks = marks
        self._next = 0

    def at(self, offset: int) -> int | None:
        while self._next < len(self._marks) and self._marks[self._next][0] <= offset:
            self._next += 1
        return self._marks[self._next - 1][1] if self._next else None


def _index(section: Section, row: _Row) -> int:
    return (row[0] - section.first) // BLOCK


def _fitting(runs: list[Run]) -> list[Run]:
    """So much of a line as is shown."""
    length = sum(len(text) for text, _ in runs)
    if length <= LONGEST:
        return runs
    room, kept = LONGEST, []
    for text, style in runs:
        kept.append((text[:room], style))
        room -= len(text)
        if room <= 0:
            break
    return [*kept, (f" … ({length - LONGEST:,} more characters: see the raw log)", PLAIN)]


def _plain(runs: list[Run]) -> list[Run]:
    return [("".join(text for text, _ in runs), PLAIN)]


def _pieces(excerpt: Excerpt, offset: int) -> list[_Piece]:
    """What was read from an offset on: one piece, or with a gap two; an empty one, where the gap comes first."""
    if excerpt.gap is None:
        return [(offset, excerpt.data)]
    head = max(0, excerpt.gap[0] - offset)
    return [(offset, excerpt.data[:head]), (excerpt.gap[1], excerpt.data[head:])]


def _rows(pieces: Sequence[_Piece], begin: Place) -> tuple[list[_Row], int, int]:
    """The lines, and where the log goes on: the offset and number of the line that has not ended, or of the next."""
    rows: list[_Row] = []
    offset, number = begin.offset, begin.number
    for which, (start, data) in enumerate(pieces):
        if which:
            number += bool(rows) and rows[-1][0] == number  # the line whose end is missing
            rows.append((number, rows[-1][1] if rows else start, None))
        offset = start
        *whole, rest = data.split(b"\n")
        for row in whole:
            rows.append((number, offset, row))
            number += 1
            offset += len(row) + 1
        if rest:
            rows.append((number, offset, rest))
    return rows, offset, number


def _colourless(rows: Sequence[_Row]) -> int:
    """The number of the last line that has to go without its colours; 0 where all may have them."""
    left = COLOURED
    for number, _, data in reversed(rows):
        left -= 0 if data is None else data.count(b"\x1b[") - sum(map(data.count, terminal.RESETS))
        if left < 0:
            return number
    return 0


def _before_last(data: bytes, most: int) -> int:
    """How many bytes come before the last lines."""
    least = data.find(b"\n", len(data) - LARGEST - 1) if len(data) > LARGEST else -1
    place = len(data) - data.endswith(b"\n")
    for _ in range(most):
        place = data.rfind(b"\n", 0, place)
        if place <= least:
            break
    return max(place, least) + 1


def _pass(pieces: list[_Piece], place: Place, length: int) -> Place:
    """Take so many bytes away from the pieces; answers where what is left of them begins."""
    number, style = place.number, place.style
    while pieces:
        start, data = pieces[0]
        passed = data[:length]
        number, style = number + passed.count(b"\n"), terminal.after(passed, style)
        if length < len(data):
            pieces[0] = (start + length, data[length:])
            break
        number += bool(data) and not data.endswith(b"\n")
        length -= len(data)
        del pieces[0]
    return Place(pieces[0][0] if pieces else place.offset, number, style=style)
