"""The pages: what stands, drawn by the server for whoever reads, whole without a script."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec
from flask import Blueprint, Flask, Response, render_template, request
from flask.typing import ResponseReturnValue

from fastdeploy_bot.core import (
    access,
    clock,
    deliveries,
    feed,
    forecast,
    heads,
    holdbacks,
    loglines,
    logs,
    outbox,
    questions,
    reconciling,
    refusals,
    rollbacks,
    services,
    standing,
)
from fastdeploy_bot.core.access import Action
from fastdeploy_bot.core.catalogue import Entry
from fastdeploy_bot.core.forecast import Habit
from fastdeploy_bot.core.standing import Run, Seen, Sight
from fastdeploy_bot.errors import Invalid, NotFound
from fastdeploy_bot.store.models import Deployment, Recovery, Report, Service, Step
from fastdeploy_bot.web import browser, context, display
from fastdeploy_bot.words import DeploymentState, StepState

bp = Blueprint("pages", __name__)

NEWEST: Final = 2**63 - 1
"""The largest id that a row can have."""
ID: Final = f"<int(max={NEWEST}):id>"
LAST_LINES: Final = 2_000
"""How many lines of a log are drawn at first."""
MOST_LINES: Final = 20_000
"""How many are drawn at most; to draw a long log whole would hold up everybody else."""
TAIL: Final = 20
"""How many lines of a log stand beside a failure."""
TAIL_BYTES: Final = 256 * 1024
"""How much of the log's end is looked at for those."""
RATE_OF: Final = 20
"""How many of a service's last deployments its success rate is of."""


LOCK_SPANS: Final = {"1 hour": 3_600, "4 hours": 14_400, "1 day": 86_400, "3 days": 259_200, "1 week": 604_800}
"""How long a lock may last that a form asks for, in seconds."""


class StepLine(msgspec.Struct, frozen=True):
    """A step as it is drawn."""

    name: str
    state: str
    time: str
    """How long it took, or takes, or usually takes."""
    message: str


def register(app: Flask) -> None:
    """Let templates make the numbers by which a form's second coming is known."""
    app.jinja_env.globals.update(nonce=lambda: secrets.token_urlsafe(12))


@bp.get("/")
def overview() -> ResponseReturnValue:
    """How all services stand, those that need somebody first, and what was deployed lately."""
    since, now, entries = feed.newest(), clock.now(), context.bot().catalogue.entries()
    seen = standing.seen(browser.reader(), entries)
    if not seen:
        browser.require(Action.BROWSE)
    query = request.args.get("q", "")[: standing.LONGEST_QUERY].strip()
    board = standing.board(seen, entries, now=now)
    runs = standing.runs(seen, before=_before(), limit=standing.RECENT + 1, query=query)
    latest = deliveries.latest(1) if not runs else []
    return _page(
        "overview.html",
        since=since,
        now=now,
        state=display.worst(board),
        headline=display.headline(board, now=now),
        standings=[each for each in board if query.lower() in each.name],
        query=query,
        recovery=_recovery(now),
        pinged=latest[0].received if latest else None,
        **_stretch(runs),
    )


def _recovery(now: int) -> Recovery | None:
    """What was recovered within a day, for those who may see all."""
    return reconciling.last_recovery(since=now - clock.DAY) if access.may(browser.reader(), Action.BROWSE) else None


