"""Checks: asks GitHub how the checks of commits stand whose deployments wait for them, commit by commit."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from fastdeploy_bot.bell import Bell
from fastdeploy_bot.core import clock
from fastdeploy_bot.core.signals import checking
from fastdeploy_bot.core.signals.checking import Commit
from fastdeploy_bot.engine.line import Line, Unheard
from fastdeploy_bot.forge.github import ci
from fastdeploy_bot.forge.github.api import checks, statuses
from fastdeploy_bot.forge.github.api.checks import ListedRun, ListedSuite
from fastdeploy_bot.forge.github.api.pages import Memory
from fastdeploy_bot.forge.github.api.statuses import ListedStatus
from fastdeploy_bot.forge.github.client import Client
from fastdeploy_bot.forge.github.permissions import Needs
from fastdeploy_bot.forge.github.policy import Remedy
from fastdeploy_bot.words import StatusCheck

log = logging.getLogger(__name__)

LOOK_SECONDS: Final = 1.0
"""How long at most a change that nobody rang for stays unseen."""
GAP: Final = clock.SECOND
"""Between two looks, of whichever commits; each is two calls, or three."""
FAULT: Final = "the bot could not look at them: its log says why"
READS: Final = Needs(checks="read", statuses="read")


class _Seen:
    """What is known of a commit from earlier looks."""

    def __init__(self) -> None:
        self.looked: int | None = None
        self.runs: Memory[ListedRun] = Memory()
        self.suites: Memory[ListedSuite] = Memory()
        self.statuses: Memory[ListedStatus] = Memory()


class Checks:
    """The clerk that asks about checks, and rings for what may begin; `ours` tells what our own App is called."""

    def __init__(self, line: Line, bell: Bell, *, ours: Callable[[], frozenset[str]]) -> None:
        self._line = line
        self._bell = bell
        self._ours = ours
        self._looked: int | None = None
        self._seen: dict[tuple[str, str], _Seen] = {}

    def tick(self, *, now: int) -> float:
        """Look at one commit, where that is due; answers in how many seconds to look again."""
        commits = checking.commits()
        self._forget(commits)
        due = [commit for commit in commits if checking.is_due(commit, now=now) and not self._is_fresh(commit, now)]
        if not due:
            return LOOK_SECONDS
        if self._looked is not None and 0 <= now - self._looked < GAP:
            return (self._looked + GAP - now) / clock.SECOND
        if (seconds := self._line.busy(now=now)) > 0:
            return min(seconds, LOOK_SECONDS)
        self._looked = now
        self._attempt(min(due, key=lambda commit: commit.due), now)
        return GAP / clock.SECOND

    def _is_fresh(self, commit: Commit, now: int) -> bool:
        """Whether it was looked at a moment ago, whatever the news."""
        seen = self._seen.get(commit.key)
        return seen is not None and seen.looked is not None and 0 <= now - seen.looked < checking.SOONEST

    def _forget(self, commits: list[Commit]) -> None:
        wanted = {commit.key for commit in commits}
        self._seen = {key: seen for key, seen in self._seen.items() if key in wanted}

    def _attempt(self, commit: Commit, now: int) -> None:
        """Look at one; a fault of our own in that holds up no other, and forgets what may have led to it."""
        try:
            self._look(commit, now)
        except Exception:
            log.exception("checks could not be looked at; they are looked at again", extra=_facts(commit))
            self._seen.pop(commit.key, None)
            checking.postpone(commit, FAULT, due=checking.after_refusal(commit, now=now), told=True)

    def _look(self, commit: Commit, now: int) -> None:
        seen = self._seen.setdefault(commit.key, _Seen())
        seen.looked = now

        def call(client: Client, token: str) -> tuple[list[StatusCheck], bool]:
            return self._read(client, token, commit, seen)

        try:
            found, whole = self._line.ask(commit.repository, READS, call, attempt=commit.attempts, now=now)
        except Unheard as failed:
            log.warning("github did not tell of checks", extra=_facts(commit) | {"why": str(failed)})
            _unheard(commit, failed, now)
        else:
            done = checking.settle(commit, found, whole=whole, now=now)
            log.info("checks looked at", extra=_facts(commit) | {"found": len(found), "done": done})
            if done:
                self._bell.ring()

    def _read(self, client: Client, token: str, commit: Commit, seen: _Seen) -> tuple[list[StatusCheck], bool]:
        """All that is reported of a commit, and whether that is all there is."""
        repository, sha = commit.repository, commit.sha
        runs, all_runs = seen.runs.all(
            lambda page, before: checks.runs(client, token, repository, sha, page=page, before=before)
        )
        listed, all_statuses = seen.statuses.all(
            lambda page, before: statuses.latest(client, token, repository, sha, page=page, before=before)
        )
        suites: list[ListedSuite] = []
        all_suites = True
        if commit.all:
            suites, all_suites = seen.suites.all(
                lambda page, before: checks.suites(client, token, repository, sha, page=page, before=before)
            )
        return ci.checks(runs, suites, listed, ours=self._ours()), all_runs and all_statuses and all_suites


def _facts(commit: Commit) -> dict[str, object]:
    return {"repository": commit.repository, "commit": commit.sha}


def _unheard(commit: Commit, failed: Unheard, now: int) -> None:
    match failed.remedy:
        case Remedy.GIVE_UP:
            checking.postpone(commit, str(failed), due=checking.after_refusal(commit, now=now), told=True)
        case Remedy.RETRY:
            checking.postpone(commit, str(failed), due=failed.again, told=False)
        case Remedy.PAUSE:
            pass  # it keeps its place
