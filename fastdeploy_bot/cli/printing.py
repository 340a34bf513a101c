"""Printing: one word, glyph and colour per state, tables that fit, and no control characters from outside."""

from __future__ import annotations

import os
import re
import shutil
import sys
import unicodedata
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import click
import msgspec

from fastdeploy_bot.words import GLYPHS

if TYPE_CHECKING:  # every command loads this module, and not every one needs rows
    from fastdeploy_bot.core.telling.views import DeploymentView, ServiceView, StepView

COLOURS: Final = {
    "waiting": "yellow", "running": "cyan", "success": "green", "failure": "red", "lost": "magenta",
}  # fmt: skip

_MOVES: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Unicode's categories of what moves the cursor, changes the terminal, or turns the direction of text."""
_RAW_IN_JSON: Final = re.compile("[\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")


def show(value: Any) -> None:
    """Print a value as JSON (Any: whatever msgspec encodes), its control characters escaped."""
    text = msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
    click.echo(_RAW_IN_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", text))


def clean(text: str) -> str:
    """A text from outside, in one line: what could steer a terminal is replaced."""
    return "".join("�" if unicodedata.category(each) in _MOVES else each for each in text)


def say(text: str) -> None:
    """Print a line, cleaned."""
    click.echo(clean(text))


def warn(text: str) -> None:
    """Print each line on standard error, cleaned, with the command's name before it."""
    for line in text.splitlines():
        click.echo(f"fastdeploy: {clean(line)}", err=True)


def marked(state: str, text: str) -> str:
    """The state's glyph and a cleaned text behind it; the glyph is coloured on terminals that want that."""
    glyph = GLYPHS.get(state, "·")
    if state in COLOURS and coloured():
        glyph = click.style(glyph, fg=COLOURS[state])
    return f"{glyph} {clean(text)}"


def coloured() -> bool:
    """Whether colours are wanted.

    Source: https://no-color.org
    """
    return rewrites() and not os.environ.get("NO_COLOR")


def rewrites() -> bool:
    """Whether standard output is a terminal on which lines can be written anew."""
    return sys.stdout.isatty() and os.environ.get("TERM", "") != "dumb"


def columns() -> int:
    """The width of the terminal."""
    return shutil.get_terminal_size().columns


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows in columns; on a terminal too narrow for that, each row as a paragraph."""
    cells = [[clean(cell) for cell in row] for row in rows]
    widths = [max(map(width, column)) for column in zip(head, *cells, strict=True)]
    if sys.stdout.isatty() and sum(widths) + 2 * (len(widths) - 1) > columns():
        for row in cells:
            _paragraph(head, row)
        return
    for row in ([*head], *cells):
        line = "  ".join(cell + " " * (most - width(cell)) for cell, most in zip(row, widths, strict=True))
        click.echo(line.rstrip())


def width(text: str) -> int:
    """How many columns of a terminal a cleaned text takes."""
    return sum(_width(each) for each in text)


def fitting(text: str, most: int) -> str:
    """As much of a cleaned text as fits into so many columns."""
    while text and width(text) > most:
        text = text[:-1]
    return text


def line(view: DeploymentView) -> str:
    """A deployment in one line."""
    title = f" “{view.title}”" if view.title else ""
    again = f"{view.origin} {'to' if view.origin == 'rollback' else 'of'} #{view.parent}" if view.parent else ""
    stopping = "asked to stop" if view.cancelling else ""
    parts = (f"{view.service} #{view.id} {view.state} {view.sha[:7]}{title}", view.ref, again, stopping, view.reason)
    return marked(view.state, " · ".join(filter(None, parts)))


def lock(view: ServiceView) -> str:
    """By whom a service is locked, why and until when; empty where it is not."""
    if view.lock is None:
        return ""
    end = f" (until {view.lock.until})" if view.lock.until else ""
    return f"locked by {view.lock.by}: {view.lock.reason}{end}"


def step_line(step: StepView) -> str:
    """A step in one line, with the time it took."""
    took = between(step.started, step.finished)
    spent = f" {took}" if took and step.state != "skipped" else ""
    return f"  {marked(step.state, f'{step.name} {step.state}{spent} {step.message}'.rstrip())}"


def duration(seconds: float) -> str:
    """A duration as `1h 2m`, `1m 12s` or `41s`."""
    whole = int(seconds)
    if whole >= 3_600:
        return f"{whole // 3_600}h {whole % 3_600 // 60}m"
    return f"{whole // 60}m {whole % 60}s" if whole >= 60 else f"{whole}s"


def between(begin: str | None, end: str | None) -> str:
    """The time between two moments; empty where one of them is not known."""
    if begin is None or end is None:
        return ""
    return duration(max(0.0, (datetime.fromisoformat(end) - datetime.fromisoformat(begin)).total_seconds()))


def _paragraph(head: Sequence[str], row: Sequence[str]) -> None:
    click.echo(row[0])
    for name, cell in zip(head[1:], row[1:], strict=True):
        if cell:
            click.echo(f"  {name.lower()}: {cell}")


def _width(letter: str) -> int:
    if unicodedata.combining(letter):
        return 0
    return 2 if unicodedata.east_asian_width(letter) in "WF" else 1