@bp.get("/services/<name>")
def service(name: str) -> ResponseReturnValue:
    """One service: what is live, how it does, what waits, and what was deployed."""
    since, now, entries = feed.newest(), clock.now(), context.bot().catalogue.entries()
    visibility = standing.visibility_of(name, entries)
    who = browser.require(Action.GLANCE, service=name, visibility=visibility)
    row = services.find(name)
    seen = [Seen(row, standing.sight(who, visibility) or Sight.STATE)]
    it = standing.board(seen, entries, now=now)[0]
    entry, whole = entries.get(name), it.sight is Sight.ALL
    succeeded, ended = standing.success_rate(row.id, last=RATE_OF)
    return _page(
        "service.html",
        since=since,
        now=now,
        state=it.run.state if it.run is not None else None,
        it=it,
        file=entry.file if entry is not None and whole else None,
        removed=row.removed,
        repository=row.repository,
        head=_head(row, entry) if whole else None,
        held_back=holdbacks.why(row) if whole else "",
        goal=rollbacks.offer(row) if row.removed is None and access.may(who, Action.STEER) else None,
        spans=LOCK_SPANS,
        habit=forecast.habit(row.id),
        succeeded=succeeded,
        ended=ended,
        delivery=deliveries.last_of(row) if whole else None,
        questions=questions.troubled(row.id) if whole else [],
        watch=reconciling.watch(row.repository) if whole and row.removed is None else None,
        **_stretch(standing.runs(seen, before=_before(), limit=standing.RECENT + 1)),
    )


@bp.get(f"/deployments/{ID}")
def deployment(id: int) -> ResponseReturnValue:
    """One deployment: its steps, its log, and how it ended."""
    since, now = feed.newest(), clock.now()
    row, run = _readable(id)
    steps = standing.steps_of(id)
    habit = forecast.habit(row.service_id)
    wanted = request.args.get("log", "")
    last = MOST_LINES if wanted == "all" else LAST_LINES
    return _page(
        "deployment.html",
        since=since,
        now=now,
        following=id,
        state=run.state,
        run=run,
        phrase=display.phrase(run.state),
        outlook=forecast.outlook(habit, row, steps, now=now),
        habit=habit,
        steps=[_step_line(each, habit, run, now) for each in steps],
        step=next((each.name for each in steps if each.state == StepState.FAILURE), ""),
        ending=display.ending(run.exit_status, run.signal),
        tail=_tail(run),
        lines=loglines.lines(logs.read(id), last=last) if wanted != "no" else None,
        whole=wanted == "all",
        compare=display.changes_url(context.bot().settings.github_url, run),
        delivery=row.delivery.guid if row.delivery_id and run.sight is Sight.ALL else "",
        timeline=list(_timeline(run)),
        github=_told_github(row, now) if run.sight is Sight.ALL else [],
    )


@bp.get(f"/deployments/{ID}/lines")
def lines(id: int) -> ResponseReturnValue:
    """The lines of a log from `?after=` on, where line `?number=` begins, as the page draws them."""
    _readable(id)
    after, number = _number("after", 0), _number("number", 1)
    found = loglines.lines(logs.read(id, after), offset=after, number=number, last=LAST_LINES)
    answer = Response(render_template("lines.html", lines=found), mimetype="text/html")
    answer.headers["Log-After"], answer.headers["Log-Number"] = str(found.after), str(found.number)
    return answer


@bp.get(f"/deployments/{ID}/log")
def log(id: int) -> ResponseReturnValue:
    """A deployment's output, as bytes."""
    _readable(id)
    excerpt = logs.read(id)
    answer = Response(excerpt.data, mimetype="text/plain")
    answer.headers["Content-Disposition"] = f'inline; filename="deployment-{id}.log"'
    if excerpt.gap is not None:
        answer.headers["X-Log-Gap"] = f"{excerpt.gap[0]}-{excerpt.gap[1]}"
    return answer


@bp.get("/deliveries")
def list_deliveries() -> ResponseReturnValue:
    """What arrived lately, and what was decided."""
    since = feed.newest()
    who = browser.require(Action.BROWSE)
    return _page(
        "deliveries.html",
        since=since,
        now=clock.now(),
        deliveries=deliveries.latest(deliveries.SHOWN),
        most=deliveries.SHOWN,
        refused=refusals.latest() if access.may(who, Action.MANAGE) else None,
    )


@bp.get("/deliveries/<guid>")
def delivery(guid: str) -> ResponseReturnValue:
    """One delivery, with its headers."""
    since = feed.newest()
    browser.require(Action.BROWSE)
    found = deliveries.latest(1, guid=guid)
    if not found:
        raise NotFound(f"there is no delivery {guid!r}")
    headers = msgspec.json.decode(found[0].headers, type=dict[str, str])
    return _page("delivery.html", since=since, now=clock.now(), each=found[0], headers=headers)


