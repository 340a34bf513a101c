"""The hub: its thread runs while there are readers, also where an earlier one has failed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from callers import on_sqlite
from fastdeploy_bot.bell import Bell, Listener
from fastdeploy_bot.core.files.catalogue import Catalogue
from fastdeploy_bot.web.live.hub import Farewell, Hub, Reader
from runs import eventually


class DeafBell(Bell):
    """A bell that cannot be listened to the first time."""

    deaf = True

    def listen(self) -> Listener:
        """As a host says that has no descriptors left."""
        if self.deaf:
            self.deaf = False
            raise OSError(24, "Too many open files")
        return super().listen()


def a_reader(wake: Callable[[], object] = lambda: None) -> Reader:
    """A reader who takes all that is offered."""
    return Reader(wake=wake, cut=lambda: None, offer=len)


@on_sqlite
@pytest.mark.usefixtures("database")
def test_who_comes_while_a_hub_fails_is_looked_after(home: Path) -> None:
    """They are sent away with the others, to connect again, or have a thread that runs: nobody waits for none."""
    hub = Hub(DeafBell(home / "bell"), Catalogue(home / "services"))
    late = a_reader()
    early = a_reader(wake=lambda: hub.enter(late))

    hub.enter(early)

    eventually(lambda: early.farewell, "that the first one is sent away")
    thread = eventually(lambda: hub._thread if late in hub._present() else None, "a thread for the second one")
    assert isinstance(early.farewell, Farewell)
    assert thread.is_alive()
    hub.leave(late)
    hub.leave(early)
    hub._bell.ring()
    thread.join(10)
