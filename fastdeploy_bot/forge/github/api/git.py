"""Git data: refs, and the objects that they name.

Source: https://docs.github.com/en/rest/git
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Final
from urllib.parse import quote

import msgspec

from fastdeploy_bot.forge.github.api import conditional
from fastdeploy_bot.forge.github.api.conditional import Known
from fastdeploy_bot.forge.github.client import Answer, Client, repository_path, understood
from fastdeploy_bot.forge.github.permissions import Needs

READS: Final = Needs(contents="read")
EMPTY: Final = frozenset({HTTPStatus.CONFLICT})
"""What is said of a repository without a commit."""


class Object(msgspec.Struct, frozen=True):
    """What a ref or a tag names."""

    sha: str
    type: str
    """`commit` or `tag`; a tag can name trees and blobs, too."""


class Ref(msgspec.Struct, frozen=True):
    """A ref as GitHub lists it."""

    ref: str
    object: Object


class _Tag(msgspec.Struct, frozen=True):
    object: Object


class _Commit(msgspec.Struct, frozen=True):
    message: str


def matching_refs(
    client: Client, token: str, repository: str, prefix: str, *, before: Known[tuple[Ref, ...] | None] | None = None
) -> Known[tuple[Ref, ...] | None]:
    """Every ref whose name begins so, without `refs/`, all at once; None where the repository is empty."""
    path = f"{repository_path(repository)}/git/matching-refs/{quote(prefix, safe='/')}"
    return conditional.get(client, token, path, _refs, before=before, also=EMPTY)


def tagged(client: Client, token: str, repository: str, sha: str) -> Object:
    """What an annotated tag names, which may be a tag again."""
    data = client.call("GET", f"{repository_path(repository)}/git/tags/{quote(sha, safe='')}", token).data
    return understood(data, _Tag, "object of a tag").object


def message(client: Client, token: str, repository: str, sha: str) -> str:
    """What a commit says of itself."""
    data = client.call("GET", f"{repository_path(repository)}/git/commits/{quote(sha, safe='')}", token).data
    return understood(data, _Commit, "message of a commit").message


def _refs(answer: Answer) -> tuple[Ref, ...] | None:
    if answer.status == HTTPStatus.CONFLICT:
        return None
    return understood(answer.data, tuple[Ref, ...], "list of refs")
