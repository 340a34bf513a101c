"""Reach: the bot answers where scripts and GitHub look for it, its engine is awake, and GitHub lets it in."""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing
from itertools import islice
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from fastdeploy_bot import appfile, values
from fastdeploy_bot.bell import Bell
from fastdeploy_bot.cli.checks import Finding, Patient, fail, ok, warn
from fastdeploy_bot.cli.checks.rows import PERMISSIONS
from fastdeploy_bot.core import clock, leases
from fastdeploy_bot.core.files.catalogue import Catalogue
from fastdeploy_bot.core.telling import outbox
from fastdeploy_bot.words import ReportKind

if TYPE_CHECKING:
    from fastdeploy_bot.forge.github.app_auth import Credentials
    from fastdeploy_bot.forge.github.client import Client

SECONDS: Final = 5.0


def local_url(patient: Patient) -> Iterator[Finding]:
    """Where scripts report their steps."""
    url = patient.settings.effective_local_url
    if problem := _problem(url):
        yield fail(
            f"the bot does not answer at {url}: {problem}",
            "scripts report their steps there",
            "start it: systemctl start fastdeploy, or fastdeploy serve; or mend local_url, host and port",
        )
    else:
        yield ok(f"the bot answers at {url}")


def public_url(patient: Patient) -> Iterator[Finding]:
    """Where links lead, as far as this host sees it."""
    settings = patient.settings
    if settings.public_url is None:
        yield warn(
            f"public_url is not set, so links lead to {settings.effective_public_url}",
            "they work on this host alone, in what GitHub is told, too",
            f'add public_url = "https://…" to {settings.home / "fastdeploy.toml"}, and restart the bot',
        )
    elif problem := _problem(settings.public_url):
        yield fail(
            f"nothing good answers at {settings.public_url}: {problem}",
            "GitHub delivers there, and links lead there",
            "see that the proxy runs and passes on to the bot: docs/proxies.md; or mend public_url",
        )
    else:
        yield ok(f"the bot answers at {settings.public_url}")


def engine(patient: Patient) -> Iterator[Finding]:
    """Somebody of this host hears the bell."""
    settings = patient.settings
    if settings.max_running == 0:
        yield ok("max_running is 0: this host runs no deployments")
    elif Bell(settings.bell_dir).ring() == 0:
        yield fail(
            "no engine of this host is awake",
            "what is pushed waits in the queue",
            "start the bot: systemctl start fastdeploy, or fastdeploy serve; if it runs, restart it and read its log",
        )
    else:
        yield ok("the engine is awake")


def github(patient: Patient) -> Iterator[Finding]:
    """Its credentials are good for the repositories of the services."""
    settings = patient.settings
    if problem := appfile.problem(settings.home):
        yield fail(problem, "the bot cannot sign in to GitHub with it", "mend it, or take it away and open /setup")
    if not settings.tells_github:
        yield ok("there are no credentials for GitHub, so it is told nothing")
        return
    if (until := leases.silent_until(now=int(patient.clock() * 1_000))) is not None:
        yield warn(
            f"GitHub wants to be asked nothing until {clock.text(until)}",
            "what it is owed waits until then",
            "wait: the bot goes on by itself",
        )
        return
    wanted = _wanted(patient)
    refusals = list(_refusals(patient, dict(sorted(wanted.items())[:MOST])))
    refusals += _unread(patient)
    yield from refusals
    if not refusals:
        yield ok(f"GitHub lets the bot in ({len(wanted)} repositories)")


def _wanted(patient: Patient) -> dict[str, set[ReportKind]]:
    """What is to be told of each repository."""
    kinds: dict[str, set[ReportKind]] = {}
    for entry in Catalogue(patient.settings.services_dir).entries().values():
        if entry.file is not None:
            kinds.setdefault(entry.file.repository, set()).update(map(ReportKind, entry.file.report))
    return kinds


def _refusals(patient: Patient, wanted: Mapping[str, Collection[ReportKind]]) -> Iterator[Finding]:
    """The first of each repository."""
    from fastdeploy_bot.engine import line
    from fastdeploy_bot.forge.github.client import Client

    settings, now = patient.settings, int(patient.clock() * 1_000)
    with closing(Client(settings.github_api_url, settings.github_api_version)) as client:
        credentials = line.SignIn(settings, client).present
        if credentials is None:
            return
        for repository, kinds in wanted.items():
            ordered = [kind for kind in outbox.ORDER if kind in kinds]
            found = (_refusal(client, credentials, repository, kind, now) for kind in ordered)
            yield from islice(filter(None, found), 1)


def _unread(patient: Patient) -> Iterator[Finding]:
    """What keeps checks from being read that services wait for: the first of each repository."""
    from fastdeploy_bot.engine import checks, line
    from fastdeploy_bot.forge.github.client import CallFailed, Client

    settings, now = patient.settings, int(patient.clock() * 1_000)
    entries = Catalogue(settings.services_dir).entries().values()
    waiting = {entry.file.repository for entry in entries if entry.file is not None and entry.file.wait_for}
    with closing(Client(settings.github_api_url, settings.github_api_version)) as client:
        credentials = line.SignIn(settings, client)
        for repository in sorted(waiting)[:MOST]:
            try:
                credentials.token(repository, checks.READS, now=now)
            except CallFailed as error:
                finding = fail if error.permanent else warn
                yield finding(f"GitHub refuses the checks of {repository}: {error}", WAITING, READING)


def _refusal(client: Client, credentials: Credentials, repository: str, kind: ReportKind, now: int) -> Finding | None:
    from fastdeploy_bot.forge.github.api import checks, deployments, repositories, statuses
    from fastdeploy_bot.forge.github.client import CallFailed

    needs = {
        ReportKind.STATUS: statuses.WRITES,
        ReportKind.DEPLOYMENT: deployments.WRITES,
        ReportKind.CHECK: checks.WRITES,
    }
    if kind is ReportKind.CHECK and not credentials.is_app:
        why = "GitHub takes them from a GitHub App only: none is owed"
        return warn(f"a service of {repository} wants check runs", why, NO_APP)
    mend = f"give the token or the App {PERMISSIONS[kind]} write on it, and install the App there: docs/github.md"
    try:
        token = credentials.token(repository, needs[kind], now=now)
        writable = repositories.may_push(client, token, repository)
    except CallFailed as error:
        finding = fail if error.permanent else warn
        return finding(f"GitHub refuses {repository}: {error}", WHY, mend)
    return fail(f"GitHub lets the token of {repository} read only", WHY, mend) if writable is False else None


MOST: Final = 10
"""How many repositories are asked about."""
WAITING: Final = "its service waits for checks (wait_for), and nobody can ask for them"
READING: Final = "give the token or the App checks read and commit statuses read on it: docs/checks.md"
WHY: Final = "its commits do not show what became of them"
NO_APP: Final = 'sign in as a GitHub App, or take "check" out of the report of its service.toml: docs/github.md'


def _problem(url: str) -> str:
    """Why the bot's health cannot be asked there; empty where it can."""
    loopback = values.is_loopback(urlsplit(url).hostname or "")
    opener = urllib.request.build_opener(*([urllib.request.ProxyHandler({})] if loopback else []))
    try:
        with opener.open(f"{url}/healthz", timeout=SECONDS) as answer:
            return "" if answer.read(4096) == b'{"status":"ok"}' else "what answers is not the bot"
    except urllib.error.HTTPError as error:
        with error:
            return f"{error.code} {error.reason}"
    except (OSError, http.client.HTTPException) as error:
        return str(getattr(error, "reason", "")) or str(error) or type(error).__name__
