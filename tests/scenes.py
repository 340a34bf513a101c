"""A believable bot to look at: five services in five states, with a past."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from fastdeploy_bot import store
from fastdeploy_bot.core.commits import between
from fastdeploy_bot.core.deploying.services import sync
from fastdeploy_bot.core.files.catalogue import Catalogue
from fastdeploy_bot.core.output import logs
from fastdeploy_bot.store.models import Delivery, Deployment, Service, Step, Verdict
from fastdeploy_bot.words import Commit

SECOND: Final = 1_000
MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR
STEPS: Final = (("Checkout", 2), ("Build", 22), ("Migrate", 20), ("Restart", 8))
"""The steps of every service, and the seconds that each usually takes."""
TITLES: Final = (
    "Bump dependencies",
    "Fix the dates of the feed",
    "Show prices with tax",
    "Cache the sitemap",
    "Drop Python 3.10",
)
PAST: Final = {
    "api": (8 * DAY, 7 * DAY, 6 * DAY, 5 * DAY, 4 * DAY, 3 * DAY, 50 * HOUR, 26 * HOUR, 2 * HOUR),
    "shop": (7 * DAY, 4 * DAY, 3 * DAY, 2 * DAY),
    "blog": (6 * DAY, 4 * DAY, 3 * DAY, 52 * HOUR, 30 * HOUR, 5 * HOUR),
    "docs": (5 * DAY, 3 * DAY, 9 * HOUR),
    "search": (4 * DAY, 20 * HOUR),
}
"""How long ago each service was deployed."""
PACES: Final = (1.0, 0.6, 1.0, 1.5, 0.8, 1.2)
"""How long the runs of a service took in turn, by what is usual."""
LOG: Final = (
    ("Checkout", 0, "From https://github.com/octo-org/shop\n   fe01d2..9c1f2e  main -> origin/main\n"),
    ("Build", 3, "\x1b[36m#1\x1b[0m resolving packages… \x1b[32mdone\x1b[0m\n"),
    ("Build", 9, "\x1b[36m#2\x1b[0m \x1b[33mwarning\x1b[0m: 2 packages are out of date\n"),
    ("Build", 21, "\x1b[36m#3\x1b[0m built \x1b[1mshop-4.2.0\x1b[0m in 19.8 s\n"),
    ("Migrate", 24, "$ ./manage.py migrate\n\x1b[1mRunning migrations:\x1b[0m\n"),
    ("Migrate", 25, "  Applying shop.0041_prices… \x1b[1;32mOK\x1b[0m\n  Applying shop.0042_tax…\n"),
    (
        "Migrate",
        27,
        "\x1b[31mpsycopg.errors.NotNullViolation\x1b[0m: "
        'column "rate" of relation "tax" contains \x1b[97;41m null values \x1b[0m\n',
    ),
)
"""What a deployment writes that fails: in which step, after how many seconds."""


def draw(home: Path, *, now: int) -> dict[str, int]:
    """Write the services' files and rows; answers the newest deployment of each. The database is connected."""
    for name in ("api", "blog", "docs", "search", "shop"):
        _file(home, name)
    sync(Catalogue(home / "services").entries(), now=now - 9 * DAY)
    return store.write(lambda: _drawn(now))


def _drawn(now: int) -> dict[str, int]:
    past = sorted((age, name) for name, ages in PAST.items() for age in ages)
    newest = {name: _succeeded(name, now - age) for age, name in reversed(past)}
    newest["shop"] = _failed(now - 3 * MINUTE)
    newest["search"] = _row("search", "queued", created=now - 20 * SECOND, reason="4 of 4 run").id
    newest["blog"] = _running(now)
    return newest


def commit(name: str) -> str:
    """A made-up commit."""
    return hashlib.sha1(name.encode(), usedforsecurity=False).hexdigest()


def guid(number: int) -> str:
    """A made-up delivery."""
    return commit(f"delivery {number}")[:12]


def _file(home: Path, name: str) -> None:
    path = home / "services" / name / "service.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    visibility = {"docs": "public", "api": "status"}.get(name, "private")
    keys = {"repository": f"octo-org/{name}", "branches": ["main"], "visibility": visibility}
    path.write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in keys.items()))


