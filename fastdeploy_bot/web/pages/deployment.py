"""A deployment: its steps, its log, and how it ended."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Final

import msgspec
from flask import Response, request
from flask.typing import ResponseReturnValue
from markupsafe import Markup

from fastdeploy_bot import store
from fastdeploy_bot.core import clock
from fastdeploy_bot.core.commits import between
from fastdeploy_bot.core.deploying import holdbacks, retries, rollbacks
from fastdeploy_bot.core.deploying import steps as core_steps
from fastdeploy_bot.core.looks import standing
from fastdeploy_bot.core.looks.standing import Run, Sight
from fastdeploy_bot.core.output import loglines, logparts, logs
from fastdeploy_bot.core.output.loglines import BEGINNING, Drawing, Line, Place
from fastdeploy_bot.core.output.logparts import Part
from fastdeploy_bot.core.output.logs import Excerpt, Mark
from fastdeploy_bot.core.people import access
from fastdeploy_bot.core.people.access import Action
from fastdeploy_bot.core.people.few import Busy
from fastdeploy_bot.core.telling import feed, forecast, outbox, steplists
from fastdeploy_bot.core.telling.forecast import Habit, Slow
from fastdeploy_bot.errors import NotFound
from fastdeploy_bot.store.models import Deployment, Report, Service, Step
from fastdeploy_bot.web import browser, context, longlogs
from fastdeploy_bot.web.drawing import display, logview
from fastdeploy_bot.web.pages import regions, shared
from fastdeploy_bot.web.pages.shared import ID, bp
from fastdeploy_bot.words import DeploymentState, StepState

MOST_LINES: Final = 50_000
"""How many lines of a log are drawn at most: its last ones."""
FEW_LINES: Final = 2_000
"""How many while too many others are being sent long logs."""
TAIL: Final = 20
"""How many lines of a log stand beside a failure."""
TAIL_BYTES: Final = 256 * 1024
"""How much of the log's end is looked at for those."""
LOG_HERE: Final = Markup("<!-- the log -->")
PLACE_HERE: Final = Markup("<!-- where it goes on -->")
"""What stands in a page for what is only drawn while it is sent."""


class StepLine(msgspec.Struct, frozen=True):
    """A step as it is drawn."""

    name: str
    state: str
    time: str
    """How long it took, or takes, or usually takes."""
    usual: str
    """How long it usually takes, where this time it takes, or took, much longer."""
    message: str


@bp.get(f"/deployments/{ID}")
def deployment(id: int) -> ResponseReturnValue:
    """One deployment: its steps, its log, and how it ended."""
    page = _page(id)
    if isinstance(page, Response):
        return page
    answer, _ = _drawn(id, BEGINNING, partial(_with_log, page))
    return answer


@bp.get(f"/deployments/{ID}/lines")
def lines(id: int) -> ResponseReturnValue:
    """The lines of a log from a place on, as the page draws them; the answer says where it goes on."""
    place = loglines.place(request.args.get("place", str(BEGINNING)))
    answer, drawing = _drawn(id, place, lambda drawn, _: "".join(drawn))
    answer.headers["Log-Place"] = str(drawing.place)
    return answer


@bp.get(f"/deployments/{ID}/log")
def log(id: int) -> ResponseReturnValue:
    """A deployment's output, as bytes."""
    _readable(id)
    answer = longlogs.raw(id)
    answer.headers["Content-Disposition"] = f'inline; filename="deployment-{id}.log"'
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


@regions.shared
def _page(id: int) -> str:
    """The page, with marks for its log."""
    since, now = feed.newest(), clock.now()
    row, run = _readable(id)
    steps = steplists.of(id)
    habit = forecast.habit(row.service_id, before=id)
    failed = next((each.name for each in steps if each.state == StepState.FAILURE), "")
    return shared.page(
        "deployment.html",
        since=since,
        now=now,
        following=id,
        state=run.state,
        run=run,
        phrase="stopping" if run.cancelling else display.phrase(run.state),
        outlook=forecast.outlook(habit, row, steps, now=now),
        habit=habit,
        steps=[_step_line(each, habit, run, now) for each in steps],
        longer=_longer(run, habit, forecast.slow(habit, steps, now=now), now),
        step=failed,
        ending=display.ending(run.exit_status, run.signal),
        tail=logview.tail(_tail(run, failed)),
        back=rollbacks.way_back(row) if access.may(browser.reader(), Action.STEER) else None,
        removed=row.service.removed,
        newer=retries.newer(row) if run.state.final and access.may(browser.reader(), Action.STEER) else None,
        held_back=holdbacks.why(row.service) if run.sight is Sight.ALL and row.service.held_back == run.sha else "",
        empty=not logs.end(id),
        log_here=LOG_HERE,
        place_here=PLACE_HERE,
        brought=between.brought(row),
        compare=display.changes_url(context.bot().settings.github_url, run),
        delivery=row.delivery.guid if row.delivery_id and run.sight is Sight.ALL else "",
        timeline=list(_timeline(run)),
        github=_told_github(row, now) if run.sight is Sight.ALL else [],
    )


