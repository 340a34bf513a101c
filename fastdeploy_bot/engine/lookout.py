"""The lookout: what repositories are like at GitHub now. It remembers what it saw: asking again costs little."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, TypeVar
from uuid import uuid4

import msgspec

from fastdeploy_bot.core.pushes import reconciling
from fastdeploy_bot.core.pushes.reconciling import Missed, Seen, Target
from fastdeploy_bot.engine.line import Line, Unheard
from fastdeploy_bot.forge.github import payloads
from fastdeploy_bot.forge.github.api import git, repositories
from fastdeploy_bot.forge.github.api.conditional import Known
from fastdeploy_bot.forge.github.api.git import Object, Ref
from fastdeploy_bot.forge.github.api.repositories import Repository
from fastdeploy_bot.forge.github.client import Client
from fastdeploy_bot.forge.github.payloads import Commit
from fastdeploy_bot.forge.github.policy import Remedy
from fastdeploy_bot.words import ZERO_SHA, Webhook

T = TypeVar("T")
Refs = tuple[Ref, ...] | None

DEEPEST_TAG: Final = 5
"""Through how many tags a tag is followed to its commit."""


class _Memory(msgspec.Struct):
    """What was seen of a repository."""

    name: str
    """What GitHub calls it."""
    repository: Known[Repository] | None = None
    refs: Mapping[str, Known[Refs]] = {}
    """By what their names begin with."""


class Look(msgspec.Struct, frozen=True):
    """What is seen of a repository at one look."""

    seen: Seen
    fresh: bool
    """Whether anything of it is another than at the last look."""
    objects: Mapping[str, Object]
    """What each ref names."""


class Lookout:
    """One per process. Whatever it is asked for may raise Unheard."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._memories: dict[str, _Memory] = {}

    def look(self, target: Target, *, attempt: int, now: int) -> Look:
        """The repository and those of its refs that its services may want; `attempt` as the line has it."""
        memory = self._memory(target)
        memory.name = reconciling.spelling(target)
        known = memory.repository = self._repository(target, memory, attempt, now)
        refs = {
            prefix: self._refs(target, memory, prefix, attempt, now)
            for prefix in reconciling.prefixes(target, known.found.default_branch)
        }
        fresh = known.fresh or refs.keys() != memory.refs.keys() or any(each.fresh for each in refs.values())
        memory.refs = refs
        objects = {ref.ref: ref.object for each in refs.values() for ref in each.found or ()}
        empty = any(each.found is None for each in refs.values())
        return Look(_seen(known.found, objects, empty=empty), fresh, objects)

    def is_still(self, target: Target, look: Look, *, now: int) -> bool:
        """Whether nobody has pushed to the repository since that look, so that its time is that of the last push."""
        memory = self._memory(target)
        memory.repository = self._repository(target, memory, 0, now)
        return _pushed_at(memory.repository.found) == look.seen.pushed_at

    def webhook(self, target: Target, look: Look, missed: Missed, *, now: int) -> Webhook:
        """The webhook of a push that would have told of what was missed. Raises Malformed where none could."""
        seen = look.seen
        head = None
        if missed.after != ZERO_SHA:
            commit = self._commit(target, look.objects[missed.ref], now)
            message = "" if missed.is_first_sight else self._message(target, commit, now)
            head = Commit(id=commit, message=message)
        document = payloads.push_document(
            repository=seen.repository,
            repository_id=seen.repository_id,
            ref=missed.ref,
            before=missed.before,
            after=missed.after,
            pushed_at=missed.pushed_at,
            default_branch=seen.default_branch or "",
            head=head,
        )
        return payloads.parse(document, {"X-GitHub-Event": "push", "X-GitHub-Delivery": f"reconciled-{uuid4()}"})

    def _memory(self, target: Target) -> _Memory:
        return self._memories.setdefault(target.repository, _Memory(target.repository))

    def _repository(self, target: Target, memory: _Memory, attempt: int, now: int) -> Known[Repository]:
        def call(client: Client, token: str) -> Known[Repository]:
            return repositories.get(client, token, memory.name, before=memory.repository)

        return self._ask(target, call, now, attempt)

    def _refs(self, target: Target, memory: _Memory, prefix: str, attempt: int, now: int) -> Known[Refs]:
        def call(client: Client, token: str) -> Known[Refs]:
            return git.matching_refs(client, token, memory.name, prefix, before=memory.refs.get(prefix))

        return self._ask(target, call, now, attempt)

    def _commit(self, target: Target, named: Object, now: int) -> str:
        """The commit that a ref's object is, or leads to; where that is none, the object."""
        found = named
        for _ in range(DEEPEST_TAG):
            if found.type != "tag":
                break
            found = self._tagged(target, found.sha, now)
        return found.sha if found.type == "commit" else named.sha

    def _tagged(self, target: Target, tag: str, now: int) -> Object:
        name = self._memory(target).name
        return self._ask(target, lambda client, token: git.tagged(client, token, name, tag), now)

    def _message(self, target: Target, commit: str, now: int) -> str:
        """What a commit says of itself; empty where GitHub will not tell."""
        name = self._memory(target).name
        try:
            return self._ask(target, lambda client, token: git.message(client, token, name, commit), now)
        except Unheard as failed:
            if failed.remedy is not Remedy.GIVE_UP:
                raise
            return ""

    def _ask(self, target: Target, call: Callable[[Client, str], T], now: int, attempt: int = 0) -> T:
        return self._line.ask(self._memory(target).name, git.READS, call, attempt=attempt, now=now)


def _seen(repository: Repository, objects: Mapping[str, Object], *, empty: bool) -> Seen:
    return Seen(
        repository_id=repository.id,
        repository=repository.full_name,
        default_branch=repository.default_branch,
        pushed_at=_pushed_at(repository),
        heads={ref: named.sha for ref, named in objects.items()},
        empty=empty,
    )


def _pushed_at(repository: Repository) -> int | None:
    return None if repository.pushed_at is None else int(repository.pushed_at.timestamp())
