"""What the figures were measured on."""

from __future__ import annotations

import os
import platform
import sqlite3
import statistics
import tempfile
import time
from importlib import metadata
from pathlib import Path
from typing import Final

from bench import peers

PACKAGES: Final = ("fastdeploy_bot", "flask", "gunicorn", "msgspec", "peewee", "websockets")


def facts() -> dict[str, str]:
    """Processor, kernel and versions, by name."""
    versions = {name: metadata.version(name) for name in PACKAGES}
    return {
        "processor": f"{os.cpu_count()} × {_processor()}",
        "kernel": f"{platform.system()} {platform.release()} {platform.machine()}",
        "Python": platform.python_version(),
        "SQLite": sqlite3.sqlite_version,
        "4 kB appended and synced": f"{_sync() * 1_000:.2f} ms",
        **versions,
        **peers.versions(),
    }


def _sync(times: int = 50) -> float:
    """Seconds until what was appended to a file is on disk, in the median: what a commit waits for."""
    took = []
    with tempfile.TemporaryFile(buffering=0) as file:
        for _ in range(times):
            begun = time.perf_counter()
            file.write(bytes(4_096))
            os.fsync(file.fileno())
            took.append(time.perf_counter() - begun)
    return statistics.median(took)


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.processor())
