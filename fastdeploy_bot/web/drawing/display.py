"""Display: how states, times and commits are written on a page. Pure."""

from __future__ import annotations

import signal as signals
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote

from flask import Flask

from fastdeploy_bot.core import clock
from fastdeploy_bot.core.commits.between import Between
from fastdeploy_bot.core.looks.standing import Need, Run, Standing
from fastdeploy_bot.store.models import Recovery
from fastdeploy_bot.values import is_web_address
from fastdeploy_bot.words import GLYPHS, ZERO_SHA, DeploymentState

HOURGLASS: Final = "M0 0h10L0 12h10z"
"""The glyph of what waits as the path of an SVG: many machines have no letter for it."""
NO_STATE: Final = "○"
COLOURS: Final = {"running": "#0969da", "success": "#1a7f37", "failure": "#cf222e", "lost": "#cf222e"}
"""Of the icon in a browser's tab; every other state is grey."""
GREY: Final = "#6e7781"
_PHRASES: Final = {
    DeploymentState.RUNNING: "deploying",
    DeploymentState.SUCCESS: "deployed",
    DeploymentState.FAILURE: "failed to deploy",
}
_DECIDED: Final = {
    "deploy": "deploys it",
    "wait": "waits",
    "ignore": "ignores it",
    "refused": "refused it",
    "stale": "finds it stale",
    "duplicate": "takes it for a duplicate",
}
SHORT_SHA: Final = 7
_MEANINGS: Final = {126: "a command could not be executed", 127: "a command was not found"}
"""What shells mean by an exit status. Source: POSIX.1-2024, Shell Command Language, 2.8.2."""


def register(app: Flask) -> None:
    """Give templates these words as filters."""
    app.jinja_env.filters.update(glyph=glyph, icon=icon, short=short, ref=ref_name, recovered=recovered, link=link)
    app.jinja_env.filters.update(
        age=age,
        left=left,
        remaining=remaining,
        commits=commits,
        decided=decided,
        brought=brought,
        behind=behind,
        duration=duration,
        moment=clock.text,
        stamp=stamp,
        clock=clock_time,
    )


def glyph(state: str | None) -> str:
    """A state's glyph; an empty ring for none."""
    return GLYPHS.get(state or "", NO_STATE)


def icon(state: str | None) -> str:
    """The icon in a browser's tab, as an address that holds it."""
    colour, look = COLOURS.get(state or "", GREY), "font-size='22' text-anchor='middle' font-family='sans-serif'"
    sign = f"<text x='16' y='24' {look} fill='#fff'>{glyph(state)}</text>"
    if state == DeploymentState.WAITING:
        sign = f"<path d='{HOURGLASS}' fill='#fff' transform='translate(8 6) scale(1.6)'/>"
    drawing = (
        "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'>"
        f"<rect width='32' height='32' rx='8' fill='{colour}'/>{sign}</svg>"
    )
    return "data:image/svg+xml," + quote(drawing, safe=" ='/:<>")


def age(moment: int | None, now: int) -> str:
    """How long ago a moment was: `just now`, `41 s ago`, `3 min ago`, `2 h ago`, `5 d ago`."""
    if moment is None:
        return ""
    seconds = max(0, now - moment) // clock.SECOND
    return "just now" if seconds < 1 else f"{span(seconds)} ago"


def left(seconds: float) -> str:
    """How long something still takes, roughly: `40 s`, `2 min`."""
    whole = max(1, round(seconds))
    return f"{whole} s" if whole < 90 else f"{round(whole / 60)} min"


def remaining(seconds: int) -> str:
    """How long something is still good for, cut off: `41 seconds`, `1 hour`, `12 days`."""
    for size, unit in ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second")):
        if seconds >= size:
            count = seconds // size
            return f"{count} {unit}" if count == 1 else f"{count} {unit}s"
    return "less than a second"


def span(seconds: int) -> str:
    """A time in its largest unit, cut off: `41 s`, `3 min`, `2 h`, `5 d`."""
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def duration(seconds: float | None) -> str:
    """How long something took: `0.4s`, `12s`, `1m 12s`, `2h 05m`; empty for what is not known."""
    if seconds is None:
        return ""
    if 0 < seconds < 1:
        return f"{seconds:.1f}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3_600:
        return f"{whole // 60}m {whole % 60:02}s"
    return f"{whole // 3_600}h {whole % 3_600 // 60:02}m"


def commits(count: int) -> str:
    """So many commits: `1 commit`, `3 commits`."""
    return f"{count} commit{'' if count == 1 else 's'}"


def behind(between: Between) -> str:
    """How what is live differs from the newest push: `3 commits behind`, `1 commit ahead`."""
    if between.gained and between.lost:
        return f"{commits(between.gained)} behind, {between.lost} ahead"
    return f"{commits(between.gained)} behind" if between.gained else f"{commits(between.lost)} ahead"


