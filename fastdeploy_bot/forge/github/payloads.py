"""Payloads: what GitHub sends, reduced to the words that decide. Pure: bytes in, words out.

Only the fields needed are read and everything else is tolerated: optional keys really are absent at times.
Source: https://docs.github.com/en/webhooks/webhook-events-and-payloads
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from http import HTTPStatus
from typing import Final, Protocol, TypeVar
from urllib.parse import parse_qs

import msgspec

from fastdeploy_bot import words
from fastdeploy_bot.errors import Conflict, FastdeployError, Malformed
from fastdeploy_bot.forge.github import commits, subjects
from fastdeploy_bot.forge.github.commits import Listed
from fastdeploy_bot.forge.github.shapes import FULL_NAME, SHA, Integer, Line, Ref, Sha, Time, loosely
from fastdeploy_bot.forge.github.subjects import Fields
from fastdeploy_bot.words import Push, Webhook

T = TypeVar("T")

MOST_COMMITS: Final = 2_048
"""GitHub lists no more than these, so a list of that length may be cut."""
MOST_FILES: Final = 3_000
"""Of a commit, likewise."""
LONGEST_ACTOR: Final = 100
KEPT_HEADERS: Final = ("user-agent", "content-type")

_GUID: Final = re.compile(r"[A-Za-z0-9._-]{1,100}")
_EVENT: Final = re.compile(r"[a-z0-9_]{1,100}")  # digits too: projects_v2_item
_SKIP: Final = re.compile(r"\[(?:skip deploy|deploy skip|skip ci)\]", re.IGNORECASE)


class UnsupportedContent(FastdeployError):
    """The payload is neither JSON nor a form."""

    status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE


class Headers(Protocol):
    """A request's headers: a mapping, or what a web framework has in its place."""

    def items(self) -> Iterable[tuple[str, str]]:
        """Each name with its value."""


class Author(msgspec.Struct, frozen=True):
    """Who wrote a commit."""

    name: str


class Commit(msgspec.Struct, frozen=True, kw_only=True):
    """A commit as a push lists it."""

    id: str
    message: str
    author: Author | None = None
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    modified: tuple[str, ...] = ()


class _Person(msgspec.Struct, frozen=True):
    login: str | None = None
    name: str | None = None
    username: str | None = None


class _Repository(msgspec.Struct, frozen=True):
    id: Integer
    full_name: str | None = None
    name: str | None = None
    owner: _Person | None = None
    default_branch: Line | None = None
    master_branch: Line | None = None
    pushed_at: Integer | Time | None = None
    """A number in pushes, text in everything else."""


class _Commit(msgspec.Struct, frozen=True):
    id: msgspec.Raw = msgspec.Raw()
    message: msgspec.Raw = msgspec.Raw()
    author: msgspec.Raw = msgspec.Raw()  # these three decide nothing: whatever stands there is no reason to refuse it
    added: list[str] | None = None
    removed: list[str] | None = None
    modified: list[str] | None = None


class _Head(msgspec.Struct, frozen=True):
    id: str | None = None
    message: str | None = None


class _Push(msgspec.Struct, frozen=True):
    ref: Ref
    before: Sha
    after: Sha
    repository: _Repository
    created: bool | None = None
    deleted: bool | None = None
    forced: bool | None = None
    commits: list[_Commit] | None = None
    head_commit: _Head | None = None
    pusher: _Person | None = None
    sender: _Person | None = None


# Built once: making one costs more than it takes to decode a small payload.
_push_decoder: Final = msgspec.json.Decoder(_Push)
_other_decoder: Final = msgspec.json.Decoder(Fields)
_text_decoder: Final = msgspec.json.Decoder(str)
_person_decoder: Final = msgspec.json.Decoder(_Person)


