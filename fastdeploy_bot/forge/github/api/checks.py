"""Check runs.

Source: https://docs.github.com/en/rest/checks/runs
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote

from fastdeploy_bot.forge.github import check_texts
from fastdeploy_bot.forge.github.check_texts import Run
from fastdeploy_bot.forge.github.client import Client, not_understood, repository_path
from fastdeploy_bot.forge.github.permissions import Needs

WRITES: Final = Needs(checks="write")


def create(client: Client, token: str, repository: str, run: Run) -> int:
    """A new check run; answers GitHub's id of it."""
    path, body = f"{repository_path(repository)}/check-runs", check_texts.created(run)
    data = client.call("POST", path, token, expected={HTTPStatus.CREATED}, body=body).data
    number = data.get("id") if isinstance(data, dict) else None
    if not isinstance(number, int):
        raise not_understood("no id of a check run")
    return number


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
    query: dict[str, str | int] = {"check_name": run.name, "filter": "all", "per_page": 20}
    data = client.call("GET", path, token, query=query).data
    runs = data.get("check_runs") if isinstance(data, dict) else None
    if not isinstance(runs, list):
        raise not_understood("no list of check runs")
    numbers = [each.get("id") for each in runs if isinstance(each, dict) and _is(each, run)]
    return next((number for number in numbers if isinstance(number, int)), None)


def _is(found: dict[str, Any], run: Run) -> bool:
    return found.get("external_id") == str(run.number) and found.get("details_url") == run.page
