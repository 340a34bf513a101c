"""The bell: wakes whoever listens, in this process and in others, and is heard by nobody else."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from fastdeploy_bot.bell import Bell

ROOT = Path(__file__).resolve().parents[2]
LONG = 60.0
"""Seconds: a bound that a wake-up never comes near."""
LISTEN = """
import sys
from pathlib import Path
from fastdeploy_bot.bell import Bell
with Bell(Path(sys.argv[1])).listen() as ears:
    print("listening", flush=True)
    print("rung" if ears.wait(60) else "silent", flush=True)
    sys.stdin.read()
"""
RING = (
    "import sys; from pathlib import Path; from fastdeploy_bot.bell import Bell; print(Bell(Path(sys.argv[1])).ring())"
)


@pytest.fixture
def bell(tmp_path: Path) -> Bell:
    """A bell nobody has listened to yet."""
    return Bell(tmp_path / "home" / "bell")


def python(code: str, bell: Bell) -> subprocess.Popen[str]:
    """Another process that does something with the bell."""
    return subprocess.Popen(
        [sys.executable, "-c", code, str(bell.folder)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )


def line(process: subprocess.Popen[str]) -> str:
    """The next line a process says."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_ringing_without_listeners_wakes_nobody(bell: Bell) -> None:
    """Also where nobody has ever listened: nothing is made, nothing fails."""
    assert 0 == bell.ring()
    assert not bell.folder.exists()


def test_a_ring_is_heard(bell: Bell) -> None:
    """Once; then it is quiet again."""
    with bell.listen() as ears:
        assert 1 == bell.ring()

        assert ears.wait(LONG)
        assert not ears.wait(0)


def test_a_ring_before_waiting_is_not_lost(bell: Bell) -> None:
    """Who looks at the rows and then waits misses nothing that came in between."""
    with bell.listen() as ears:
        bell.ring()
        bell.ring()

        assert ears.wait(0)


def test_nothing_rung_is_nothing_heard(bell: Bell) -> None:
    """The wait ends when its time is over."""
    with bell.listen() as ears:
        assert not ears.wait(0.01)


def test_rings_that_nobody_picked_up_melt_into_one(bell: Bell) -> None:
    """However many: ringing never blocks, and waking once is enough."""
    with bell.listen() as ears:
        assert {1} == {bell.ring() for _ in range(2_000)}

        assert ears.wait(LONG)
        assert not ears.wait(0)


def test_a_waiting_thread_is_woken(bell: Bell) -> None:
    """At once, long before its wait would have ended."""
    with bell.listen() as ears:
        heard: list[bool] = []
        thread = threading.Thread(target=lambda: heard.append(ears.wait(LONG)))
        thread.start()

        bell.ring()
        thread.join(LONG)

        assert [True] == heard


def test_every_listener_hears_every_ring(bell: Bell) -> None:
    """One that has been woken takes nothing from the others."""
    with bell.listen() as one, bell.listen() as other:
        assert 2 == bell.ring()

        assert one.wait(LONG)
        assert other.wait(LONG)


def test_those_who_pick_up_nothing_keep_no_ring_from_others(bell: Bell) -> None:
    """The kernel gives whoever rings room for some hundred rings that were not picked up yet."""
    with contextlib.ExitStack() as deaf, bell.listen() as ears:
        for _ in range(40):
            deaf.enter_context(bell.listen())

        heard = [bell.ring() and ears.wait(0) for _ in range(20)]

    assert [True] * 20 == heard


def test_another_process_is_woken(bell: Bell) -> None:
    """A command on the host wakes the engine in the server."""
    with python(LISTEN, bell) as process:
        assert "listening" == line(process)

        assert 1 == bell.ring()

        assert "rung" == line(process)
        process.communicate()


def test_another_process_can_ring(bell: Bell) -> None:
    """And says how many it woke."""
    with bell.listen() as ears, python(RING, bell) as process:
        assert "1" == line(process)
        assert ears.wait(LONG)


def test_a_listener_that_died_is_swept_away(bell: Bell) -> None:
    """A killed process leaves its socket behind; the next ring removes it."""
    with python(LISTEN, bell) as process:
        assert "listening" == line(process)
        assert 1 == len(os.listdir(bell.folder))
        process.send_signal(signal.SIGKILL)
        process.wait()

    with bell.listen() as ears:
        assert 1 == bell.ring()
        assert ears.wait(LONG)
        assert 1 == len(os.listdir(bell.folder))


def test_a_listener_that_is_done_leaves_nothing(bell: Bell) -> None:
    """Nobody is woken after it was closed."""
    with bell.listen():
        pass

    assert 0 == bell.ring()
    assert [] == os.listdir(bell.folder)


def test_a_path_may_be_longer_than_a_sockets_address(tmp_path: Path) -> None:
    """An address has 107 bytes; a home may lie deeper than that."""
    bell = Bell(tmp_path / ("deep" * 20) / ("deeper" * 20) / "bell")
    assert len(str(bell.folder)) > 200

    with bell.listen() as ears:
        assert 1 == bell.ring()
        assert ears.wait(LONG)


def test_the_folder_is_the_bots_alone(bell: Bell) -> None:
    """Nobody else may ring or listen."""
    with bell.listen():
        assert 0o700 == bell.folder.stat().st_mode & 0o777


def test_ringing_leaves_no_descriptor_open(bell: Bell) -> None:
    """It is done for every push."""
    with bell.listen():
        bell.ring()
        before = len(os.listdir("/proc/self/fd"))

        for _ in range(50):
            bell.ring()

        assert before == len(os.listdir("/proc/self/fd"))


def test_a_process_with_a_thousand_clients_hears_as_well(bell: Bell) -> None:
    """Its listeners have descriptors that `select` cannot wait for."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 2_048)), hard))
    try:
        with contextlib.ExitStack() as clients:
            while clients.enter_context(Path(os.devnull).open()).fileno() < 1_024:
                pass
            with bell.listen() as ears:
                bell.ring()

                assert ears.wait(LONG)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