def document(content_type: str | None, body: bytes) -> bytes:
    """The JSON document in a body; of a form, its `payload`. Raises UnsupportedContent, Malformed."""
    kind = (content_type or "").partition(";")[0].strip().lower()
    if kind == "application/json":
        return body
    if kind != "application/x-www-form-urlencoded":
        got = f"not {kind[:80]!r}" if kind else "and it came with none"
        raise UnsupportedContent(f"set the webhook's content type to application/json, {got}")
    try:
        fields = parse_qs(body.decode(), errors="strict", max_num_fields=10)
    except ValueError as error:
        raise Malformed(f"the form cannot be read: {error}") from error
    if "payload" not in fields:
        raise Malformed("the form has no field `payload`: set the webhook's content type to application/json")
    return fields["payload"][0].encode()


def parse(document: bytes, headers: Headers) -> Webhook:
    """A delivery from its document and headers; names of headers in any case.

    Raises Malformed with what is wrong and where; in anything but a push, no key can be wrong.
    """
    named = {name.lower(): value for name, value in headers.items()}
    event = _header(named, "X-GitHub-Event", _EVENT)
    guid = _header(named, "X-GitHub-Delivery", _GUID)
    return _of_push(guid, document, headers) if event == "push" else _of_other(guid, event, document, headers)


def _of_push(guid: str, document: bytes, headers: Headers) -> Webhook:
    push = _push(document)
    return Webhook(
        guid=guid,
        event="push",
        action=None,
        repository_id=push.repository_id,
        repository=push.repository,
        headers=keep(headers),
        body=document,
        push=push,
    )


def _of_other(guid: str, event: str, document: bytes, headers: Headers) -> Webhook:
    fields = _decode(_other_decoder, document)
    seen = subjects.repository(fields)
    return Webhook(
        guid=guid,
        event=event,
        action=subjects.action(fields),
        repository_id=None if seen is None else seen.id,
        repository=None if seen is None else seen.full_name,
        headers=keep(headers),
        body=document,
        push=None,
        sender=subjects.sender(fields),
        sha=subjects.sha(event, fields),
        about=subjects.subject(event, fields),
    )


def kept_push(document: bytes, *, event: str, guid: str) -> Push:
    """The push in a delivery's kept document. Raises Conflict where the event was no push."""
    push = parse(document, {"X-GitHub-Event": event, "X-GitHub-Delivery": guid}).push
    if push is None:
        raise Conflict(f"delivery {guid} is a {event} event: only pushes can be replayed")
    return push


def keep(headers: Headers) -> dict[str, str]:
    """The headers worth keeping; no signature, no cookie, no token."""
    return {
        name: value
        for name, value in headers.items()
        if name.lower().startswith("x-github-") or name.lower() in KEPT_HEADERS
    }


def push_document(
    *,
    repository: str,
    repository_id: int,
    before: str,
    after: str,
    pushed_at: int,
    ref: str = "refs/heads/main",
    title: str = "",
    actor: str = "",
    default_branch: str = "main",
    listed: Sequence[Commit] = (),
    head: Commit | None = None,
) -> bytes:
    """A push as GitHub would send it, with what decides and little more.

    `pushed_at` in Unix seconds; its commits are listed oldest first, the last is the head. Without them the head is
    `head`, or `after` with the title as its message, and the files touched are left open: path filters let it pass.
    """
    owner, _, name = repository.partition("/")
    gone = _nothing(after)
    last = listed[-1] if listed else head or Commit(id=after, message=title)
    return msgspec.json.encode(
        {
            "ref": ref,
            "before": before,
            "after": after,
            "created": _nothing(before),
            "deleted": gone,
            "forced": False,
            "commits": list(listed),
            "head_commit": None if gone else last,
            "repository": {
                "id": repository_id,
                "name": name,
                "full_name": repository,
                "owner": {"login": owner, "name": owner},
                "default_branch": default_branch,
                "pushed_at": pushed_at,
            },
            "pusher": {"name": actor},
            "sender": {"login": actor},
        }
    )


def _header(headers: Mapping[str, str], name: str, shape: re.Pattern[str]) -> str:
    value = headers.get(name.lower())
    if value is None:
        raise Malformed(f"header {name}: missing, GitHub sends it with every webhook")
    if not shape.fullmatch(value):
        raise Malformed(f"header {name}: GitHub would not send {value[:40]!r}")
    return value