def _succeeded(name: str, at: int) -> int:
    earlier = Deployment.select().join(Service).where(Service.name == name).count()
    pace = PACES[earlier % len(PACES)]
    begun = at - round(57 * pace) * SECOND
    row = _row(name, "success", created=begun - 3 * SECOND, started=begun, finished=at, exit_status=0)
    _steps(row, begun, ["success"] * len(STEPS), pace=pace)
    logs.append(row.id, 0, b"built\nrestarted\n", limit=1 << 20)
    return row.id


def _failed(at: int) -> int:
    times = {"created": at - 40 * SECOND, "started": at - 38 * SECOND, "finished": at}
    row = _row("shop", "failure", **times, exit_status=1, reason="exit status 1")
    _steps(row, at - 38 * SECOND, ["success", "success", "failure", "skipped"])
    _log(row, at - 38 * SECOND)
    return row.id


def _running(now: int) -> int:
    row = _row("blog", "running", created=now - 45 * SECOND, started=now - 41 * SECOND)
    _steps(row, now - 41 * SECOND, ["success", "success", "running", "pending"])
    logs.append(row.id, 0, "".join(f"Applying 00{n}_feed… OK\n" for n in range(10, 43)).encode(), limit=1 << 20)
    return row.id


def _log(row: Deployment, begun: int) -> None:
    place = 0
    for name, seconds, text in LOG:
        data, mine = text.encode(), (Step.deployment == row) & (Step.name == name)
        logs.append(row.id, place, data, limit=1 << 20, times=[(place, begun + seconds * SECOND)])
        Step.update(log_from=place).where(mine, Step.log_from.is_null()).execute()
        place += len(data)
        Step.update(log_to=place).where(mine).execute()


def _row(name: str, state: str, *, created: int, **facts: Any) -> Deployment:
    service = Service.get(Service.name == name)
    number = Deployment.select().count()
    sha, title = commit(f"{name} {number}"), TITLES[number % len(TITLES)]
    last = Deployment.select().where(Deployment.service == service).order_by(Deployment.id.desc()).first()
    before = commit(f"{name} 0") if last is None else last.sha
    actor = ("anna", "ben")[number % 2]
    delivery = Delivery.create(
        guid=guid(number),
        event="push",
        repository=f"octo-org/{name}",
        repository_id=service.id,
        default_branch="main",
        pushed_at=created // SECOND,
        commits=between.kept((Commit(sha, title, actor),)),
        size=1,
        ref="refs/heads/main",
        before=before,
        after=sha,
        commit=sha,
        peer="140.82.115.3",
        headers=json.dumps({"X-GitHub-Event": "push", "User-Agent": "GitHub-Hookshot/1"}),
        body=b"{}",
        received=created,
    )
    row = Deployment.create(
        service=service,
        state=state,
        origin="push",
        sha=sha,
        ref="refs/heads/main",
        before=before,
        repository=f"octo-org/{name}",
        actor=actor,
        title=title,
        delivery=delivery,
        created=created,
        host=None if state == "queued" else "web1",
        **facts,
    )
    told = {"verdict": "deploy", "reason": "refs/heads/main is mapped", "counts": True, "decided": created}
    verdict = Verdict.create(delivery=delivery, service=service, deployment=row, **told)
    Service.update(newest=verdict.id, repository_id=service.id).where(Service.id == service.id).execute()
    return row


def _steps(row: Deployment, at: int, states: Sequence[str], *, pace: float = 1.0) -> None:
    steps = []
    for position, ((name, seconds), state) in enumerate(zip(STEPS, states, strict=True), start=1):
        begun, took = state in {"success", "failure", "running"}, round(seconds * pace * SECOND)
        steps.append(
            {
                "deployment": row,
                "name": name,
                "position": position,
                "state": state,
                "started": at if begun else None,
                "finished": at + took if begun and state != "running" else None,
            }
        )
        at += took
    Step.insert_many(steps).execute()
