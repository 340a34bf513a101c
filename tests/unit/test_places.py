"""Places: the lines of files that a log names, and nothing that only looks like one."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastdeploy_bot.forge.github import places
from fastdeploy_bot.forge.github.places import Place


@pytest.mark.parametrize(
    ("path", "line", "text"),
    [
        ("api/views.py", 12, "api/views.py:12:5: E501 line too long"),
        ("src/app/main.py", 7, '  File "src/app/main.py", line 7, in <module>'),
        ("x/y.ts", 3, "./x/y.ts:3 - error"),
        ("main.go", 10, "main.go:10:2: undefined: x"),
        ("src/index.js", 10, "    at run (src/index.js:10:3)"),
        ("lib/x.rb", 12, "lib/x.rb:12:in `run'"),
        ("node_modules/@a/b.js", 3, "node_modules/@a/b.js:3"),
    ],
)
def test_a_place_is_found_as_tools_write_it(path: str, line: int, text: str) -> None:
    """With what was said of it."""
    assert [Place(path, line, text.strip())] == places.found([text])


@pytest.mark.parametrize(
    "text",
    [
        "../x.py:4",
        "a/../../b.py:3",
        "/usr/lib/x.py:4",
        'File "/usr/lib/python3/x.py", line 3',
        "~/x/y.py:3",
        "C:\\x\\y.py:3",
        "http://example.com:443/",
        "https://example.com/x.py:3",
        "db.example.com:5432",
        "12.5:30",
        "12:30:01.1",
        "tests/test_a.py::test_x",
        "x.py:0",
        "x.py:99999999",
        "x.py:12a",
        f"{'x' * 400}.py:1",
        "",
    ],
)
def test_nothing_else_is(text: str) -> None:
    """No absolute path, none that leads out, no host, no time."""
    assert [] == places.found([text])


def test_each_place_is_named_once_and_fifty_at_most() -> None:
    """The last ones: the end of a log says why."""
    lines = [f"a.py:{number}" for number in range(1, 80)] * 2

    found = places.found(lines)

    assert [Place("a.py", number, f"a.py:{number}") for number in range(30, 80)] == found


@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=80), max_size=20))
def test_whatever_is_found_leads_nowhere_else(lines: list[str]) -> None:
    """A log is what a script likes it to be."""
    for place in places.found([*lines, *(f"{line}:3" for line in lines)]):
        assert not place.path.startswith("/")
        assert not {"..", ".", ""} & set(place.path.split("/"))
        assert 0 < place.line


@pytest.mark.parametrize("line", ["a/" * 2_000, "a." * 2_000, "a.b/" * 1_000, "a.b:" * 1_000, "." * 4_000, "a" * 4_000])
def test_no_line_takes_long(line: str) -> None:
    """However it was made up."""
    begun = time.process_time()
    places.found([line] * 200)

    assert time.process_time() - begun < 2
