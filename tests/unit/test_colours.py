"""Colours: what a log's text looks like can be read, in both themes."""

from __future__ import annotations

import re
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastdeploy_bot.core.output.terminal import Style
from fastdeploy_bot.web import assets
from fastdeploy_bot.web.drawing import colours
from fastdeploy_bot.web.drawing.colours import Rgb

PAGE = (assets.FOLDER / "fastdeploy.css").read_text()
SHEET = colours.stylesheet()
COLOUR = st.none() | st.integers(0, 255)
STYLES = st.builds(Style, fg=COLOUR, bg=COLOUR, bold=..., faint=..., italic=..., underline=..., inverse=..., strike=...)
PAIR = r"light-dark\((#\w+), ?(#\w+)\)"


def rgb(text: str) -> Rgb:
    """A colour as stylesheets write it."""
    digits = text.removeprefix("#")
    red, green, blue = bytes.fromhex(digits if len(digits) == 6 else "".join(each * 2 for each in digits))
    return red, green, blue


def variable(name: str) -> tuple[Rgb, Rgb]:
    """A colour of the page, in the light and in the dark theme."""
    found = re.search(rf"--{name}: {PAIR}", PAGE)
    assert found, name
    return rgb(found[1]), rgb(found[2])


def test_the_contrast_is_that_of_the_guidelines() -> None:
    """Black on white, and the examples that everybody knows."""
    assert 21 == pytest.approx(colours.contrast((0, 0, 0), (255, 255, 255)))
    assert 4.54 == pytest.approx(colours.contrast(rgb("#767676"), rgb("#fff")), abs=0.01)
    assert 1 == pytest.approx(colours.contrast(rgb("#123456"), rgb("#123456")))


@pytest.mark.parametrize(("theme", "ground"), list(product((0, 1), ("raised", "mark"))))
def test_all_colours_of_text_can_be_read(theme: int, ground: str) -> None:
    """On the log's ground, and on that of the line to which an address leads."""
    basic = re.findall(rf"--f\d+:{PAIR}", SHEET)
    others = re.findall(rf"\.f\d+{{color:{PAIR}}}", SHEET)
    assert (16, 240) == (len(basic), len(others))

    low = [pair for pair in basic + others if colours.contrast(rgb(pair[theme]), variable(ground)[theme]) < 4.5]

    assert [] == low


def test_text_on_a_coloured_ground_can_be_read() -> None:
    """Whatever colour was asked for: yellow on white becomes black on white."""
    pairs = re.findall(r"\.g\d+{background:(#\w+);color:(#\w+)}", SHEET)

    assert 256 == len(pairs)
    assert [] == [pair for pair in pairs if colours.contrast(rgb(pair[0]), rgb(pair[1])) < 4.5]
    assert "g15" == colours.classes(Style(fg=11, bg=15))


@pytest.mark.parametrize("theme", [0, 1])
def test_what_stands_out_without_a_colour_can_be_read(theme: int) -> None:
    """Faint text, and text whose colours are swapped."""
    for ground, text in (("raised", "soft"), ("mark", "soft"), ("text", "page")):
        assert colours.contrast(variable(ground)[theme], variable(text)[theme]) >= 4.5


@pytest.mark.parametrize(
    ("style", "classes"),
    [
        (Style(), ""),
        (Style(fg=1, bold=True), "f1 bold"),
        (Style(fg=1, inverse=True), "g1"),
        (Style(bg=4, inverse=True), "inverse"),
        (Style(bg=4, fg=3, inverse=True), "g3"),
        (Style(inverse=True, underline=True, strike=True), "inverse underline strike"),
        (Style(faint=True, italic=True), "faint italic"),
        (Style(faint=True, fg=208), "f208"),
    ],
)
def test_a_style_has_classes(style: Style, classes: str) -> None:
    """What would make coloured text hard to read is left out."""
    assert classes == colours.classes(style)


@given(STYLES)
def test_every_class_is_in_the_stylesheet(style: Style) -> None:
    """A closed set; at most one of them gives a colour."""
    found = colours.classes(style).split()

    assert all(f".{name}{{" in SHEET for name in found)
    assert 1 >= sum(re.fullmatch(r"[fg]\d+|faint|inverse", name) is not None for name in found)
