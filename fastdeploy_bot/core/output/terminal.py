"""Terminal: what terminals obey in a line of output, and what of the line can be read in the end. Pure.

Colours and looks are kept as styles; all else that terminals obey is left out: the cursor, titles, the addresses of
links, bells. Source: ECMA-48; the colours by number and by their parts are xterm's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from itertools import islice
from typing import Final

import msgspec

_SEQUENCE: Final = (
    r"\x1b\[(?P<said>[0-?]*[ -/]*[@-~])"  # CSI: colours, cursor
    r"|\x1b[\]PX^_][^\x07\x1b\n]*(?:\x07|\x1b\\)?"  # OSC and other strings: titles, links
    r"|\x1b[ -/]*[0-~]?"
)
_IN_TEXT: Final = re.compile(_SEQUENCE)
_IN_BYTES: Final = re.compile(_SEQUENCE.encode())
_HIDDEN: Final = "\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069"
"""What is never shown: control characters, and those that turn the direction of what follows."""
_CONTROL: Final = re.compile(f"[{_HIDDEN}]")
_SPECIAL: Final = re.compile(f"[{_HIDDEN}\r]")
_COLOUR: Final = re.compile("\x1b\\[([0-9;:]*)m")
"""SGR, the one sequence that most logs hold."""
RESETS: Final = (b"\x1b[0m", b"\x1b[m")
"""What ends all colours and looks."""
_TO_START: Final = frozenset({"G", "0G", "1G"})
"""Moves to the line's beginning, as a carriage return does."""
_ON: Final = {1: "bold", 2: "faint", 3: "italic", 4: "underline", 7: "inverse", 9: "strike", 21: "underline"}
_OFF: Final = {22: ("bold", "faint"), 23: ("italic",), 24: ("underline",), 27: ("inverse",), 29: ("strike",)}
_MOST: Final = 65_535
"""No terminal counts further."""
_STEPS: Final = (0, 95, 135, 175, 215, 255)
"""How much red, green or blue the colours 16 to 231 have: each of these with each."""


class Style(msgspec.Struct, frozen=True, cache_hash=True):
    """How text looks. Blinking and concealed text looks like any other: a log is there to be read."""

    fg: int | None = None
    """The text's colour: 0 to 255 as xterm numbers them, of which the first 16 are what the terminal's owner likes."""
    bg: int | None = None
    bold: bool = False
    faint: bool = False
    italic: bool = False
    underline: bool = False
    inverse: bool = False
    strike: bool = False

    @property
    def marks_blanks(self) -> bool:
        """Whether a blank in it looks other than a blank."""
        return self.bg is not None or self.underline or self.inverse or self.strike


PLAIN: Final = Style()

Run = tuple[str, Style]
"""Some text that looks alike."""


def runs(row: str, style: Style) -> tuple[list[Run], Style]:
    """A line that begins in that style, as it looks in the end; and the style in which the next line begins.

    What was written over with carriage returns is left out.
    """
    if _SPECIAL.search(row) is None:
        return [(row, style)] if row else [], style
    texts = _COLOUR.split(row)
    if _SPECIAL.search("".join(texts[::2])) is None:
        return _coloured(texts, style)
    shown: list[Run] = []
    fresh: list[Run] = []
    for piece, said in _pieces(row):
        first, *others = piece.split("\r")
        fresh += _visible(first, style)
        for other in others:
            shown, fresh = fresh or shown, _visible(other, style)
        if said.endswith("m"):
            style = _applied(style, said[:-1])
        elif said in _TO_START:
            shown, fresh = fresh or shown, []
    return fresh or shown, style


def joined(found: list[Run]) -> list[Run]:
    """The same line in fewer runs: neighbours that look alike are one, and blanks look like what is before them."""
    fewer: list[Run] = []
    for text, style in found:
        before, like = fewer[-1] if fewer else ("", style)
        blank = text.isspace() and not (style.marks_blanks or like.marks_blanks)
        if fewer and (like == style or blank):
            fewer[-1] = (before + text, like)
        else:
            fewer.append((text, style))
    return fewer


def after(data: bytes, style: Style = PLAIN) -> Style:
    """The style in which goes on what follows these lines, where they began in that one."""
    reset = max(data.rfind(each) for each in RESETS)
    begin, style = (reset, PLAIN) if reset >= 0 else (0, style)
    for found in _IN_BYTES.finditer(data, begin):
        said = found["said"]
        if said is not None and said.endswith(b"m"):
            style = _applied(style, said[:-1].decode())
    return style


