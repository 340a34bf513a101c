"""What holds for every test."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import hypothesis
import pytest

from databases import Server
from fakehub import FakeHub

# A loaded machine may take its time; pytest-timeout ends what hangs.
hypothesis.settings.register_profile("fastdeploy", deadline=None)
hypothesis.settings.load_profile("fastdeploy")

# Shells have what they start in the background ignore the one, nohup the other, and all that these start as well;
# commands under test must not.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """How many processes are `auto`: three for two processors, since half of the time tests wait for something."""
    return len(os.sched_getaffinity(0)) * 3 // 2


@pytest.fixture(scope="session", autouse=True)
def _clean_environment() -> Iterator[None]:
    """Tests see no setting of whoever runs them."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name == "PORT" or name.startswith("FASTDEPLOY_"):
                patch.delenv(name)
        yield


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """A PostgreSQL server for all tests of this process; what it commits need not outlive a power cut."""
    server = Server("fsync = off", "full_page_writes = off")
    yield server
    server.stop()


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    """A GitHub, to which nothing wrong may have been said in the end."""
    with FakeHub() as made:
        yield made
    assert [] == made.wrongs
