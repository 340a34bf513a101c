"""A deployment: its steps, its log, and how it ended."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec
from flask import Response, render_template, request
from flask.typing import ResponseReturnValue

from fastdeploy_bot.core import clock, feed, forecast, loglines, logs, outbox, standing
from fastdeploy_bot.core.access import Action
from fastdeploy_bot.core.forecast import Habit
from fastdeploy_bot.core.standing import Run, Sight
from fastdeploy_bot.errors import NotFound
from fastdeploy_bot.store.models import Deployment, Report, Service, Step
from fastdeploy_bot.web import browser, context, display
from fastdeploy_bot.web.pages import regions, shared
from fastdeploy_bot.web.pages.shared import ID, bp
from fastdeploy_bot.words import DeploymentState, StepState

LAST_LINES: Final = 2_000
"""How many lines of a log are drawn at first."""
MOST_LINES: Final = 20_000
"""How many are drawn at most; to draw a long log whole would hold up everybody else."""
TAIL: Final = 20
"""How many lines of a log stand beside a failure."""
TAIL_BYTES: Final = 256 * 1024
"""How much of the log's end is looked at for those."""


class StepLine(msgspec.Struct, frozen=True):
    """A step as it is drawn."""

    name: str
    state: str
    time: str
    """How long it took, or takes, or usually takes."""
    message: str


@bp.get(f"/deployments/{ID}")
@regions.shared
def deployment(id: int) -> str:
    """One deployment: its steps, its log, and how it ended."""
    since, now = feed.newest(), clock.now()
    row, run = _readable(id)
    steps = standing.steps_of(id)
    habit = forecast.habit(row.service_id)
    wanted = request.args.get("log", "")
    last = MOST_LINES if wanted == "all" else LAST_LINES
    return shared.page(
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
        lines=None if shared.is_of_regions() else loglines.lines(logs.read(id), last=last),
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
    after, number = shared.number("after", 0), shared.number("number", 1)
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


def _readable(number: int) -> tuple[Deployment, Run]:
    """A deployment that the reader may read, as they see it."""
    # With its service at once: one question more for those that exist would tell of them by the time it takes.
    row = Deployment.select(Deployment, Service).join(Service).where(Deployment.id == number).first()
    name = None if row is None else row.service.name
    entries = context.bot().catalogue.entries()
    visibility = standing.visibility_of(name or "", entries)
    who = browser.require(Action.READ, service=name, visibility=visibility)
    if row is None:
        raise NotFound(f"there is no deployment {number}")
    return row, standing.run(row, standing.sight(who, visibility) or Sight.STATE)


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
