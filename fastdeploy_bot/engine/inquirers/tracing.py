"""Tracing: asks GitHub whether a commit is part of what a service's branches and tags name, one ref after the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from http import HTTPStatus
from typing import Final, TypeVar

import msgspec

from fastdeploy_bot.core.commits.reaching import Reach
from fastdeploy_bot.engine.inquiries import Entries, Further
from fastdeploy_bot.engine.line import Line
from fastdeploy_bot.forge.github.api import compare, git, repositories
from fastdeploy_bot.forge.github.api.compare import Relation
from fastdeploy_bot.forge.github.client import CallFailed, Client, not_understood
from fastdeploy_bot.forge.github.permissions import Needs
from fastdeploy_bot.store.models import Question

T = TypeVar("T")

METADATA: Final = Needs()
PART: Final = frozenset({Relation.IDENTICAL, Relation.BEHIND})
"""Where a commit is, seen from a ref that leads to it."""


class Tracing:
    """An inquirer. Whoever waits for its answer looks it up: nothing follows from it by itself."""

    def ask(self, line: Line, question: Question, *, now: int) -> object:
        """The ref that leads to the commit; empty where none was found. Raises Unheard."""
        reach, ask = msgspec.json.decode(question.data, type=Reach), _Call(line, question, now)
        if reach.lacks_default:
            return Further(reach.with_default(ask(METADATA, _default_branch)))
        if reach.is_over:
            return ""
        if reach.refs:
            [ref, *_] = reach.refs
            return ref if ask(compare.READS, partial(_leads, ref=ref, sha=reach.sha)) else Further(reach.next())
        named = ask(git.READS, partial(_named, prefix=reach.prefixes[0]))
        exact = next((ref for ref, sha in named.items() if sha == reach.sha and reach.wants(ref)), None)
        return exact or Further(reach.listed(named))

    def act(self, _question: Question, _found: object, _entries: Entries, *, now: int) -> None:
        """The answer is kept; that is all."""

    def give_up(self, _question: Question, _why: str, _entries: Entries, *, now: int) -> None:
        """Why there is none is kept; that is all."""


class _Call:
    """Asks GitHub something about a question's repository."""

    def __init__(self, line: Line, question: Question, now: int) -> None:
        self._line = line
        self._question = question
        self._now = now

    def __call__(self, needs: Needs, call: Callable[[Client, str, str], T]) -> T:
        """What a call answers that takes the client, a token and the repository. Raises Unheard."""
        repository, attempt = self._question.repository, self._question.attempts
        return self._line.ask(
            repository, needs, lambda client, token: call(client, token, repository), attempt=attempt, now=self._now
        )


def _default_branch(client: Client, token: str, repository: str) -> str:
    name = repositories.get(client, token, repository).found.default_branch
    if not name:
        raise not_understood("no default branch of a repository")
    return name


def _leads(client: Client, token: str, repository: str, *, ref: str, sha: str) -> bool:
    """Whether a branch or tag leads to a commit; not so where there is no such ref or commit, or nothing in common."""
    try:
        found = compare.relation(client, token, repository, ref.split("/", 2)[2], sha)
    except CallFailed as failed:
        if failed.refusal.status == HTTPStatus.NOT_FOUND:
            return False
        raise
    return found in PART


def _named(client: Client, token: str, repository: str, *, prefix: str) -> Mapping[str, str]:
    """What each ref names whose name begins so; of an annotated tag that is no commit."""
    return {each.ref: each.object.sha for each in git.matching_refs(client, token, repository, prefix).found or ()}
