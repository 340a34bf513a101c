"""Colours: how a log's styles are drawn, as classes of a stylesheet that is made from numbers. Pure.

Text keeps a contrast of at least 4.5 to 1 (WCAG 2.2, 1.4.3) on all that a log stands on, in both themes: colours that
would not are made darker or lighter until they do. On a coloured ground the text is black or white, whatever colour
was asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Final

from fastdeploy_bot.core.output import terminal
from fastdeploy_bot.core.output.terminal import Style

Rgb = tuple[int, int, int]

ENOUGH: Final = 4.5
BLACK: Final = (0, 0, 0)
WHITE: Final = (255, 255, 255)
PAPER: Final = ("f6f8fa", "fff8c5")
NIGHT: Final = ("161b22", "3b2e00")
"""What a log's text stands on in the light and in the dark theme: `--raised` and `--mark` of the page's stylesheet."""
ON_PAPER: Final = (
    *("24292f", "cf222e", "116329", "7d5a00", "0550ae", "8250df", "1b7c83", "57606a"),
    *("6e7781", "a40e26", "1a7f37", "633c01", "0969da", "6639ba", "0e5f66", "424a53"),
)
AT_NIGHT: Final = (
    *("8b949e", "ff7b72", "3fb950", "d29922", "58a6ff", "bc8cff", "39c5cf", "b1bac4"),
    *("9ea7b3", "ffa198", "56d364", "e3b341", "79c0ff", "d2a8ff", "56d4dd", "ffffff"),
)
"""The colours 0 to 15: black, red, green, yellow, blue, magenta, cyan, white; and once more, bright."""
GROUNDS: Final = (
    *("000000", "cd3131", "0dbc79", "e5e510", "2472c8", "bc3fbc", "11a8cd", "e5e5e5"),
    *("666666", "f14c4c", "23d18b", "f5f543", "3b8eea", "d670d6", "29b8db", "ffffff"),
)
"""The same as grounds, in both themes."""
_LOOKS: Final = {
    "bold": "font-weight:700",
    "faint": "color:var(--soft)",
    "italic": "font-style:italic",
    "underline": "text-decoration:underline",
    "strike": "text-decoration:line-through",
    "inverse": "background:var(--text);color:var(--page)",
}
_LINES: Final = ".underline.strike{text-decoration:underline line-through}"


@lru_cache(maxsize=4_096)
def classes(style: Style) -> str:
    """The classes of text in that style, of those that the stylesheet has; empty for plain text."""
    fg, bg = (style.bg, style.fg) if style.inverse else (style.fg, style.bg)
    coloured = bg is not None or fg is not None
    found = [
        f"g{bg}" if bg is not None else f"f{fg}" if fg is not None and not style.inverse else "",
        "inverse" if style.inverse and bg is None else "",
        "faint" if style.faint and not coloured and not style.inverse else "",
        *(name for name in ("bold", "italic", "underline", "strike") if getattr(style, name)),
    ]
    return " ".join(name for name in found if name)


def stylesheet() -> str:
    """A class for each colour of text (`f0` to `f255`), of its ground (`g0` to `g255`), and for each other look."""
    return "".join(_rules())


def contrast(one: Rgb, other: Rgb) -> float:
    """The contrast of two colours, 1 to 21. Source: WCAG 2.2, contrast ratio."""
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


def _rules() -> Iterator[str]:
    paper, night = _parsed(PAPER), _parsed(NIGHT)
    light = [_readable(each, paper, BLACK) for each in (*_parsed(ON_PAPER), *_OTHERS)]
    dark = [_readable(each, night, WHITE) for each in (*_parsed(AT_NIGHT), *_OTHERS)]
    pairs = [f"light-dark({_hex(one)},{_hex(other)})" for one, other in zip(light, dark, strict=True)]
    yield ":root{" + "".join(f"--f{number}:{pair};" for number, pair in enumerate(pairs[:16])) + "}"
    for name, look in _LOOKS.items():
        yield f".{name}{{{look}}}"
    yield _LINES
    for number, pair in enumerate(pairs):
        yield f".f{number}{{color:{f'var(--f{number})' if number < 16 else pair}}}"
    for number, ground in enumerate((*_parsed(GROUNDS), *_OTHERS)):
        text = max((BLACK, WHITE), key=lambda each: contrast(each, ground))
        yield f".g{number}{{background:{_hex(ground)};color:{_hex(text)}}}"


def _readable(colour: Rgb, grounds: Sequence[Rgb], towards: Rgb) -> Rgb:
    """The colour, or what is nearest to it on the way to black or white and can be read."""
    mixed = colour
    for part in range(1, 101):
        if min(contrast(mixed, ground) for ground in grounds) >= ENOUGH:
            break
        red, green, blue = (round(a + (b - a) * part / 100) for a, b in zip(colour, towards, strict=True))
        mixed = (red, green, blue)
    return mixed


def _luminance(colour: Rgb) -> float:
    parts = (each / 255 for each in colour)
    red, green, blue = (each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _parsed(colours: Sequence[str]) -> list[Rgb]:
    return [(int(each[:2], 16), int(each[2:4], 16), int(each[4:], 16)) for each in colours]


def _hex(colour: Rgb) -> str:
    digits = bytes(colour).hex()
    return f"#{digits[::2]}" if digits[::2] == digits[1::2] else f"#{digits}"


_OTHERS: Final = [terminal.rgb(number) for number in range(16, 256)]
