"""Comparing commits.

Source: https://docs.github.com/en/rest/commits/commits#compare-two-commits
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import Any, Final
from urllib.parse import quote

import msgspec

from fastdeploy_bot.forge.github import commits as commits_shown
from fastdeploy_bot.forge.github.client import Client, not_understood, repository_path
from fastdeploy_bot.forge.github.commits import Listed
from fastdeploy_bot.forge.github.permissions import Needs
from fastdeploy_bot.words import Commit

READS: Final = Needs(contents="read")
MOST_FILES: Final = 300
"""GitHub lists no more than these, so a list of that length may be cut."""
LARGEST: Final = 8 << 20
"""Bytes of an answer: beside each file stands what changed in it."""


class Relation(StrEnum):
    """Where a head is, seen from its base."""

    IDENTICAL = "identical"
    AHEAD = "ahead"
    BEHIND = "behind"
    DIVERGED = "diverged"


class Comparison(msgspec.Struct, frozen=True):
    """A head, compared with its base."""

    relation: Relation
    files: tuple[str, ...] | None
    """What the head changed since the commit where it left the base, by its old name and its new one. None where
    GitHub may not have listed all."""
    ahead: int | None = None
    """How many commits the head has that the base lacks; None where GitHub does not say."""
    behind: int | None = None
    """How many the base has that the head lacks."""
    commits: tuple[Commit, ...] = ()
    """The newest of those that the head has, oldest first."""


def commits(client: Client, token: str, repository: str, base: str, head: str) -> Comparison:
    """How `head` differs from `base`; both are shas."""
    # Only without pages does the newest commit stand on the first one, together with the files.
    data = client.call("GET", _path(repository, base, head), token, largest=LARGEST).data
    return Comparison(
        _relation(data), _files(data), _count(data, "ahead_by"), _count(data, "behind_by"), _commits(data)
    )


def relation(client: Client, token: str, repository: str, base: str, head: str) -> Relation:
    """Where `head` is, seen from `base`; both are shas, or names of branches and tags."""
    # On a second page no file is listed, and what changed in them may be large.
    return _relation(client.call("GET", _path(repository, base, head), token, query={"per_page": 1, "page": 2}).data)


def _path(repository: str, base: str, head: str) -> str:
    return f"{repository_path(repository)}/compare/{quote(base, safe='')}...{quote(head, safe='')}"


def _relation(data: Any) -> Relation:  # Any: JSON is yet to be judged
    try:
        return Relation(data["status"])
    except (KeyError, TypeError, ValueError) as error:
        raise not_understood("no status of a comparison") from error


def _files(data: Any) -> tuple[str, ...] | None:
    try:
        listed = data["files"]
        names = tuple(sorted({name for each in listed for name in _names(each)}))
    except (KeyError, TypeError) as error:
        raise not_understood("no files of a comparison") from error
    return names if len(listed) < MOST_FILES else None


def _count(data: Any, name: str) -> int | None:
    count = data.get(name)
    return count if isinstance(count, int) else None


def _commits(data: Any) -> tuple[Commit, ...]:
    """They are only shown: where they are not as expected, there are none."""
    try:
        listed = [_listed(each) for each in data["commits"][-commits_shown.MOST_KEPT :]]
    except (KeyError, TypeError, AttributeError):
        return ()
    return commits_shown.kept(listed)


def _listed(commit: Any) -> Listed:
    told = commit["commit"]
    author = told.get("author") or {}
    return Listed(str(commit["sha"]), str(told["message"]), str(author.get("name") or ""))


def _names(file: Any) -> Iterator[str]:
    yield str(file["filename"])
    if "previous_filename" in file:
        yield str(file["previous_filename"])