def _drawn(
    number: int, place: Place, frame: Callable[[Iterator[str], Drawing], str | Iterator[str]]
) -> tuple[Response, Drawing]:
    """The answer that shows a log from a place on within a frame; long ones are sent to few at the same time."""
    row, run = _readable(number)
    most, hidden = MOST_LINES, logview.IN_RAW
    with ExitStack() as seat:
        try:
            if longlogs.is_long(number, place.offset):
                seat.enter_context(longlogs.seats)
        except Busy:
            most, hidden = FEW_LINES, logview.BUSY
        drawing, steps = _log(row, run, place, most=most)
        answer = Response(frame(logview.html(drawing, steps, hidden=hidden), drawing), mimetype="text/html")
        answer.call_on_close(seat.pop_all().close)
    return answer, drawing


def _log(row: Deployment, run: Run, place: Place, *, most: int) -> tuple[Drawing, Mapping[str, logview.Step]]:
    """A log from a place on, and what is told of its steps."""
    number = run.id

    def look() -> tuple[Excerpt, list[Part], list[Mark]]:
        spans = core_steps.spans(number)
        marks = logs.marks(number, place.offset if all(span.placed for span in spans) else 0)
        excerpt = logs.read(number, place.offset)
        return excerpt, logparts.parts(spans, marks, excerpt.end), marks

    drawing = Drawing(*store.read(look), place=place, most=most)
    habit, now = forecast.habit(row.service_id, before=number), clock.now()
    told = (_step_line(each, habit, run, now) for each in steplists.of(number))
    return drawing, {each.name: logview.Step(each.state, each.time) for each in told}


def _with_log(page: str, drawn: Iterator[str], drawing: Drawing) -> Iterator[str]:
    """The page with its log, piece by piece: it can be seen before all of it is drawn."""
    before, rest = page.split(LOG_HERE)
    between, behind = rest.split(PLACE_HERE)
    yield before
    yield from drawn
    yield f"{between}{drawing.place}{behind}"


def _parts(number: int, end: int) -> list[Part]:
    return logparts.parts(core_steps.spans(number), logs.marks(number), end)


def _tail(run: Run, step: str) -> list[Line]:
    """The last lines of the step that failed, or else of the log, where they may tell why it did not succeed."""
    if run.state not in (DeploymentState.FAILURE, DeploymentState.LOST):
        return []
    end = logs.end(run.id)
    mine = [part for part in _parts(run.id, end) if step and part.name == step]
    return _last_lines(run.id, mine[-1]) if mine else _last_lines(run.id, Part(None, 0, end))


def _last_lines(number: int, part: Part) -> list[Line]:
    begin = max(part.start, part.end - TAIL_BYTES)
    return loglines.last(loglines.before(logs.read(number, begin), begin, part.end), TAIL)


def _step_line(step: Step, habit: Habit, run: Run, now: int) -> StepLine:
    usual = habit.steps.get(step.name)
    much = "".join(f"usually {display.duration(each.usual)}" for each in forecast.slow(habit, [step], now=now))
    time = ""
    if step.state == StepState.RUNNING and step.started is not None:
        time = display.duration(max(0, now - step.started) // 1_000)
        time += f" / ~{display.duration(usual)}" if usual is not None and not much else ""
    elif step.state == StepState.PENDING and usual is not None and not run.state.final:
        time = f"~{display.duration(usual)}"
    elif step.started is not None and step.finished is not None:
        time = display.duration((step.finished - step.started) / 1_000)
    return StepLine(step.name, step.state, time, much, step.message)


def _longer(run: Run, habit: Habit, slow: Sequence[Slow], now: int) -> Slow | None:
    """The step by which a run takes, or took, longer than usual; None where it does not, or no step tells."""
    so_far = run.took if run.took is not None else run.elapsed(now)
    return slow[0] if habit.slow is not None and so_far > habit.slow and slow else None


def _timeline(run: Run) -> Iterator[tuple[int, str]]:
    yield run.created, f"asked for by {run.actor}" if run.actor else "asked for"
    if run.started is not None:
        yield run.started, "began"
    if run.finished is not None:
        yield run.finished, f"ended: {run.state}"


def _told_github(row: Deployment, now: int) -> list[str]:
    """What GitHub was told of a deployment, or why it is not told."""
    reports = outbox.all_of([row])[row.id]
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
