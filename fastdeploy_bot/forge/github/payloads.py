"""Payloads: what GitHub sends, reduced to the words that decide. Pure: bytes in, words out.

Only the fields needed are read and everything else is tolerated: optional keys really are absent at times.
Source: https://docs.github.com/en/webhooks/webhook-events-and-payloads
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import parse_qs

import msgspec

from fastdeploy_bot.errors import FastdeployError, Malformed
from fastdeploy_bot.words import ZERO_SHA, Push, Webhook

MOST_COMMITS: Final = 2_048
"""A push of more commits does not list them all."""
LONGEST_TITLE: Final = 200
KEPT_HEADERS: Final = ("user-agent", "content-type")

_SHA: Final = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_GUID: Final = re.compile(r"[A-Za-z0-9._-]{1,100}")
_EVENT: Final = re.compile(r"[a-z_]{1,100}")


class UnsupportedContent(FastdeployError):
    """The payload is neither JSON nor a form."""

    status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE


class _Person(msgspec.Struct):
    name: Any = None
    login: Any = None


class _Repository(msgspec.Struct):
    id: int
    full_name: str | None = None
    name: str | None = None
    owner: _Person | None = None
    default_branch: str | None = None
    master_branch: str | None = None
    pushed_at: int | str | None = None


class _Commit(msgspec.Struct):
    id: Any = None
    message: Any = None
    added: list[str] | None = None
    removed: list[str] | None = None
    modified: list[str] | None = None


class _Push(msgspec.Struct):
    ref: str
    before: str
    after: str
    repository: _Repository
    created: bool | None = False
    deleted: bool | None = False
    forced: bool | None = False
    commits: list[_Commit] | None = None
    head_commit: _Commit | None = None
    pusher: _Person | None = None
    sender: _Person | None = None


_push_decoder: Final = msgspec.json.Decoder(_Push)
_object_decoder: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])


def document(content_type: str | None, body: bytes) -> bytes:
    """The JSON document in a body; of a form, its `payload`. Raises UnsupportedContent, Malformed."""
    kind = (content_type or "").partition(";")[0].strip().lower()
    if kind == "application/json":
        return body
    if kind != "application/x-www-form-urlencoded":
        raise UnsupportedContent("set the webhook's content type to application/json")
    try:
        fields = parse_qs(body.decode("ascii"), strict_parsing=True, errors="strict", max_num_fields=10)
    except (UnicodeDecodeError, ValueError) as error:
        raise Malformed("the form cannot be read") from error
    if "payload" not in fields:
        raise Malformed("the form has no field `payload`")
    return fields["payload"][0].encode()


def parse(document: bytes, headers: Mapping[str, str]) -> Webhook:
    """A delivery from its document and headers. Raises Malformed with what is wrong and where."""
    event = _header(headers, "X-GitHub-Event", _EVENT)
    guid = _header(headers, "X-GitHub-Delivery", _GUID)
    fields = _fields(document)
    push = _push(document) if event == "push" else None
    repository = _loosely(fields.get("repository"), _Repository)
    return Webhook(
        guid=guid,
        event=event,
        action=_loosely(fields.get("action"), str),
        repository_id=push.repository_id if push is not None else repository and repository.id,
        repository=push.repository if push is not None else repository and _full_name(repository),
        headers=keep(headers),
        body=document,
        push=push,
    )


def keep(headers: Mapping[str, str]) -> dict[str, str]:
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
) -> bytes:
    """A push as GitHub would send it, with what decides and little more."""
    owner, _, name = repository.partition("/")
    head = {"id": after, "message": title, "added": [], "removed": [], "modified": []}
    gone = after == ZERO_SHA
    return msgspec.json.encode(
        {
            "ref": ref,
            "before": before,
            "after": after,
            "created": before == ZERO_SHA,
            "deleted": gone,
            "forced": False,
            "commits": [] if gone else [head],
            "head_commit": None if gone else head,
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
    value = headers.get(name)
    if value is None or not shape.fullmatch(value):
        raise Malformed(f"header {name}: expected as GitHub sends it, got {'none' if value is None else repr(value[:40])}")
    return value


def _fields(document: bytes) -> dict[str, msgspec.Raw]:
    try:
        return _object_decoder.decode(document)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Malformed(f"the payload is not a JSON object: {error}") from error


def _loosely(raw: msgspec.Raw | None, kind: type[Any]) -> Any:
    """A field where it has the shape hoped for, else None."""
    try:
        return None if raw is None else msgspec.json.decode(raw, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _push(document: bytes) -> Push:
    try:
        told = _push_decoder.decode(document)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(f"the push cannot be read: {error}") from error
    for name, sha in (("before", told.before), ("after", told.after)):
        if not _SHA.fullmatch(sha):
            raise Malformed(f"{name}: expected 40 hex digits, got {sha[:80]!r}")
    return Push(
        repository_id=told.repository.id,
        repository=_required_name(told.repository),
        default_branch=told.repository.default_branch or told.repository.master_branch,
        ref=_ref(told.ref),
        before=told.before,
        after=told.after,
        commit=_commit(told),
        created=bool(told.created),
        deleted=bool(told.deleted) or told.after == ZERO_SHA,
        forced=bool(told.forced),
        pushed_at=_seconds(told.repository.pushed_at),
        actor=_actor(told),
        title=_title(told.head_commit),
        paths=_paths(told),
    )


def _ref(ref: str) -> str:
    if not ref.startswith("refs/") or any(character < " " or character == "\x7f" for character in ref):
        raise Malformed(f"ref: expected refs/heads/… or refs/tags/…, got {ref[:80]!r}")
    return ref


def _full_name(repository: _Repository) -> str | None:
    if repository.full_name:
        return repository.full_name
    owner = repository.owner and (repository.owner.login or repository.owner.name)
    return f"{owner}/{repository.name}" if isinstance(owner, str) and repository.name else None


def _required_name(repository: _Repository) -> str:
    name = _full_name(repository)
    if name is None:
        raise Malformed("repository.full_name: missing")
    return name


def _commit(told: _Push) -> str:
    """The commit to deploy: an annotated tag's `after` names the tag, its head commit the commit."""
    head = told.head_commit.id if told.head_commit is not None else None
    tag = told.ref.startswith("refs/tags/")
    return head if tag and isinstance(head, str) and _SHA.fullmatch(head) else told.after


def _seconds(moment: int | str | None) -> int | None:
    if not isinstance(moment, str):
        return moment
    try:
        return int(datetime.fromisoformat(moment).timestamp())
    except ValueError as error:
        raise Malformed(f"repository.pushed_at: expected a time, got {moment[:40]!r}") from error


def _actor(told: _Push) -> str:
    names = [person and (person.login or person.name) for person in (told.sender, told.pusher)]
    return next((name for name in names if isinstance(name, str) and name), "")


def _title(head: _Commit | None) -> str:
    message = head.message if head is not None else None
    return message.strip().partition("\n")[0][:LONGEST_TITLE] if isinstance(message, str) else ""


def _paths(told: _Push) -> tuple[str, ...] | None:
    """Every file the push touched; None where the payload cannot say."""
    commits = told.commits
    if told.created or told.deleted or told.forced or not commits or len(commits) >= MOST_COMMITS:
        return None
    lists = [files for each in commits for files in (each.added, each.removed, each.modified)]
    if any(files is None for files in lists):
        return None
    return tuple(sorted({path for files in lists for path in files or ()}))
