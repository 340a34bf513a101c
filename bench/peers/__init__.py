"""What the bot is measured beside: a module for each, which says what it does and what it does not.

`make peers` fetches them from their registries into `.cache/peers`; nothing is installed on the host.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).resolve().parents[2] / ".cache" / "peers"
DEBIAN: Final = FOLDER / "debian"
NPM: Final = FOLDER / "npm"


class PeerMissing(Exception):
    """A peer is not there; the message says what to run."""


def program(name: str) -> str:
    """Where a peer's program lies: where `make peers` unpacked it, or installed by whoever runs this."""
    found = shutil.which(name, path=f"{DEBIAN / 'usr/bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}")
    if found is None:
        raise PeerMissing(f"{name} is absent: run `make peers`")
    return found
