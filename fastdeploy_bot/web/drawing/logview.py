"""Log view: the lines of a log as HTML, folded by step; alike for a whole page and for what comes after it."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

import msgspec
from markupsafe import Markup, escape

from fastdeploy_bot.core import clock
from fastdeploy_bot.core.output.loglines import Block, Drawing, Line, Section
from fastdeploy_bot.core.output.terminal import Style
from fastdeploy_bot.web.drawing import colours, display
from fastdeploy_bot.words import StepState

LONG: Final = 200
"""Of a log with more lines than these, the steps that went well are folded."""
_UNFOLDED: Final = frozenset({StepState.RUNNING, StepState.FAILURE})
_HIDDEN: Final = Markup('<p class="hint">{:,} earlier {} not shown: {}.</p>')
_COLOURLESS: Final = Markup('<p class="hint">Up to line {:,} colours are left out: browsers cannot bear so many.</p>')
IN_RAW: Final = "the raw log has what is kept"
BUSY: Final = "others are reading long logs at this moment; reload the page to see more"
_STEP: Final = Markup(
    '<details class="part" id="S{}"{}><summary><span class="glyph {}" aria-hidden="true">{}</span> <bdi>{}</bdi> '
    '<span class="soft">{}</span></summary>'
)
_BETWEEN: Final = Markup('<div class="part" id="S{}">')

_pen = threading.Lock()
"""Who draws: one at a time, for a block of lines, so that many who ask for long logs are no load on all others."""


class Step(msgspec.Struct, frozen=True):
    """What is told of a step where its lines begin."""

    state: str
    time: str


def html(drawing: Drawing, steps: Mapping[str, Step], *, hidden: str = IN_RAW) -> Iterator[str]:
    """The lines, a block at a time; the browser can show what it has while the rest is drawn.

    Where there are lines before the first that is drawn, `hidden` says what about them.
    """
    if drawing.hidden:
        lines = "line is" if drawing.hidden == 1 else "lines are"
        yield str(_HIDDEN.format(drawing.hidden, lines, hidden))
    if drawing.colourless:
        yield str(_COLOURLESS.format(drawing.colourless))
    blocks, section, end = drawing.blocks(), None, ""
    long = drawing.place.number > LONG
    while True:
        with _pen:
            block = next(blocks, None)
            lines = "" if block is None else _lines(block)
        if block is None:
            break
        if section != block.section:
            section = block.section
            yield end + _head(section, steps, long=long)
            end = "</div>" if section.name is None else "</details>"
        yield lines
    yield end


def tail(lines: list[Line]) -> Markup:
    """The last lines of a log, as they are drawn in it, but for their numbers."""
    return Markup("".join(map(_text, lines)))  # noqa: S704  # escaped there


def _head(section: Section, steps: Mapping[str, Step], *, long: bool) -> str:
    if section.name is None:
        return str(_BETWEEN.format(section.id))
    step = steps.get(section.name, Step("", ""))
    opened = Markup(" open") if not long or step.state in _UNFOLDED else ""
    count = "1 line" if section.count == 1 else f"{section.count:,} lines"
    told = f"{count} · {step.time}" if step.time else count
    return str(_STEP.format(section.id, opened, step.state, display.glyph(step.state), section.name, told))


def _lines(block: Block) -> str:
    if not block.lines:
        return ""
    full = " full" if block.full else ""
    return f'<div class="lines{full}" data-block="{block.index}">{"".join(map(_line, block.lines))}</div>'


def _line(line: Line) -> str:
    """A line: its number, and text behind that. Each element more would cost a browser as much as the text does."""
    number, time = line.number, "" if line.at is None else f' data-at="{_time(line.at // clock.SECOND)}"'
    if not number:
        return f'<span class="gap">{_text(line)}</span>'
    return f'<a id="L{number}" href="#L{number}" tabindex="-1"{time}>{number:>5} </a>{_text(line)}'


def _text(line: Line) -> str:
    """What is read of it, and the end of the line: within the last element, where it needs no node of its own."""
    if not line.runs:
        return "\n"
    *runs, (text, style) = line.runs
    return "".join(_run(*run) for run in runs) + _run(text + "\n", style)


def _run(text: str, style: Style) -> str:
    named, escaped = colours.classes(style), str(escape(text))  # as Markup, it would escape what it is added to
    return f'<span class="{named}">{escaped}</span>' if named else escaped


@lru_cache(maxsize=256)
def _time(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%H:%M:%S")
