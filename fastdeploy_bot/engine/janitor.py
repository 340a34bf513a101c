"""The janitor: takes away what nobody needs any more, one short write at a time. One of a database at a time."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import msgspec

from fastdeploy_bot import store
from fastdeploy_bot.core import clock
from fastdeploy_bot.core.keeping import retention
from fastdeploy_bot.core.keeping.retention import Removed
from fastdeploy_bot.engine.duty import Duty
from fastdeploy_bot.runner import removal
from fastdeploy_bot.runner.checkout import Mirrors
from fastdeploy_bot.settings import Settings
from fastdeploy_bot.store.models import Deployment

log = logging.getLogger(__name__)

FIRST_SECONDS: Final = 180.0
"""How long after the start: whoever restarts a bot has more urgent work for it."""
REST: Final = 3_600 * clock.SECOND
"""Between two passes, of whichever process."""
LOOK_SECONDS: Final = 60.0
"""How long to wait for another process that has the duty."""
NOBODY: Final = "nobody"
"""Who has the duty between two passes."""
LEFT_SECONDS: Final = 3_600
"""The age at which a run folder that no running deployment names is taken away."""
ASIDE: Final = "old-"
"""How the name of one begins that is being taken away."""
UNFINISHED_SECONDS: Final = 7_200
"""The age at which a checkout is taken away that never went to a run; none takes so long to be made."""
MIRROR_DAYS: Final = 30
"""How long a mirror is kept that nobody uses."""


class Stopping(Exception):
    """The engine is told to stop."""


class Janitor:
    """One per process; of all of them one at a time has the duty."""

    def __init__(
        self,
        duty: Duty,
        *,
        runs: Path,
        checkouts: Path,
        mirrors: Mirrors,
        days: int,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self._duty = duty
        self._runs = runs
        self._checkouts = checkouts
        self._mirrors = mirrors
        self._stopping = threading.Event()
        self._days = days
        self._timer = timer
        self._tidied: float | None = None
        self._steps: Iterator[Removed] | None = None
        self._removed = Removed()

    def run(self, stopping: threading.Event) -> None:
        """Work until told to stop."""
        self._stopping, pause = stopping, FIRST_SECONDS
        try:
            while not stopping.wait(pause):
                pause = self._attempt()
                store.release()
        finally:
            self.end()

    def tick(self, *, now: int) -> float:
        """Do one short piece of work, where some is to be done; answers in how many seconds to go on."""
        self._tidy_up(now)
        if (seconds := self._duty.busy(now=now)) > 0:
            self._steps = None
            return min(seconds, LOOK_SECONDS)
        if self._steps is None:
            self._steps, self._removed = retention.prune(self._days, now=now), Removed()
        begun = self._timer()
        removed = next(self._steps, None)
        if removed is None:
            return self._rest(now)
        self._removed += removed
        return retention.pause_after(self._timer() - begun)

    def end(self) -> None:
        """Let another process have the duty."""
        try:
            self._duty.let_go()
        except Exception:
            log.exception("the lease of the janitor could not be given up; it ends by itself")
        finally:
            store.disconnect()

    def _attempt(self) -> float:
        try:
            return self.tick(now=clock.now())
        except Exception:
            log.exception("the janitor failed; it tries again")
            self._steps = None
            return LOOK_SECONDS

    def _tidy_up(self, now: int) -> None:
        """Each host has run folders and mirrors of its own, and so each process looks at them, whoever has the duty."""
        if self._tidied is None or self._timer() - self._tidied >= REST / clock.SECOND:
            self._tidied = self._timer()
            remove_leftovers(self._runs, now=now)
            remove_old(self._checkouts, now=now)
            with contextlib.suppress(Stopping):
                self._mirrors.prune(before=(now - MIRROR_DAYS * clock.DAY) / clock.SECOND, stop=self._stop)

    def _stop(self) -> None:
        if self._stopping.is_set():
            raise Stopping

    def _rest(self, now: int) -> float:
        if self._removed:
            log.info("old rows removed", extra=_facts(self._removed))
        self._steps = None
        self._duty.hand_over(NOBODY, until=now + REST)
        return LOOK_SECONDS


def of(settings: Settings, host: str) -> Janitor:
    """The janitor of a host."""
    duty = Duty("janitor", lock=settings.home / "janitor.lock", host=host, guests={NOBODY: REST})
    return Janitor(
        duty,
        runs=settings.runs_dir,
        checkouts=settings.checkouts_dir,
        mirrors=Mirrors(settings.mirrors_dir, limit=settings.mirror_limit),
        days=settings.retention_days,
    )


def remove_leftovers(runs: Path, *, now: int) -> None:
    """Take away old run folders that no deployment needs: those of a process that died between two steps."""
    needed = {row.run for row in Deployment.select(Deployment.run).where(Deployment.state == "running")}
    for folder in runs.iterdir():
        if folder.name not in needed and _is_old(folder, now / clock.SECOND, LEFT_SECONDS):
            _remove_whole(folder)


def remove_old(checkouts: Path, *, now: int) -> None:
    """Take away what was to become checkouts and was left by a process that died."""
    for folder in checkouts.glob("*"):
        if _is_old(folder, now / clock.SECOND, UNFINISHED_SECONDS):
            _remove(folder)


def _remove_whole(folder: Path) -> None:
    """Under another name first: an engine that comes to use it now has all of it, or none."""
    aside = folder.with_name(f"{ASIDE}{folder.name.removeprefix(ASIDE)}")
    with contextlib.suppress(FileNotFoundError):
        folder.rename(aside)
        _remove(aside)


def _remove(folder: Path) -> None:
    try:
        removal.remove(str(folder))
    except OSError as error:
        log.warning("folder cannot be removed", extra={"folder": str(folder), "why": error.strerror})


def _is_old(folder: Path, now: float, seconds: float) -> bool:
    try:
        return folder.stat().st_mtime < now - seconds
    except FileNotFoundError:  # another engine was faster
        return False


def _facts(removed: Removed) -> dict[str, int]:
    return {name: count for name, count in msgspec.structs.asdict(removed).items() if count}
