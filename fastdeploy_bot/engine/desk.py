"""The desk: the one thread that speaks with GitHub. All that is to be told and asked goes over it, call by call."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from typing import Final, Protocol

from fastdeploy_bot import store
from fastdeploy_bot.bell import Bell
from fastdeploy_bot.core import clock
from fastdeploy_bot.core.files.catalogue import Catalogue
from fastdeploy_bot.engine import line
from fastdeploy_bot.engine.checks import Checks
from fastdeploy_bot.engine.gaps import Gaps
from fastdeploy_bot.engine.inquirers.comparing import Comparing
from fastdeploy_bot.engine.inquirers.installed import Installed
from fastdeploy_bot.engine.inquirers.measuring import Measuring
from fastdeploy_bot.engine.inquirers.permits import MayWrite
from fastdeploy_bot.engine.inquirers.tracing import Tracing
from fastdeploy_bot.engine.inquiries import Inquirer, Inquiries
from fastdeploy_bot.engine.line import Line
from fastdeploy_bot.engine.recovery import Recovery
from fastdeploy_bot.engine.redelivery import Redelivery
from fastdeploy_bot.engine.relay import Relay
from fastdeploy_bot.settings import Settings
from fastdeploy_bot.words import QuestionKind

log = logging.getLogger(__name__)

LOOK_SECONDS: Final = 1.0
"""How long at most a change that nobody rang for stays unseen."""


REST_SECONDS: Final = 0.02
"""How long others that follow a ring are waited for: in a burst each event rings, and a look may come to nothing."""


class Clerk(Protocol):
    """Somebody with something to tell or to ask."""

    def tick(self, *, now: int) -> float:
        """Make one call, where one is due and the line is free; answers in how many seconds to look again."""


class Desk:
    """One per process; of all of them one at a time has the line."""

    def __init__(self, line: Line, clerks: Sequence[Clerk]) -> None:
        self._line = line
        self._clerks = clerks

    def run(self, bell: Bell, stopping: threading.Event) -> None:
        """Look again and again until told to stop: at every ring, and when something is due."""
        try:
            while not stopping.is_set():
                try:
                    self._listen(bell, stopping)
                except Exception:
                    log.exception("the desk cannot listen; it tries again")
                    stopping.wait(LOOK_SECONDS)
        finally:
            self.end()

    def round(self) -> float:
        """Let each clerk make one call; answers in how many seconds to look again."""
        if not self._line.open:
            return LOOK_SECONDS
        return min(map(_turn, self._clerks), default=LOOK_SECONDS)

    def end(self) -> None:
        """Let another process have the line, and let go of all connections."""
        try:
            self._line.end()
        finally:
            store.disconnect()

    def _listen(self, bell: Bell, stopping: threading.Event) -> None:
        with bell.listen() as ears:
            while not stopping.is_set():
                pause = self.round()
                store.release()
                if ears.wait(min(pause, LOOK_SECONDS)):
                    stopping.wait(REST_SECONDS)


def _turn(clerk: Clerk) -> float:
    """Let one have its turn; what goes wrong in it is tried again, and does not hold up the others."""
    try:
        return clerk.tick(now=clock.now())
    except Exception:
        log.exception("a part of what github is told or asked failed; it is tried again")
        return LOOK_SECONDS


def of(settings: Settings, catalogue: Catalogue, host: str) -> Desk:
    """The desk of a host."""
    speaking, bell = line.of(settings, host), Bell(settings.bell_dir)
    relay = Relay(speaking, public_url=settings.effective_public_url)
    inquiries = Inquiries(speaking, catalogue, inquirers(), bell)
    redelivery = Redelivery(speaking, f"{settings.effective_public_url}/webhooks/github")
    recovery = Recovery(speaking, catalogue, bell, redelivery=redelivery, poll=settings.poll)
    checks = Checks(speaking, bell, ours=lambda: settings.app_names)
    return Desk(speaking, [relay, inquiries, recovery, checks, Gaps(speaking, catalogue)])


def inquirers() -> dict[QuestionKind, Inquirer]:
    """Who asks the questions of each kind."""
    return {
        QuestionKind.CHANGED: Comparing(),
        QuestionKind.BETWEEN: Measuring(),
        QuestionKind.REACHABLE: Tracing(),
        QuestionKind.MAY_WRITE: MayWrite(),
        QuestionKind.INSTALLED: Installed(),
    }
