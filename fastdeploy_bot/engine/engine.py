"""The engine as a whole: started after the fork, stopped before the process ends. Scripts outlive it."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from pathlib import Path
from typing import Final
from uuid import uuid4

from fastdeploy_bot import store
from fastdeploy_bot.bell import Bell
from fastdeploy_bot.core import clock
from fastdeploy_bot.core.files.catalogue import Catalogue
from fastdeploy_bot.engine import desk, janitor
from fastdeploy_bot.engine.dispatcher import Dispatcher
from fastdeploy_bot.runner import process
from fastdeploy_bot.settings import Settings

log = logging.getLogger(__name__)

TICK_SECONDS: Final = 1.0
"""How long at most a change that nobody rang for stays unseen."""
NEXT_SECONDS: Final = 0.1
"""The same after a look that let something begin; the next child is made then."""
SHARE: Final = 0.1
"""How much of a processor ticks take at most that come to nothing: every push rings, and all threads share one."""
LONGEST_REST: Final = 0.25
"""Seconds that a ring waits at most for that."""
STOP_SECONDS: Final = 2.0


class Engine:
    """One process's engine."""

    def __init__(self, settings: Settings, catalogue: Catalogue, bell: Bell) -> None:
        self.bell = bell
        self.settings = settings
        host = host_id(settings.home)
        self.dispatcher = Dispatcher(settings, catalogue, bell, host)
        self._feed_bell = Bell(settings.feed_bell_dir)
        work, needed = janitor.of(settings, host).run, (self.dispatcher.stopping,)
        speaking, means = desk.of(settings, catalogue, host).run, (self._feed_bell, self.dispatcher.stopping)
        self._threads = [
            threading.Thread(target=self._run, name="dispatcher", daemon=True),
            threading.Thread(target=work, args=needed, name="janitor", daemon=True),
            threading.Thread(target=speaking, args=means, name="desk", daemon=True),
        ]

    def start(self) -> None:
        """Begin to wait for rows."""
        self.settings.runs_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        process.write_shim(self.settings.bin_dir)
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        """From now on claim nothing more, and let go of all runs; answers at once.

        Their scripts go on, and the next engine finds them.
        """
        self.dispatcher.stopping.set()
        self.bell.ring()
        self._feed_bell.ring()

    def stop(self) -> None:
        """End, and wait until all is let go of."""
        self.end()
        deadline = time.monotonic() + STOP_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _run(self) -> None:
        while not self.dispatcher.stopping.is_set():
            try:
                self._listen()
            except Exception:
                log.exception("the dispatcher cannot listen; it tries again")
                self.dispatcher.stopping.wait(TICK_SECONDS)
        process.dismiss_spare()
        self.dispatcher.end()
        store.disconnect()

    def _listen(self) -> None:
        with self.bell.listen() as ears:
            while not self.dispatcher.stopping.is_set():
                ears.wait(NEXT_SECONDS if self._tick() else TICK_SECONDS)

    def _tick(self) -> bool:
        """Have the dispatcher look. Where nothing came of that, no ring is heeded for a while."""
        began = time.thread_time()
        found = self.dispatcher.tick(now=clock.now())
        store.release()
        if not found:
            worked = (time.thread_time() - began) * (1 / SHARE - 1)
            # Who is overtaken has made a child ready, too, and other processes work for that.
            self.dispatcher.stopping.wait(LONGEST_REST if self.dispatcher.overtaken else min(worked, LONGEST_REST))
        return found


def host_id(home: Path) -> str:
    """This host's name for itself, made once; a run belongs to a host, never to a process."""
    path = home / "host-id"
    if not path.exists():
        _name_host(path)
    return path.read_text().strip()


def _name_host(path: Path) -> None:
    """Make the name; where several engines do so at once, the first one's stands, and nobody sees half of one."""
    draft = path.with_name(f"host-id.{uuid4().hex}")
    try:
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
            file.write(f"{uuid4().hex}\n")
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink()
