"""The engine's housekeeping: the host's name."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fastdeploy_bot.engine.engine import host_id


def test_host_keeps_its_name(tmp_path: Path) -> None:
    """Made once; what runs under it is found again after a restart."""
    first = host_id(tmp_path)

    assert 32 == len(first)
    assert first == host_id(tmp_path)
    assert ["host-id"] == os.listdir(tmp_path)


def test_engines_that_start_together_agree_on_the_name(tmp_path: Path) -> None:
    """No engine sees the file before the name stands in it."""
    start = threading.Barrier(8)

    def name(_: int) -> str:
        start.wait()
        return host_id(tmp_path)

    with ThreadPoolExecutor(8) as pool:
        names = set(pool.map(name, range(8)))

    assert 1 == len(names)
    assert names != {""}


def test_name_is_whole_before_it_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that dies while it makes the name leaves none behind that another would take."""
    with monkeypatch.context() as dying:
        dying.setattr(os, "fsync", _dies)
        with pytest.raises(OSError, match="power cut"):
            host_id(tmp_path)

    assert not (tmp_path / "host-id").exists()
    assert 32 == len(host_id(tmp_path))
    assert ["host-id"] == os.listdir(tmp_path)


def _dies(*_: object, **__: object) -> None:
    raise OSError("power cut")