def written(style: Style) -> str:
    """The parameters that turn the plain style into this one: `1;31`, `38;5;208`; nothing for the plain one."""
    said = [str(number) for number, name in _ON.items() if number != 21 and getattr(style, name)]
    for lead, colour in ((38, style.fg), (48, style.bg)):
        if colour is not None:
            said.append(f"{lead};5;{colour}")
    return ";".join(said)


def read(said: str) -> Style:
    """The style that was written so."""
    return _applied(PLAIN, said) if said else PLAIN


def nearest(red: int, green: int, blue: int) -> int:
    """Which of the colours 16 to 255 is nearest to a true one."""
    cube = [min(range(6), key=lambda step: abs(_STEPS[step] - part)) for part in (red, green, blue)]
    grey = min(23, max(0, round((red + green + blue) / 3 - 8) // 10))
    candidates = (16 + 36 * cube[0] + 6 * cube[1] + cube[2], 232 + grey, 232 + min(23, grey + 1))
    return min(candidates, key=lambda number: _distance(rgb(number), (red, green, blue)))


def rgb(number: int) -> tuple[int, int, int]:
    """The red, green and blue of a colour from 16 to 255."""
    if number >= 232:
        return (8 + 10 * (number - 232),) * 3
    red, rest = divmod(number - 16, 36)
    green, blue = divmod(rest, 6)
    return _STEPS[red], _STEPS[green], _STEPS[blue]


def _distance(one: tuple[int, int, int], other: tuple[int, int, int]) -> int:
    return sum((a - b) ** 2 for a, b in zip(one, other, strict=True))


def _pieces(row: str) -> Iterator[tuple[str, str]]:
    """The line's text, and after each piece of it what a sequence says; empty for what no style comes from."""
    begin = 0
    for found in _IN_TEXT.finditer(row):
        yield row[begin : found.start()], found["said"] or ""
        begin = found.end()
    yield row[begin:], ""


def _coloured(texts: list[str], style: Style) -> tuple[list[Run], Style]:
    """The same for pieces of text with the parameters of SGR between them, and nothing else to obey."""
    found = [(texts[0], style)] if texts[0] else []
    for said, piece in zip(texts[1::2], texts[2::2], strict=True):
        style = _applied(style, said)
        if piece:
            found.append((piece, style))
    return found, style


def _visible(piece: str, style: Style) -> list[Run]:
    clean = _CONTROL.sub("", piece)
    return [(clean, style)] if clean else []


@lru_cache(maxsize=4_096)
def _applied(style: Style, said: str) -> Style:
    """The style after SGR with these parameters; what is none is passed over."""
    if not re.fullmatch("[0-9;:]*", said):
        return style
    words = iter(said.split(";"))
    for word in words:
        number, *parts = (_number(part) for part in word.split(":"))
        if number in (38, 48, 58):
            colour = _by_parts(parts) if parts else _by_words(words)
            if number != 58 and colour is not None:
                style = msgspec.structs.replace(style, **{"fg" if number == 38 else "bg": colour})
        else:
            style = _changed(style, number, parts)
    return style


def _changed(style: Style, number: int, parts: list[int]) -> Style:
    if number == 0:
        return PLAIN
    if number == 4 and parts[:1] == [0]:
        return msgspec.structs.replace(style, underline=False)
    if number in _ON:
        return msgspec.structs.replace(style, **{_ON[number]: True})
    if number in _OFF:
        return msgspec.structs.replace(style, **dict.fromkeys(_OFF[number], False))
    which, low = ("bg", number - 10) if number in range(40, 50) or number in range(100, 108) else ("fg", number)
    if low in range(30, 38):
        return msgspec.structs.replace(style, **{which: low - 30})
    if low in range(90, 98):
        return msgspec.structs.replace(style, **{which: low - 82})
    return msgspec.structs.replace(style, **{which: None}) if low == 39 else style


def _by_words(words: Iterator[str]) -> int | None:
    """The colour that the next parameters tell: `5;n` or `2;r;g;b`."""
    kind = _number(next(words, ""))
    count = {5: 1, 2: 3}.get(kind, 0)
    return _colour(kind, [_number(word) for word in islice(words, count)])


def _by_parts(parts: list[int]) -> int | None:
    """The colour that `38:5:n`, `38:2:r:g:b` or `38:2:space:r:g:b` tells."""
    kind, *values = parts
    return _colour(kind, values[-3:] if kind == 2 and len(values) == 3 else values[1:4] if kind == 2 else values[:1])


def _colour(kind: int, values: list[int]) -> int | None:
    if any(value > 255 for value in values):
        return None
    if kind == 5 and len(values) == 1:
        return values[0]
    return nearest(*values) if kind == 2 and len(values) == 3 else None


def _number(word: str) -> int:
    """A parameter, without what is told of it; one that was left out is 0."""
    return min(_MOST, int(word.partition(":")[0][:6] or "0"))
