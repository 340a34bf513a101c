"""The database, and what its rows tell of others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from fastdeploy_bot import store
from fastdeploy_bot.cli.checks import Finding, Patient, fail, ok, warn
from fastdeploy_bot.core.commits import questions as asking
from fastdeploy_bot.core.files.servicefile import ServiceFile
from fastdeploy_bot.core.people import users as accounts
from fastdeploy_bot.core.pushes import reconciling
from fastdeploy_bot.errors import FastdeployError
from fastdeploy_bot.settings import Settings
from fastdeploy_bot.store.models import Deployment, Report
from fastdeploy_bot.words import DeploymentState, QuestionKind, ReportKind, Role

T = TypeVar("T")

MIB: Final = 1 << 20
LATE: Final = 600.0
"""Seconds after its time limit at which a deployment should have ended."""
SHOWN: Final = 5
PERMISSIONS: Final = {
    ReportKind.STATUS: "commit statuses",
    ReportKind.DEPLOYMENT: "deployments",
    ReportKind.CHECK: "checks",
}
"""By which GitHub takes each kind of report."""
SOUGHT: Final = {
    QuestionKind.CHANGED: "which files differ between commits of",
    QuestionKind.BETWEEN: "which commits are between two of",
    QuestionKind.REACHABLE: "whether a commit is on a branch or tag of",
    QuestionKind.MAY_WRITE: "who may write to",
    QuestionKind.INSTALLED: "what the App may do in",
}
"""What each kind of question asks, before the repository's name."""
CONSEQUENCES: Final = {
    QuestionKind.CHANGED: "the push is deployed, whatever the service's paths",
    QuestionKind.BETWEEN: "the page does not say how far what is live is behind",
    QuestionKind.REACHABLE: "the commit is not deployed",
    QuestionKind.MAY_WRITE: "the button that was pressed does nothing",
    QuestionKind.INSTALLED: "what GitHub refused to hear of is not told again",
}


def database(patient: Patient) -> Iterator[Finding]:
    """It answers, has this version's schema, can be written, and is whole."""
    if missing := _missing(patient.settings):
        yield fail(f"there is no database {missing}", "nothing can be kept", "fastdeploy migrate")
        return
    try:
        with _open(patient.settings):
            store.check()
            faults = store.faults()
            size = store.size()
    except (FastdeployError, store.DatabaseError) as error:
        yield fail(
            f"the database cannot be used: {error}",
            "without it no push is accepted",
            "fastdeploy migrate, where the schema is old; else see that it runs and that this user may write it",
        )
        return
    for fault in faults:
        yield fail(
            f"the database has a fault: {fault}",
            "what is committed may not last",
            "stop the bot, keep a copy of the database, and restore the last backup; what is set wrong, set right",
        )
    if not faults:
        yield ok(f"the database can be written and is whole ({size / MIB:.1f} MiB)")


def users(patient: Patient) -> Iterator[Finding]:
    """Somebody can sign in who may let others in."""
    everyone = _read(patient.settings, accounts.everyone)
    if everyone is None:
        return
    admins = [user.username for user in everyone if user.role == Role.ADMIN]
    if admins:
        yield ok(f"{len(admins)} {'admin' if len(admins) == 1 else 'admins'} can sign in")
    else:
        yield fail(
            "there is no admin", "nobody can let others in, or open /setup", "fastdeploy user add NAME --role admin"
        )


def reports(patient: Patient) -> Iterator[Finding]:
    """What GitHub did not want to hear."""
    rows = _read(patient.settings, _refused)
    if rows is None:
        return
    for row in rows:
        yield warn(
            f"GitHub was not told of the {row.kind} {row.context} of {row.repository} at {row.sha[:7]}: {row.problem}",
            "the commit's page there does not show what became of it",
            f"see that the token or the App may write {PERMISSIONS[ReportKind(row.kind)]} there: docs/github.md; "
            "then deploy once more",
        )
    if not rows:
        yield ok("GitHub has been told of all that it could be")


def missed_pushes(patient: Patient) -> Iterator[Finding]:
    """Repositories that cannot be looked at."""
    watches = _read(patient.settings, reconciling.watches)
    if watches is None:
        return
    for row in watches:
        if row.deaf and patient.settings.poll is None:
            yield ok(f"failed deliveries of {row.repository} are not asked for again: {row.deaf}")
    rows = [row for row in watches if row.problem]
    for row in rows:
        yield warn(
            f"{row.repository} cannot be looked at for missed pushes: {row.problem}",
            "a push whose webhook is lost is not deployed",
            "see that the token or the App may read contents there: docs/github.md",
        )
    if patient.settings.poll is not None and not patient.settings.tells_github:
        yield fail(
            "poll is set, and there is nothing to sign in to GitHub with",
            "nobody looks for pushes",
            "give the bot a token or a GitHub App: docs/github.md",
        )
    elif not rows:
        yield ok("nothing keeps the bot from looking for missed pushes")


def questions(patient: Patient) -> Iterator[Finding]:
    """What GitHub was asked, and did not say."""
    found = _read(patient.settings, asking.troubled)
    if found is None:
        return
    for row in found:
        yield warn(
            f"GitHub did not say {SOUGHT[QuestionKind(row.kind)]} {row.repository}: {row.problem}",
            CONSEQUENCES[QuestionKind(row.kind)],
            "see that the token or the App may read contents and metadata there: docs/github.md",
        )
    if not found:
        yield ok("GitHub has answered all that it was asked")


def other_hosts(patient: Patient) -> Iterator[Finding]:
    """Runs of hosts that do not say how they ended."""
    running = _read(patient.settings, lambda: _running_elsewhere(_host(patient.settings)))
    if running is None:
        return
    silent = [row for row in running if _is_late(row, patient.clock())]
    for row in silent:
        yield warn(
            f"deployment {row.id} should have ended long ago on host {row.host}, which is not this one",
            "only that host can tell its end, and its service deploys nothing until then",
            f"start the bot there; if this is that host under a new name: "
            f"echo {row.host} > {patient.settings.home / 'host-id'}, and restart the bot",
        )
    if not silent:
        yield ok("no other host owes the end of a deployment")


def _missing(settings: Settings) -> str:
    """The database file that is not there: opening it would make one."""
    prefix, _, path = settings.effective_database_url.partition("sqlite:///")
    return path if not prefix and path and not Path(path).is_file() else ""


def _read(settings: Settings, look: Callable[[], list[T]]) -> list[T] | None:
    """What is found in the rows; None where there are none to look at: the check of the database says why."""
    if _missing(settings):
        return None
    try:
        with _open(settings):
            store.require_schema()
            return look()
    except (FastdeployError, store.DatabaseError):
        return None


@contextmanager
def _open(settings: Settings) -> Iterator[None]:
    """This thread's own connection, for a while."""
    store.connect(settings.effective_database_url)
    try:
        yield
    finally:
        store.disconnect()


def _refused() -> list[Report]:
    return list(Report.select().where(Report.problem != "").order_by(Report.id.desc()).limit(SHOWN))


def _running_elsewhere(mine: str) -> list[Deployment]:
    return list(Deployment.select().where(Deployment.state == DeploymentState.RUNNING, Deployment.host != mine))


def _host(settings: Settings) -> str:
    try:
        return (settings.home / "host-id").read_text().strip()
    except OSError:
        return ""


def _is_late(row: Deployment, now: float) -> bool:
    limit = msgspec.json.decode(row.definition or "{}", type=ServiceFile).timeout if row.definition else 0.0
    return row.started is not None and row.started / 1_000 + limit + LATE < now
