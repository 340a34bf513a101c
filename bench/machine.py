"""What the figures were measured on."""

from __future__ import annotations

import os
import platform
import sqlite3
from importlib import metadata
from pathlib import Path
from typing import Final

PACKAGES: Final = ("fastdeploy_bot", "flask", "gunicorn", "msgspec", "peewee", "websockets")


def facts() -> dict[str, str]:
    """Processor, kernel and versions, by name."""
    versions = {name: metadata.version(name) for name in PACKAGES}
    return {
        "processor": f"{os.cpu_count()} × {_processor()}",
        "kernel": f"{platform.system()} {platform.release()} {platform.machine()}",
        "Python": platform.python_version(),
        "SQLite": sqlite3.sqlite_version,
        **versions,
    }


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.processor())
