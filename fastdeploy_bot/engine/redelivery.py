"""Redelivery: has GitHub repeat webhooks that did not arrive, of the App's hook or of each repository's."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from typing import Final, TypeVar

import msgspec

from fastdeploy_bot.core import clock
from fastdeploy_bot.core.pushes import redelivering
from fastdeploy_bot.core.pushes.reconciling import Target
from fastdeploy_bot.core.pushes.redelivering import Attempt
from fastdeploy_bot.engine.line import Line, Unheard
from fastdeploy_bot.forge.github.api import hooks
from fastdeploy_bot.forge.github.api.conditional import Known
from fastdeploy_bot.forge.github.api.hooks import Attempts, Paths
from fastdeploy_bot.forge.github.client import Client
from fastdeploy_bot.forge.github.permissions import Needs
from fastdeploy_bot.forge.github.policy import Remedy

T = TypeVar("T")

log = logging.getLogger(__name__)

INTERVAL: Final = 300 * clock.SECOND
"""Between two looks at what failed."""
FORBIDDEN: Final = clock.DAY
"""After so long is tried again what GitHub refused."""
GAP: Final = clock.SECOND
"""Between two deliveries that GitHub is asked to repeat."""
ARRIVES: Final = 20 * clock.SECOND
"""Within such a time what is repeated should have come."""
MOST_PAGES: Final = 10
MOST_AT_ONCE: Final = 20
"""How many are asked for in a row."""
OF_APP: Final = ""
"""Stands for the repository where one hook brings the webhooks of all."""
ANYTHING: Final = Needs()
"""Of a repository's own hooks only users' tokens are asked, and those have their permissions from elsewhere."""


class _Hook(msgspec.Struct):
    """What is remembered of a hook."""

    due: int = 0
    steps: Iterator[int] | None = None
    """Calls under way, each of which tells when the next one may be made."""
    next: int = 0
    problem: str = ""
    """Why its deliveries cannot be asked for."""
    paths: Known[Paths] | None = None
    first_page: Known[Attempts] | None = None
    attempts: dict[int, Attempt] = {}
    asked: dict[str, int] = {}
    """GUIDs that were asked for, and when."""


class Redelivery:
    """One per process. `address` is where our webhooks have to lead."""

    def __init__(self, line: Line, address: str) -> None:
        self._line = line
        self._address = address
        self._hooks: dict[str, _Hook] = {}
        self._expected: dict[int, int] = {}
        """By repository, until when a push may come that was asked for."""
        self._now = 0

    def step(self, target: Target, *, away: int, now: int) -> float | None:
        """Make one call, where one is due; answers in how many seconds to go on, or None where all is done.

        `away` is for how many milliseconds nobody had looked.
        """
        self._now = now
        hook = self._hook(target)
        if hook.steps is None:
            if hook.due - FORBIDDEN <= now < hook.due:  # before that a clock was set back
                return None
            hook.steps = self._steps(target, hook, away)
        if 0 < hook.next - now <= GAP:
            return (hook.next - now) / clock.SECOND
        try:
            hook.next = next(hook.steps)
        except StopIteration:
            hook.steps, hook.due = None, now + INTERVAL
            return None
        except Unheard as failed:
            self._give_up(target, hook, failed)
            return 0.0
        return max(0, hook.next - now) / clock.SECOND

    def expected(self, repository_id: int, *, now: int) -> int:
        """Until when a push of that repository may come that GitHub was asked for; a moment gone by where none may."""
        until = self._expected.get(repository_id, 0)
        return until if until - now <= ARRIVES else 0

    def problem(self, target: Target) -> str:
        """Why a repository's failed deliveries cannot be asked for; empty where they can."""
        return self._hook(target).problem

    def _hook(self, target: Target) -> _Hook:
        key = OF_APP if self._line.is_app else target.repository
        return self._hooks.setdefault(key, _Hook())

    def _give_up(self, target: Target, hook: _Hook, failed: Unheard) -> None:
        hook.steps, hook.problem = None, str(failed)
        refused = failed.remedy is Remedy.GIVE_UP
        hook.due = self._now + FORBIDDEN if refused else max(failed.again, self._now + INTERVAL)
        facts = {"repository": target.repository, "why": str(failed)}
        log.info("failed deliveries cannot be asked for", extra=facts)

    def _steps(self, target: Target, hook: _Hook, away: int) -> Iterator[int]:
        """Find the hook that leads here, see what failed, and have it repeated: a call each."""
        path = self._path(target, hook)
        yield 0
        hook.problem = "" if path else f"no webhook leads to {self._address}"
        if not path:
            return
        cursor, oldest = "", self._now - redelivering.KEPT
        for _ in range(MOST_PAGES):
            page = self._page(target, path, cursor, hook)
            fresh = [each for each in _plain(page.attempts) if each.id not in hook.attempts]
            hook.attempts |= {each.id: each for each in fresh}
            yield 0
            cursor = page.further
            if not cursor or not fresh or fresh[-1].at < oldest:
                break
        hook.attempts = {each.id: each for each in hook.attempts.values() if each.at > oldest}
        hook.asked = {guid: at for guid, at in hook.asked.items() if self._now - at < redelivering.BETWEEN}
        found = redelivering.worth_repeating(hook.attempts.values(), now=self._now)
        for attempt in [each for each in found if each.guid not in hook.asked][:MOST_AT_ONCE]:
            yield self._repeat(target, path, attempt, hook, away)

    def _path(self, target: Target, hook: _Hook) -> str:
        """The path of the hook that leads here; empty where there is none."""

        def call(client: Client, token: str) -> Known[Paths]:
            if self._line.is_app:
                return hooks.of_app(client, token, before=hook.paths)
            return hooks.of_repository(client, token, target.repository, before=hook.paths)

        hook.paths = self._ask(target, call)
        return hook.paths.found.get(self._address, "")

    def _page(self, target: Target, path: str, cursor: str, hook: _Hook) -> Attempts:
        before = None if cursor else hook.first_page

        def call(client: Client, token: str) -> Known[Attempts]:
            return hooks.attempts(client, token, path, cursor=cursor, before=before)

        known = self._ask(target, call)
        if not cursor:
            hook.first_page = known
        return known.found

    def _repeat(self, target: Target, path: str, attempt: Attempt, hook: _Hook, away: int) -> int:
        self._ask(target, lambda client, token: hooks.repeat(client, token, path, attempt.id))
        hook.asked[attempt.guid] = self._now
        if attempt.event == "push" and attempt.repository_id is not None:
            self._expected[attempt.repository_id] = self._now + ARRIVES
        log.info("a delivery is asked for again", extra={"delivery": attempt.guid, "event": attempt.event})
        redelivering.note_repeated(away=away, now=self._now)
        return self._now + GAP

    def _ask(self, target: Target, call: Callable[[Client, str], T]) -> T:
        if self._line.is_app:
            return self._line.ask_as_app(call, now=self._now)
        return self._line.ask(target.repository, ANYTHING, call, now=self._now)


def _plain(attempts: Iterable[hooks.Attempt]) -> list[Attempt]:
    return [
        Attempt(
            id=each.id,
            guid=each.guid,
            event=each.event,
            action=each.action,
            repository_id=each.repository_id,
            at=int(each.delivered_at.timestamp() * 1_000),
            again=each.redelivery,
            arrived=200 <= each.status_code < 300,
        )
        for each in attempts
    ]
