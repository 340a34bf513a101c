"""What the bot is measured beside: a module for each, which says what it does and what it does not.

`make peers` fetches them from their registries into `.cache/peers`; nothing is installed on the host.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
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
        raise PeerMissing(f"{name} is absent: `make peers` fetches it, or says why it cannot")
    return found


def versions() -> dict[str, str]:
    """The version of each that is there."""
    programs = {name: _said(name, option) for name, option in (("webhook", "-version"), ("node", "--version"))}
    packages = {name: _packaged(name) for name in ("probot", "@octokit/webhooks", "better-sqlite3")}
    return {name: version for name, version in (programs | packages).items() if version}


def _said(name: str, option: str) -> str:
    try:
        said = subprocess.run([program(name), option], capture_output=True, text=True, timeout=10, check=False).stdout
    except PeerMissing:
        return ""
    found = re.search(r"[0-9.]+", said)
    return found[0] if found else ""


def _packaged(name: str) -> str:
    try:
        version: str = json.loads((NPM / "node_modules" / name / "package.json").read_text())["version"]
    except FileNotFoundError:
        return ""
    return version
