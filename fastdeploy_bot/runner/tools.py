"""Tools: programs of the host that are asked something."""

from __future__ import annotations

import subprocess


def said(argv: list[str], seconds: float) -> str | None:
    """What a program prints; None where it fails, or takes longer than that."""
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=seconds, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode(errors="replace")