def _decode(decoder: msgspec.json.Decoder[T], document: bytes) -> T:
    try:
        document.decode()  # msgspec does not look into the strings that it skips
        return decoder.decode(document)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(f"the payload cannot be read: {error}") from error


def _push(document: bytes) -> Push:
    told = _decode(_push_decoder, document)
    return Push(
        repository_id=told.repository.id,
        repository=_full_name(told.repository),
        default_branch=told.repository.default_branch or told.repository.master_branch,
        ref=told.ref,
        before=told.before,
        after=told.after,
        commit=_commit(told),
        created=_created(told),
        deleted=_deleted(told),
        forced=bool(told.forced),
        pushed_at=_seconds(told.repository.pushed_at),
        actor=_actor(told),
        title=_title(told.head_commit),
        skip=_skip(told.head_commit),
        paths=_paths(told),
        commits=_commits(told),
        size=_size(told),
    )


def _full_name(repository: _Repository) -> str:
    """`owner/name`; of an old server, from its two parts."""
    owner = repository.owner or _Person()
    name = repository.full_name or f"{owner.login or owner.name or ''}/{repository.name or ''}"
    if not FULL_NAME.fullmatch(name):
        raise Malformed(f"repository.full_name: expected owner/name, got {name[:80]!r}")
    return name


def _commit(told: _Push) -> str:
    """The commit to deploy: an annotated tag's `after` names the tag, its head commit the commit."""
    head = told.head_commit and told.head_commit.id
    return head if head and told.ref.startswith("refs/tags/") and SHA.fullmatch(head) else told.after


def _created(told: _Push) -> bool:
    return bool(told.created) or _nothing(told.before)


def _deleted(told: _Push) -> bool:
    return bool(told.deleted) or _nothing(told.after)


def _nothing(sha: str) -> bool:
    """Whether it is the zeros that stand for no object, as long as this repository's shas are."""
    return not sha.strip("0")


def _seconds(moment: int | datetime | None) -> int | None:
    return int(moment.timestamp()) if isinstance(moment, datetime) else moment


def _actor(told: _Push) -> str:
    sender, pusher = told.sender or _Person(), told.pusher or _Person()
    return commits.shown(sender.login or pusher.name or pusher.username or "", LONGEST_ACTOR)


def _title(head: _Head | None) -> str:
    return commits.title((head and head.message) or "")


def _commits(told: _Push) -> tuple[words.Commit, ...]:
    """The newest of the commits that the push lists, oldest first."""
    return commits.kept(_listed(each) for each in (told.commits or [])[-commits.MOST_KEPT :])


def _listed(told: _Commit) -> Listed:
    id, message = (loosely(_text_decoder, raw) or "" for raw in (told.id, told.message))
    author = loosely(_person_decoder, told.author) or _Person()
    return Listed(id, message, author.name or "")


def _size(told: _Push) -> int | None:
    """How many commits the push put on top of `before`; None where it lists none, or maybe not all."""
    count = len(told.commits or ())
    alone = not (_created(told) or _deleted(told) or told.forced)
    return count if alone and 0 < count < MOST_COMMITS else None


def _skip(head: _Head | None) -> str:
    """The first phrase anywhere in the message that asks for no deployment."""
    found = _SKIP.search((head and head.message) or "")
    return found[0].lower() if found else ""


def _paths(told: _Push) -> tuple[str, ...] | None:
    """Every file the push touched; None where the payload cannot say, as when it names none at all."""
    listed = told.commits
    if _created(told) or _deleted(told) or told.forced or not listed or len(listed) >= MOST_COMMITS:
        return None
    lists = [_files(each) for each in listed]
    if None in lists:
        return None
    return tuple(sorted({path for files in lists for path in files or ()}))


def _files(commit: _Commit) -> list[str] | None:
    """Every file that a commit touched; None where the payload cannot say.

    Nothing at all is listed of commits that are too large to be looked at in time, as well as of empty ones.
    """
    lists = (commit.added, commit.removed, commit.modified)
    files = [path for listed in lists for path in listed or ()]
    return None if None in lists or not 0 < len(files) < MOST_FILES else files
