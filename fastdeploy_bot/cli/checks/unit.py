"""systemd: the units that start this bot leave its scripts alone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from fastdeploy_bot.cli.checks import Finding, Patient, fail, ok

TRUE: Final = ("1", "yes", "true", "on")
SHIPPED: Final = "docs/fastdeploy.service"


def systemd(patient: Patient) -> Iterator[Finding]:
    """Scripts outlive a restart of the bot, and see the /tmp that they began with."""
    units = [unit for unit in _units(patient.units) if _starts(unit, patient.settings.home)]
    for unit in units:
        yield from _judge(unit)
    if not units:
        yield ok("no systemd unit here starts this bot")


def _judge(unit: Path) -> Iterator[Finding]:
    values = _values(_text(unit))
    mode = values.get("KillMode", "control-group")
    mend = f"systemctl edit {unit.name}: [Service] {{}}; then systemctl daemon-reload and restart it. See {SHIPPED}"
    if mode not in ("process", "none"):
        yield fail(
            f"{unit} has KillMode={mode}",
            "a restart of the bot kills the scripts that run, and their deployments are lost",
            mend.format("KillMode=process"),
        )
    if values.get("PrivateTmp", "no").lower() in TRUE:
        yield fail(
            f"{unit} has PrivateTmp=yes",
            "after a restart the bot has another /tmp than the scripts that still run",
            mend.format("PrivateTmp=no"),
        )
    if mode in ("process", "none") and values.get("PrivateTmp", "no").lower() not in TRUE:
        yield ok(f"{unit.name} leaves scripts alone")


def _units(folders: tuple[Path, ...]) -> list[Path]:
    """Every service's unit; of those of one name the strongest."""
    found: dict[str, Path] = {}
    for folder in folders:
        for unit in sorted(folder.glob("*.service")):
            found.setdefault(unit.name, unit)
    return list(found.values())


def _starts(unit: Path, home: Path) -> bool:
    """Whether a unit starts the bot of that home: it says so, or says no home at all and lets the bot find it."""
    text = _text(unit)
    command = _values(text).get("ExecStart", "")
    if not re.search(r"\bfastdeploy\b.*\b(serve|worker)\b|\bgunicorn\b.*\b(wsgi:app|fastdeploy)", command):
        return False
    homes = re.findall(r"FASTDEPLOY_HOME=[\"']?([^\s\"']+)|--home[= ](\S+)", text)
    return not homes or str(home) in [path for pair in homes for path in pair if path]


def _text(unit: Path) -> str:
    """A unit with what was edited in, as far as this user may read it."""
    parts = [unit, *sorted(unit.parent.joinpath(f"{unit.name}.d").glob("*.conf"))]
    texts = []
    for part in parts:
        try:
            texts.append(part.read_text(errors="replace"))
        except OSError:
            continue
    return "\n".join(texts).replace("\\\n", " ")


def _values(text: str) -> dict[str, str]:
    """The settings of a unit; of several the last one counts."""
    pairs = re.findall(r"^\s*([A-Za-z]+)\s*=\s*(.*?)\s*$", text, re.MULTILINE)
    return dict(pairs)
