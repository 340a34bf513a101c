"""Curves as SVG: a panel for each, side by side, in colours that can be read on white and on black. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import count
from typing import Final, NamedTuple
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 300, 220
LEFT, RIGHT, TOP, BOTTOM = 48, 10, 44, 36
"""What a panel keeps free at each of its sides."""
INDENT: Final = 20
"""What the curve keeps free of that, so that its figures stand beside those of the scale."""
NOTE: Final = 24
"""The height of what stands under all panels."""
GREY, BLUE = "#767676", "#2f81f7"
STYLE: Final = f"""<style>
text {{ font: 12px system-ui, sans-serif; fill: {GREY} }}
.name {{ font-weight: 600 }}
.end {{ text-anchor: end }}
.middle {{ text-anchor: middle }}
line {{ stroke: {GREY}; stroke-opacity: 0.35 }}
polyline {{ fill: none; stroke: {BLUE}; stroke-width: 2 }}
circle {{ fill: {BLUE} }}
</style>"""


class Panel(NamedTuple):
    """One curve: a name above it, and what it was measured at beside what was measured, in steps of equal width."""

    name: str
    points: Sequence[tuple[str, float]]


def drawn(title: str, note: str, panels: Sequence[Panel]) -> str:
    """The panels as one picture, all on the same scale, which begins at 0, and a note under them."""
    top = rounded_up(max(value for panel in panels for _, value in panel.points))
    width = WIDTH * len(panels)
    inner = [_panel(panel, WIDTH * place, top) for place, panel in enumerate(panels)]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {HEIGHT + NOTE}" role="img">',
            f"<title>{escape(title)}</title>",
            STYLE,
            *inner,
            _text(note, LEFT, HEIGHT + NOTE - 10, "note"),
            "</svg>\n",
        ]
    )


def rounded_up(value: float) -> float:
    """The next of 1, 2, 5, 10, 20, 50, … that is not less."""
    steps = (factor * 10**power for power in count() for factor in (1, 2, 5))
    return next(float(step) for step in steps if step >= value)


def _panel(panel: Panel, left: int, top: float) -> str:
    places = [_place(number, value, panel, top) for number, (_, value) in enumerate(panel.points)]
    parts = [
        _text(panel.name, LEFT, 18, "name"),
        *(part for share in (0.0, 0.5, 1.0) for part in _level(share, top)),
        f'<polyline points="{" ".join(f"{x:.0f},{y:.0f}" for x, y in places)}"/>',
    ]
    for (x, y), (at, value) in zip(places, panel.points, strict=True):
        parts += [
            f'<circle cx="{x:.0f}" cy="{y:.0f}" r="3"/>',
            _text(f"{value:,.0f}", x, y - 9, "middle"),
            _text(at, x, HEIGHT - BOTTOM + 18, "middle"),
        ]
    return "\n".join([f'<g transform="translate({left})">', *parts, "</g>"])


def _place(number: int, value: float, panel: Panel, top: float) -> tuple[float, float]:
    step = (WIDTH - LEFT - RIGHT - 2 * INDENT) / max(1, len(panel.points) - 1)
    return LEFT + INDENT + step * number, _height(value / top)


def _level(share: float, top: float) -> Iterable[str]:
    y = _height(share)
    yield f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.0f}" y2="{y:.0f}"/>'
    yield _text(f"{share * top:,.0f}", LEFT - 12, y + 4, "end")


def _height(share: float) -> float:
    return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)


def _text(text: str, x: float, y: float, name: str) -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}" class="{name}">{escape(text)}</text>'
