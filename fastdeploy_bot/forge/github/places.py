"""Places: the lines of files that a log names, such as `api/views.py:12`. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import msgspec

MOST: Final = 50
"""GitHub takes no more in one request."""
LONGEST_MESSAGE: Final = 500
LONGEST_PATH: Final = 300
LAST_LINE: Final = 10_000_000

_PLACE: Final = re.compile(
    r"""(?<![\w./\\:@+-])             # nothing that the path could be the end of: a host, an address, an absolute path
    (?P<path>(?:[\w@.+-]+/){0,40}[\w@+-][\w@.+-]*\.[A-Za-z]\w{0,15})
    (?:",\ line\ |:)                  # as Python names a line, and as all others do
    (?P<line>[1-9]\d{0,7})(?!\w)""",
    re.VERBOSE | re.ASCII,
)
_SOURCE: Final = re.compile(
    r"""bash|c|cc|cfg|conf|cpp|cs|css|cxx|dart|exs?|go|gradle|h|hpp|hs|html|ini|java|m?js|json|[jt]sx|kt|less|lua|md?|mm
    |php|pl|properties|proto|ps1|pyi?|r|rake|rb|rs|rst|sass|scala|scss|sh|sql|svelte|swift|tf|toml|ts|txt|vue|xml|ya?ml
    |zig""",
    re.VERBOSE | re.IGNORECASE,
)
"""The endings by which a name without a folder is a file's, and not a host's."""


class Place(msgspec.Struct, frozen=True):
    """A line of a file of the repository, and what was said about it."""

    path: str
    line: int
    message: str


def found(lines: list[str]) -> list[Place]:
    """The places that these lines name, each once, with the line that names it; the last ones where it is too many."""
    places: dict[tuple[str, int], str] = {}
    for line in lines:
        for path, number in _places(line):
            places.setdefault((path, number), line.strip()[:LONGEST_MESSAGE])
    every = [Place(path, number, message) for (path, number), message in places.items()]
    return every[-MOST:]


def _places(line: str) -> Iterator[tuple[str, int]]:
    for match in _PLACE.finditer(line):
        path, number = _normal(match["path"]), int(match["line"])
        if path and number <= LAST_LINE:
            yield path, number


def _normal(path: str) -> str:
    """The path as the repository has it; empty where it leads out of it, or is none."""
    parts = [part for part in path.split("/") if part != "."]
    if ".." in parts or len(path) > LONGEST_PATH or not any(character.isalpha() for character in path):
        return ""
    if len(parts) == 1 and not _SOURCE.fullmatch(parts[0].rpartition(".")[2]):
        return ""
    return "/".join(parts)
