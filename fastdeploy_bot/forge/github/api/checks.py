"""Check runs and check suites.

Source: https://docs.github.com/en/rest/checks
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote

import msgspec

from fastdeploy_bot.forge.github import check_texts
from fastdeploy_bot.forge.github.api import pages
from fastdeploy_bot.forge.github.api.conditional import Known
from fastdeploy_bot.forge.github.api.pages import Page
from fastdeploy_bot.forge.github.check_texts import Run
from fastdeploy_bot.forge.github.client import Answer, Client, Numbered, not_understood, repository_path, understood
from fastdeploy_bot.forge.github.permissions import Needs

WRITES: Final = Needs(checks="write")
READS: Final = Needs(checks="read")


class App(msgspec.Struct, frozen=True):
    """Who makes check runs."""

    id: int | None = None
    client_id: str | None = None
    slug: str | None = None
    name: str | None = None

    @property
    def names(self) -> frozenset[str]:
        """What it is called: by its id, its client id, or both."""
        return frozenset(str(name) for name in (self.id, self.client_id) if name is not None)


class SuiteId(msgspec.Struct, frozen=True):
    """Which suite a check run is of."""

    id: int


class Output(msgspec.Struct, frozen=True):
    """What a check run says."""

    title: str | None = None


class ListedRun(msgspec.Struct, frozen=True):
    """A check run, as somebody made it."""

    id: int
    name: str
    status: str
    conclusion: str | None = None
    check_suite: SuiteId | None = None
    app: App | None = None
    output: Output | None = None


class ListedSuite(msgspec.Struct, frozen=True):
    """All check runs of one App for a commit; of GitHub Actions, those of one workflow's run."""

    id: int
    status: str | None = None
    conclusion: str | None = None
    latest_check_runs_count: int | None = None
    app: App | None = None


class _Runs(msgspec.Struct):
    check_runs: list[ListedRun]
    total_count: int = 0


class _Suites(msgspec.Struct):
    check_suites: list[ListedSuite]
    total_count: int = 0


def create(client: Client, token: str, repository: str, run: Run) -> int:
    """A new check run; answers GitHub's id of it."""
    path, body = f"{repository_path(repository)}/check-runs", check_texts.created(run)
    data = client.call("POST", path, token, expected={HTTPStatus.CREATED}, body=body).data
    return understood(data, Numbered, "id of a check run").id


def update(client: Client, token: str, repository: str, number: int, run: Run) -> int:
    """Let a check run be so; answers how many annotations it has by then: each time more are added to them."""
    path, body = f"{repository_path(repository)}/check-runs/{number}", check_texts.updated(run)
    data = client.call("PATCH", path, token, body=body).data
    output = data.get("output") if isinstance(data, dict) else None
    count = output.get("annotations_count") if isinstance(output, dict) else None
    return count if isinstance(count, int) else 0


def find(client: Client, token: str, repository: str, run: Run) -> int | None:
    """GitHub's id of a check run that may have been created; None where it was not."""
    path = f"{repository_path(repository)}/commits/{quote(run.sha, safe='')}/check-runs"
    query: dict[str, str | int] = {"check_name": run.name, "filter": "all", "per_page": pages.SIZE}
    data = client.call("GET", path, token, query=query, largest=pages.LARGEST).data
    runs = data.get("check_runs") if isinstance(data, dict) else None
    if not isinstance(runs, list):
        raise not_understood("no list of check runs")
    numbers = [each.get("id") for each in runs if isinstance(each, dict) and _is(each, run)]
    return next((number for number in numbers if isinstance(number, int)), None)


def runs(
    client: Client, token: str, repository: str, sha: str, *, page: int, before: Known[Page[ListedRun]] | None
) -> Known[Page[ListedRun]]:
    """A page of a commit's check runs, the newest of each name and suite."""
    path = f"{repository_path(repository)}/commits/{quote(sha, safe='')}/check-runs"
    return pages.get(client, token, path, _runs, page=page, before=before, filter="latest")


def suites(
    client: Client, token: str, repository: str, sha: str, *, page: int, before: Known[Page[ListedSuite]] | None
) -> Known[Page[ListedSuite]]:
    """A page of a commit's check suites."""
    path = f"{repository_path(repository)}/commits/{quote(sha, safe='')}/check-suites"
    return pages.get(client, token, path, _suites, page=page, before=before)


def _runs(answer: Answer) -> Page[ListedRun]:
    found = understood(answer.data, _Runs, "list of check runs")
    return Page(found.check_runs, found.total_count)


def _suites(answer: Answer) -> Page[ListedSuite]:
    found = understood(answer.data, _Suites, "list of check suites")
    return Page(found.check_suites, found.total_count)


def _is(found: dict[str, Any], run: Run) -> bool:
    return found.get("external_id") == str(run.number) and found.get("details_url") == run.page
