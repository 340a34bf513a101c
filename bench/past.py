"""A past for a bot: deployments that pushes once asked for, and all that is kept of them, into its database."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import peewee

from bots import Bot
from fastdeploy_bot import store
from fastdeploy_bot.core import clock
from fastdeploy_bot.sources import load
from fastdeploy_bot.store.models import Delivery, Deployment, LogChunk, Report, Service, Step, Verdict

AT_ONCE: Final = 1_000
REPOSITORY: Final = {"ref": "refs/heads/main", "repository": "octo-org/shop"}
MINUTE: Final = 60_000
DAYS: Final = 60
"""How far back goes what a bot is given: less than what retention removes."""

Value = str | int | bytes | bool
Rows = Sequence[Mapping[str, Value]]


def give(bot: Bot, deployments: int, kept: Path) -> None:
    """Give a bot that is not up so many deployments of its services; they are made once, and copied from then on."""
    database = bot.home / "fastdeploy.db"
    if not kept.exists():
        store.connect(load(flags={"home": str(bot.home)}).settings.effective_database_url)
        services = [service.id for service in Service.select(Service.id)]
        apart = DAYS * clock.DAY // deployments
        deploy(deployments, services, since=clock.now() - DAYS * clock.DAY, steps=2, apart=apart)
        store.disconnect()
        shutil.copy(database, kept)
    shutil.copy(kept, database)


def services(count: int) -> list[int]:
    """So many new services, by their ids."""
    return [Service.create(name=f"service-{each}", repository="octo-org/shop", created=0).id for each in range(count)]


def deploy(
    count: int, services: Sequence[int], *, since: int, steps: int = 0, log: Sequence[bytes] = (), apart: int = MINUTE
) -> None:
    """So many pushes to the services in turn, each deployed at once: one of three a success, and told to GitHub.

    `since` is when the first one came and `apart` what lies between two, in milliseconds. The store is connected, and
    has neither deliveries nor deployments yet.
    """
    for first in range(1, count + 1, AT_ONCE):
        numbers = range(first, min(first + AT_ONCE, count + 1))
        came = {number: since + number * apart for number in numbers}
        mapped = {number: services[number % len(services)] for number in numbers}
        tables: dict[type[peewee.Model], Rows] = {
            Delivery: [_delivery(number, came[number]) for number in numbers],
            Deployment: [_deployment(number, mapped[number], came[number]) for number in numbers],
            Verdict: [_verdict(number, mapped[number], came[number]) for number in numbers],
            Step: [_step(number, step) for number in numbers for step in range(1, steps + 1)],
            LogChunk: [piece for number in numbers for piece in _log(number, log)],
            Report: [_report(number) for number in numbers],
        }
        store.write(partial(_insert, tables))


def _insert(tables: Mapping[type[peewee.Model], Rows]) -> None:
    for model, rows in tables.items():
        if rows:
            _insert_all(model, rows)


def _insert_all(model: type[peewee.Model], rows: Rows) -> None:
    """By one statement for all rows, which peewee would write anew for each; they have values for the same columns."""
    meta: Any = model._meta  # peewee's types do not know it
    text, values = model.insert(rows[0]).sql()
    columns = [meta.columns[name].name for name in re.findall(r'"(\w+)"', text)[1:][: len(values)]]
    first = dict(zip(columns, values, strict=True))  # with the defaults of all others
    meta.database.cursor().executemany(text, [[row.get(name, first[name]) for name in columns] for row in rows])


def _delivery(number: int, came: int) -> dict[str, Value]:
    return {
        "guid": f"g-{number}",
        "event": "push",
        "repository_id": 1,
        "ref": REPOSITORY["ref"],
        "pushed_at": number,
        "received": came,
        "headers": "{}" * 200,
        "reason": "",
        "peer": "",
        "push_key": f"k-{number}",
    }


def _deployment(number: int, service: int, came: int) -> dict[str, Value]:
    return {
        "service": service,
        "state": "failure" if number % 3 else "success",
        "origin": "push",
        "sha": f"{number:040x}",
        "before": f"{number - 1:040x}",
        "actor": "anna",
        "delivery": number,
        "created": came,
        "started": came,
        "finished": came + 50_000,
        "title": "A commit",
        "context": "{}",
        "reason": "",
        "reported_message": "",
        "steps_read": 0,
        "report": '["status"]',
        **REPOSITORY,
    }


def _verdict(number: int, service: int, came: int) -> dict[str, Value]:
    return {
        "delivery": number,
        "service": service,
        "verdict": "deploy",
        "reason": "branch main is now 0123456",
        "counts": True,
        "deployment": number,
        "decided": came,
    }


def _step(number: int, step: int) -> dict[str, Value]:
    return {"deployment": number, "name": f"Step {step}", "position": step, "state": "success", "message": ""}


def _log(number: int, pieces: Iterable[bytes]) -> Iterable[dict[str, Value]]:
    offset = 0
    for piece in pieces:
        yield {"deployment": number, "offset": offset, "data": piece}
        offset += len(piece)


def _report(number: int) -> dict[str, Value]:
    return {
        "repository": REPOSITORY["repository"],
        "sha": f"{number:040x}",
        "context": "fastdeploy/shop",
        "deployment": number,
        "changes": 1,
        "told": 1,
        "due": 0,
        "attempts": 0,
        "problem": "",
    }
