"""Log view: whatever a script writes becomes HTML that is whole, says the same, and does nothing."""

from __future__ import annotations

import re
from html.parser import HTMLParser

from hypothesis import example, given
from hypothesis import strategies as st

from fastdeploy_bot.core.output import loglines
from fastdeploy_bot.core.output.loglines import Drawing
from fastdeploy_bot.core.output.logparts import Part
from fastdeploy_bot.core.output.logs import Excerpt
from fastdeploy_bot.web.drawing import colours, logview
from fastdeploy_bot.web.drawing.logview import Step

TAGS = {
    "details": {"class", "id", "open"},
    "summary": set(),
    "bdi": set(),
    "div": {"class", "id", "data-block"},
    "span": {"class", "aria-hidden"},
    "a": {"id", "href", "tabindex", "data-at"},
}
NAME = '<b onclick="x">&amp;\'\u202e'
PIECES = [
    "\n",
    "\r",
    "\x1b[31m",
    "\x1b[0m",
    "\x1b[1;44m",
    "\x1b[7;38;2;1;2;3m",
    "<script>",
    "&lt;",
    '"',
    "\x1b]8;;x\x07",
    "é",
]
LOG = st.lists(st.one_of(st.text(max_size=4), st.sampled_from(PIECES))).map(lambda found: "".join(found).encode())
STYLES = set(re.findall(r"\.([a-z]+\d*)\{", colours.stylesheet()))


class Reader(HTMLParser):
    """Reads HTML as a browser does, and knows that each element was closed and is one of ours."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.classes: set[str] = set()
        self.lines: list[str] = []
        self.feed(html)
        self.close()
        assert [] == self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """One of ours, with nothing on it that is not."""
        given = dict(attrs)
        assert set(given) <= TAGS[tag], (tag, attrs)
        self.open.append(tag)
        if self.open[-2:-1] == ["div"] and tag == "a":
            self.lines.append("")
        if tag == "span" and "div" in self.open and "summary" not in self.open:
            self.classes |= set((given["class"] or "").split())

    def handle_endtag(self, tag: str) -> None:
        """That of the element that was opened last."""
        assert tag == self.open.pop()

    def handle_data(self, data: str) -> None:
        """What is read of a line, without its number."""
        if "summary" not in self.open and "a" not in self.open and self.lines:
            self.lines[-1] += data


def drawn(log: bytes, edge: int) -> str:
    """A log of two parts, as HTML."""
    parts = [part for part in (Part(NAME, 0, edge), Part(None, edge, len(log))) if part.start < part.end]
    return "".join(logview.html(Drawing(Excerpt(log, len(log), None), parts), {NAME: Step(NAME, NAME)}))


@given(LOG, st.integers(0, 50))
@example(b"\x1b[31mred\x1b[m plain", 0)
def test_every_log_becomes_whole_html_of_the_same_text(log: bytes, edge: int) -> None:
    """Only our own elements and attributes, classes of the stylesheet, and line for line what can be read."""
    read = Reader(drawn(log, min(edge, len(log))))

    rows = log.removesuffix(b"\n").split(b"\n") if log else []
    assert [loglines.text(row) + "\n" for row in rows] == read.lines
    assert read.classes <= STYLES | {"gap"}


def test_the_tail_is_drawn_as_the_log() -> None:
    """In colour, escaped, without numbers."""
    tail = logview.tail(loglines.last(b"one\n\x1b[32m<two>\x1b[0m\n", 2))

    assert 'one\n<span class="f2">&lt;two&gt;\n</span>' == tail


def test_text_behind_colours_leaves_them_what_they_are() -> None:
    """Each run is escaped once, whichever comes last."""
    tail = logview.tail(loglines.last(b"<a>\x1b[32m<b>\x1b[0m<c>\n", 1))

    assert '&lt;a&gt;<span class="f2">&lt;b&gt;</span>&lt;c&gt;\n' == tail


def test_a_long_log_is_drawn_in_pieces() -> None:
    """What is there can be seen before the rest is drawn."""
    log = b"x\n" * 1_000
    pieces = list(logview.html(Drawing(Excerpt(log, len(log), None), [Part(None, 0, len(log))]), {}))

    assert 1_000 // loglines.BLOCK == sum(piece.startswith('<div class="lines full"') for piece in pieces)