def _page(template: str, **facts: Any) -> str:
    """A page, with what every page of this module needs (Any: each fact has its own type)."""
    settings = context.bot().settings
    return render_template(
        template, public_url=settings.effective_public_url, github_url=settings.github_url.rstrip("/"), **facts
    )


def _readable(number: int) -> tuple[Deployment, Run]:
    """A deployment that the reader may read, as they see it."""
    row = Deployment.get_or_none(Deployment.id == number)
    name = None if row is None else row.service.name
    entries = context.bot().catalogue.entries()
    visibility = standing.visibility_of(name or "", entries)
    who = browser.require(Action.READ, service=name, visibility=visibility)
    if row is None:
        raise NotFound(f"there is no deployment {number}")
    return row, standing.run(row, standing.sight(who, visibility) or Sight.STATE)


def _stretch(runs: Sequence[Run]) -> dict[str, Any]:
    """A page's worth of deployments, and the id before which the older ones are."""
    shown = runs[: standing.RECENT]
    return {"runs": shown, "older": shown[-1].id if len(runs) > len(shown) else None}


def _before() -> int:
    return _number("before", NEWEST)


def _number(name: str, default: int) -> int:
    """A number of the query. Raises Invalid."""
    text = request.args.get(name, str(default))
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(NEWEST)) and int(text) <= NEWEST):
        raise Invalid(f"{name}: expected a number, got {text[:60]!r}")
    return int(text)


def _head(row: Service, entry: Entry | None) -> heads.Head | None:
    """What would be deployed now; None where no push told."""
    if entry is None or entry.file is None:
        return None
    try:
        return heads.newest(row, entry.file)
    except Invalid:
        return None


def _tail(run: Run) -> list[str]:
    """The last lines of a log, where they may tell why the deployment did not succeed."""
    if run.state not in (DeploymentState.FAILURE, DeploymentState.LOST):
        return []
    return loglines.tail(logs.read(run.id, max(0, logs.end(run.id) - TAIL_BYTES)).data, TAIL)


def _step_line(step: Step, habit: Habit, run: Run, now: int) -> StepLine:
    usual = habit.steps.get(step.name)
    time = ""
    if step.state == StepState.RUNNING and step.started is not None:
        time = display.duration(max(0, now - step.started) // 1_000)
        time += f" / ~{display.duration(usual)}" if usual is not None else ""
    elif step.state == StepState.PENDING and usual is not None and not run.state.final:
        time = f"~{display.duration(usual)}"
    elif step.started is not None and step.finished is not None:
        time = display.duration((step.finished - step.started) / 1_000)
    return StepLine(step.name, step.state, time, step.message)


def _timeline(run: Run) -> Iterator[tuple[int, str]]:
    yield run.created, f"asked for by {run.actor}" if run.actor else "asked for"
    if run.started is not None:
        yield run.started, "began"
    if run.finished is not None:
        yield run.finished, f"ended: {run.state}"


def _told_github(row: Deployment, now: int) -> list[str]:
    """What GitHub was told of a deployment, or why it is not told."""
    reports = outbox.all_of(row)
    if not reports:
        credentials = context.bot().settings.tells_github
        return [f"GitHub is not told: {'the service wants no report' if credentials else 'no credentials'}"]
    return [_told(each, now) for each in reports]


def _told(told: Report, now: int) -> str:
    if told.told_at is None:
        said = f"GitHub was not told yet of the {told.kind} {told.context}"
    else:
        text = f", “{told.description}”" if told.description else ""
        said = f"{told.kind} {told.context} is {told.state or 'unknown'}{text}, told {display.age(told.told_at, now)}"
    news = "; there is news to tell" if told.told_at is not None and told.changes > told.told else ""
    return said + news + (f": {told.problem}" if told.problem else "")
