"""A real bot for a test: its own home, its own server on a free port, and everything it started ended with it."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import requests

ROOT: Final = Path(__file__).resolve().parents[2]
"""The checkout under test."""
COMMAND: Final = (sys.executable, "-m", "fastdeploy_bot")
"""`fastdeploy`, as the tests' own Python runs it."""
ADMIN: Final = ("admin", "correct horse battery")
"""Name and password of the user that `init` makes."""
FINAL: Final = frozenset({"success", "failure", "cancelled", "superseded", "lost"})
PATIENCE: Final = 30.0
"""Seconds after which a condition that has not come true is a fault, on a loaded machine too."""

Json = dict[str, Any]  # what the API answers is judged by the tests, key by key
Toml = str | bool | int | Sequence[str] | Mapping[str, str]


def wait_for[T](condition: Callable[[], T], seconds: float = PATIENCE, what: str = "") -> T:
    """The condition's first true answer. Raises AssertionError when none came in time."""
    deadline = time.monotonic() + seconds
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:g} s: {what or condition}; last answer {answer!r}")
        time.sleep(0.02)
