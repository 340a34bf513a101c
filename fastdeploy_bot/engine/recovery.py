"""Recovery: looks at the repositories for pushes that no webhook told of, and has each decided as if one had come."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from fastdeploy_bot.bell import Bell
from fastdeploy_bot.core import clock
from fastdeploy_bot.core.files.catalogue import Catalogue, Entry
from fastdeploy_bot.core.pushes import reconciling
from fastdeploy_bot.core.pushes.reconciling import Missed, Target
from fastdeploy_bot.engine.line import Line, Unheard
from fastdeploy_bot.engine.lookout import Look, Lookout
from fastdeploy_bot.engine.redelivery import Redelivery
from fastdeploy_bot.errors import Malformed
from fastdeploy_bot.forge.github.policy import Remedy

log = logging.getLogger(__name__)

LOOK_SECONDS: Final = 1.0
INTERVAL: Final = 300.0
"""Seconds between two looks at a repository, where pushes come by webhooks."""
GRACE: Final = 60 * clock.SECOND
"""For how long what is seen is left to its webhook, which tells more of it."""
AWAKE: Final = 60 * clock.SECOND
"""How often is written down that somebody looks."""
MOST_AT_ONCE: Final = 5
"""How many refs of a repository are decided at one look; where there are more, the next look follows at once."""
MOST_TRIES: Final = 3
"""How many looks in a row may be spoilt by somebody who pushes meanwhile."""


class _Place(msgspec.Struct):
    """What is remembered of a repository between looks."""

    wants: object = None
    """For what it was looked at last."""
    due: int = 0
    attempts: int = 0
    """How many looks in a row were in vain."""
    spoilt: int = 0
    """How many looks in a row were spoilt."""
    looked: bool = False
    """Whether it was looked at since this process began."""
    settled: bool = False
    """Whether the last look left nothing to be decided."""
    left: dict[tuple[str, str], int] = {}
    """Refs and what they name that are left to a webhook, and since when."""


class Recovery:
    """The clerk that looks; where there is no webhook, all pushes come by it."""

    def __init__(
        self, line: Line, catalogue: Catalogue, bell: Bell, *, redelivery: Redelivery, poll: float | None
    ) -> None:
        """`poll` is after how many seconds to look again; None where pushes come by webhooks."""
        self._line = line
        self._redelivery = redelivery
        self._lookout = Lookout(line)
        self._catalogue = catalogue
        self._bell = bell
        self._polls = poll is not None
        self._interval = int((poll or INTERVAL) * clock.SECOND)
        self._longest = max(self._interval, int(INTERVAL * clock.SECOND))
        self._places: dict[str, _Place] = {}
        self._awake: int | None = None
        """When was written down last that somebody looks."""
        self._away = 0
        """For how many milliseconds nobody had looked before this process did."""

    def tick(self, *, now: int) -> float:
        """Look at one repository, where one is due; answers in how many seconds to look again."""
        entries = self._catalogue.entries()
        targets = reconciling.targets(entries)
        target = min((each for each in targets if self._is_due(each, now)), key=self._place_due, default=None)
        silent = self._awake is None or not 0 <= now - self._awake < AWAKE
        if target is None and not silent:
            return LOOK_SECONDS
        if (seconds := self._line.busy(now=now)) > 0:
            return min(seconds, LOOK_SECONDS)
        if silent:
            self._say_awake(targets, now)
        if target is None:
            return LOOK_SECONDS
        pause = None if self._polls else self._redelivery.step(target, away=self._away_from(target), now=now)
        if pause is not None:
            return pause
        self._look(target, entries, now)
        return 0.0

    def _is_due(self, target: Target, now: int) -> bool:
        place = self._places.get(target.repository)
        if place is None or place.wants != target.wants:
            return True
        return not place.due - self._longest <= now < place.due  # before that a clock was set back

    def _place_due(self, target: Target) -> int:
        """Since when it is due: whoever waits for the longest comes first, so that nobody is left out."""
        place = self._places.get(target.repository)
        return 0 if place is None else place.due

    def _away_from(self, target: Target) -> int:
        """For how many milliseconds nobody had looked, where this is the first look at it since."""
        place = self._places.get(target.repository)
        return 0 if place is not None and place.looked else self._away

    def _say_awake(self, targets: Sequence[Target], now: int) -> None:
        away = reconciling.awake(now=now)
        if self._awake is None and away is not None and away > 2 * AWAKE:
            self._away = away
        self._awake = now
        reconciling.forget_others(each.repository for each in targets)

    def _look(self, target: Target, entries: Mapping[str, Entry], now: int) -> None:
        place = self._places.setdefault(target.repository, _Place())
        place.settled = place.settled and place.wants == target.wants
        place.wants = target.wants
        try:
            problem, due = self._compare(target, place, entries, now)
            place.attempts = 0
        except Unheard as failed:
            log.warning("a repository cannot be looked at", extra={"repository": target.repository, "why": str(failed)})
            place.attempts, place.settled = place.attempts + 1, False
            problem, due = str(failed), self._again(failed, now)
        reconciling.note_look(target.repository, problem, deaf=self._redelivery.problem(target), now=now)
        place.due = due

    def _again(self, failed: Unheard, now: int) -> int:
        """When to look again after a look that was in vain."""
        if failed.remedy is Remedy.GIVE_UP:
            return now + self._longest
        return min(now + self._interval, max(failed.again, now + clock.SECOND))

    def _compare(self, target: Target, place: _Place, entries: Mapping[str, Entry], now: int) -> tuple[str, int]:
        """Look, and have decided what was missed; answers what is wrong there, and when to look again."""
        look = self._lookout.look(target, attempt=place.attempts, now=now)
        problem = reconciling.foreign(target, look.seen)
        if problem or (place.settled and not look.fresh):
            return problem, now + self._interval
        place.settled = False
        found = reconciling.compare(target, look.seen)
        place.left = {(each.ref, each.after): place.left.get((each.ref, each.after), now) for each in found}
        whens = {(each.ref, each.after): self._when(each, place, now) for each in found}
        ready = [each for each in found if whens[each.ref, each.after] <= now]
        later = [each for each in found if each not in ready]
        if ready and place.spoilt < MOST_TRIES and not self._lookout.is_still(target, look, now=now):
            place.spoilt += 1
            return "", now
        place.spoilt = 0
        if not self._decide_all(ready, target, look, entries, now):
            return "", now
        place.looked = place.looked or all(each.is_first_sight for each in later)
        if not later:
            place.settled = True
            reconciling.note_watched(target, look.seen)
        return "", min([now + self._interval, *(whens[each.ref, each.after] for each in later)])

    def _when(self, missed: Missed, place: _Place, now: int) -> int:
        """When to decide without waiting any longer for the webhook."""
        if self._polls:
            return now
        expected = self._redelivery.expected(missed.repository_id, now=now)
        if not place.looked and not missed.is_first_sight:
            return expected
        since = place.left[missed.ref, missed.after]
        return max(expected, since + GRACE if since <= now else now)

    def _decide_all(
        self, ready: Sequence[Missed], target: Target, look: Look, entries: Mapping[str, Entry], now: int
    ) -> bool:
        """Whether all of them are decided now; the page tells of them.

        Where pushes always come this way, it does so only after nobody had looked for long.
        """
        away = self._away_from(target)
        told = away if away or not self._polls else None
        decided = [self._decide(each, target, look, entries, told, now) for each in ready[:MOST_AT_ONCE]]
        return all(decided) and len(decided) == len(ready)

    def _decide(
        self, missed: Missed, target: Target, look: Look, entries: Mapping[str, Entry], away: int | None, now: int
    ) -> bool:
        """Whether it is decided now; not so where a push of the ref came meanwhile."""
        facts = {"repository": target.repository, "ref": missed.ref, "after": missed.after}
        try:
            webhook = self._lookout.webhook(target, look, missed, now=now)
        except Malformed as error:
            log.warning("a ref is passed over", extra=facts | {"why": str(error)})
            return True
        receipt = reconciling.decide(missed, webhook, target, entries, away=away, now=now)
        if receipt is None:
            return False
        verdicts = {each.service: each.verdict for each in receipt.verdicts}
        log.info("a push without a webhook was decided", extra=facts | {"verdicts": verdicts})
        self._bell.ring()
        return True
