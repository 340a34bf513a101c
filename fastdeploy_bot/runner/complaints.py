"""Complaints: what the words mean with which git gives up. Pure."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final


class Trouble(StrEnum):
    """What kind of help a failed checkout needs."""

    LATER = "later"
    """The same may succeed at another time."""
    MISSING = "missing"
    """The repository has no such commit, or not yet on the server that was asked."""
    MOVED = "moved"
    """The repository has another name now."""
    DENIED = "denied"
    """The token was refused, or there is no such repository for whoever asks."""
    BROKEN = "broken"
    """What lies on this disk cannot be used."""
    UNKNOWN = "unknown"


_MEANINGS: Final = {
    Trouble.BROKEN: re.compile(
        r"not a git repository|bad object|bad tree object|bad config|missing (blob|tree|commit)|broken link|"
        r"object file \S+ is empty|loose object|packfile \S+|index file \S+|unable to read|inflate: data stream error|"
        r"did not send all necessary objects|unable to parse object|invalid sha1 pointer",
        re.IGNORECASE,
    ),
    Trouble.LATER: re.compile(
        r"could not resolve|failed to connect|couldn't connect|connection|timed out|empty reply|SSL|TLS|RPC failed|"
        r"returned error: (408|429|5[0-9][0-9])|operation too slow|early EOF|hung up|unexpected disconnect|"
        r"the remote end|bad line length|protocol error|expected (flush|'packfile')|invalid index-pack|"
        r"no space left|disk quota|cannot allocate|unable to create thread",
        re.IGNORECASE,
    ),
    Trouble.MISSING: re.compile(r"not our ref|couldn't find remote ref|not a valid (object|SHA1)|nonexistent object"),
    Trouble.MOVED: re.compile(r"returned error: 30[0-9]|unable to update url base"),
    Trouble.DENIED: re.compile(
        r"could not read (Username|Password)|Authentication failed|"
        r"returned error: 4[0-9][0-9]|repository '.*' not found",
    ),
}
"""In the order in which they are looked for: a broken mirror may well complain of the other side."""


_ADDRESS: Final = re.compile(r"'https?://[^']*'")
_REMOTE: Final = re.compile(r"^remote: .*$", re.MULTILINE)


def meaning(said: str) -> Trouble:
    """What git's words on its way out say is wrong; names of repositories and what a server prints say nothing."""
    plain = _REMOTE.sub("", _ADDRESS.sub("'…'", said))
    return next((trouble for trouble, words in _MEANINGS.items() if words.search(plain)), Trouble.UNKNOWN)
