"""The command to look for what is wrong: `doctor`."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Final

import click
from msgspec.structs import replace

from fastdeploy_bot.cli import checks, printing, shared
from fastdeploy_bot.cli.checks import Check, Finding, Level, Patient, host, reach, rows, secrecy, services, unit
from fastdeploy_bot.settings import BadSettings

CHECKS: Final[Sequence[Check]] = (
    secrecy.secret_key,
    secrecy.webhook_secrets,
    secrecy.file_modes,
    secrecy.owner,
    host.clock,
    host.disk,
    host.filesystem,
    host.git,
    unit.systemd,
    rows.database,
    rows.users,
    rows.reports,
    rows.missed_pushes,
    rows.questions,
    rows.other_hosts,
    services.service_files,
    services.service_secrets,
    services.scripts,
    reach.local_url,
    reach.public_url,
    reach.engine,
    reach.github,
)
SECONDS: Final = 20.0
"""How long a check may take."""
MARKS: Final = {Level.OK: ("✓", "green"), Level.WARN: ("!", "yellow"), Level.FAIL: ("✗", "red")}


@click.command()
@shared.as_json
def doctor(json_: bool) -> None:
    """Look for what is wrong with this host's bot, and say how to mend it.

    Ends with 1 if anything fails; what is only worth a warning does not count.

    \b
    fastdeploy doctor
    sudo -u deploy fastdeploy --home /srv/deploy doctor --json
    """  # noqa: D301 - click wants the character: what follows keeps its lines
    try:
        findings = examine(checks.here(shared.settings()), CHECKS)
    except BadSettings as error:
        findings = [_unread(problem) for problem in error.problems]
    if json_:
        printing.show(findings)
    else:
        _tell(findings)
    sys.exit(1 if any(each.level is Level.FAIL for each in findings) else 0)


def examine(patient: Patient, wanted: Iterable[Check], *, seconds: float = SECONDS) -> list[Finding]:
    """What the checks find. One that crashes, or takes longer than that, is a finding itself."""
    if not patient.settings.home.is_dir():
        what, mend = f"there is no bot in {patient.settings.home}", "fastdeploy init, or set FASTDEPLOY_HOME"
        return [Finding("home", Level.FAIL, what, "there is nothing to look at", mend)]
    return [finding for check in wanted for finding in _findings(check, patient, seconds)]


def _findings(check: Check, patient: Patient, seconds: float) -> list[Finding]:
    name = check.__name__.replace("_", "-")
    done: SimpleQueue[list[Finding]] = SimpleQueue()
    Thread(target=lambda: done.put(_found(check, patient)), name=f"check {name}", daemon=True).start()
    try:
        found = done.get(timeout=seconds)
    except Empty:
        what = f"this check has not ended after {seconds:g} s"
        found = [checks.fail(what, "something that it asks does not answer", "see what is slow, and try again")]
    return [replace(each, check=name) for each in found]


def _found(check: Check, patient: Patient) -> list[Finding]:
    try:
        return list(check(patient))
    except Exception as error:  # noqa: BLE001 - a check's outer edge: whatever goes wrong in one is told, in its place
        what = f"this check could not be made: {type(error).__name__}: {getattr(error, 'strerror', None) or 'a fault'}"
        return [checks.fail(what, "so nobody knows", "run it as the bot's user; else this is a fault of the bot")]


def _unread(problem: str) -> Finding:
    return Finding("settings", Level.FAIL, problem, "the bot does not start", "mend it: docs/settings.md")


def _tell(findings: Sequence[Finding]) -> None:
    for each in findings:
        mark, colour = MARKS[each.level]
        shown = click.style(mark, fg=colour) if printing.coloured() else mark
        click.echo(f"{shown} {each.check}: {printing.clean(each.what)}")
        if each.level is not Level.OK:
            click.echo(f"    because: {printing.clean(each.why)}\n    mend: {printing.clean(each.mend)}")
    counts = {level: sum(each.level is level for each in findings) for level in Level}
    click.echo(f"{counts[Level.FAIL]} to mend, {counts[Level.WARN]} to think about, {counts[Level.OK]} well")