def brought(between: Between) -> str:
    """What a deployment changes: `3 commits`, `takes 3 commits back`."""
    if between.gained and between.lost:
        return f"{commits(between.gained)}, and takes {between.lost} back"
    return commits(between.gained) if between.gained else f"takes {commits(between.lost)} back"


def decided(verdict: str) -> str:
    """What a service does with a push, in words that go on from its name."""
    return _DECIDED.get(verdict, verdict)


def stamp(moment: int | None) -> str:
    """A moment as people read it, in UTC."""
    if moment is None:
        return ""
    return datetime.fromtimestamp(moment / clock.SECOND, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def clock_time(moment: int) -> str:
    """When on its day a moment was, in UTC: `12:03:04`."""
    return datetime.fromtimestamp(moment / clock.SECOND, UTC).strftime("%H:%M:%S")


def short(sha: str) -> str:
    """The first digits of a commit."""
    return sha[:SHORT_SHA]


def ref_name(ref: str) -> str:
    """A branch or tag by its own name."""
    return ref.removeprefix("refs/heads/").removeprefix("refs/tags/")


def link(url: str | None) -> str:
    """The address, where a page may lead there: one of the web; else none.

    What browsers would run in place of going there, `javascript:` and the like, is nothing that was meant as one.
    """
    return url if url and is_web_address(url) else ""


def ending(exit_status: int | None, signal: int | None) -> str:
    """How a script's process ended, in words; empty where it is not known."""
    if signal is not None:
        return f"killed by {_signal_name(signal)}"
    if exit_status is None:
        return ""
    if exit_status > 128 and exit_status - 128 in signals.valid_signals():
        return f"exit status {exit_status}: a command was killed by {_signal_name(exit_status - 128)}"
    meaning = _MEANINGS.get(exit_status)
    return f"exit status {exit_status}" + (f": {meaning}" if meaning else "")


def phrase(state: DeploymentState) -> str:
    """What a deployment in that state does, before the commit's name."""
    return _PHRASES.get(state, state)


def changes_url(github_url: str, run: Run) -> str:
    """Where GitHub shows what a deployment changes; empty where that is not known."""
    if not run.sha or not run.repository:
        return ""
    base = f"{github_url.rstrip('/')}/{quote(run.repository)}"
    known = run.before and run.before != ZERO_SHA
    return f"{base}/compare/{run.before}...{run.sha}" if known else f"{base}/commit/{run.sha}"


def worst(board: Sequence[Standing]) -> DeploymentState | None:
    """The state that stands for all services: that of the one which needs somebody most."""
    return next((each.run.state for each in board if each.run is not None), None)


def headline(board: Sequence[Standing], *, now: int) -> str:
    """How all services stand, in one sentence."""
    if not board:
        return "No services yet"
    bad = [each for each in board if each.need is Need.FAILED and each.run is not None]
    if bad:
        word = "were lost" if all(_is_lost(each) for each in bad) else "failed"
        word = "was lost" if len(bad) == 1 and word == "were lost" else word
        newest = max(each.run.since for each in bad if each.run is not None)
        return f"{_of_all(len(bad), board)} {word} {'' if len(bad) == 1 else 'lately, the last one '}{age(newest, now)}"
    if broken := sum(each.need is Need.BROKEN for each in board):
        return f"{_of_all(broken, board)} {'needs' if broken == 1 else 'need'} attention"
    if running := sum(each.need is Need.RUNNING for each in board):
        return f"{_of_all(running, board)} {'is' if running == 1 else 'are'} being deployed"
    live = sum(each.live is not None for each in board)
    if live == len(board):
        return f"All {live} services are live" if live > 1 else "The service is live"
    return f"{_of_all(live, board)} {'is' if live == 1 else 'are'} live" if live else "Nothing is deployed yet"


def recovered(recovery: Recovery) -> str:
    """What was recovered, in one sentence."""
    away = f"missed while away {span(recovery.away // clock.SECOND)}" if recovery.away else ""
    if recovery.pushes:
        pushes = "1 push" if recovery.pushes == 1 else f"{recovery.pushes} pushes"
        return f"recovered {pushes} {away or 'that no webhook told of'}"
    failed = "1 delivery" if recovery.redelivered == 1 else f"{recovery.redelivered} deliveries"
    return f"asked GitHub again for {failed} {away or 'that failed'}"


def _of_all(count: int, board: Sequence[Standing]) -> str:
    return f"{count} of {len(board)} services" if len(board) > 1 else "The service"


def _is_lost(each: Standing) -> bool:
    return each.run is not None and each.run.state is DeploymentState.LOST


def _signal_name(number: int) -> str:
    try:
        name, meaning = signals.Signals(number).name, signals.strsignal(number)
    except ValueError:
        return f"signal {number}"
    return f"{name} ({meaning})" if meaning else name
