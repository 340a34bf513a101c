"""Check texts: what a deployment is on GitHub as a check run, with its steps, its last words and its buttons. Pure.

Source: https://docs.github.com/en/rest/checks/runs
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final

import msgspec

from fastdeploy_bot.core.output import loglines
from fastdeploy_bot.forge.github import places, texts
from fastdeploy_bot.forge.github.places import Place
from fastdeploy_bot.forge.github.texts import Facts, Successor
from fastdeploy_bot.words import DeploymentState, StepState

LONGEST_TEXT: Final = 16 * 1024
"""How many bytes of a log are shown at most; GitHub takes 65,535 characters."""
LONGEST_SUMMARY: Final = 60_000
"""GitHub takes 65,535 characters."""
MOST_LINES: Final = 200
"""How many of a log's last lines are shown."""


class Stage(StrEnum):
    """What a check run is: not completed, or its conclusion."""

    QUEUED = "queued"
    IN_PROGRESS = "in_progress"
    SUCCESS = "success"
    FAILURE = "failure"
    CANCELLED = "cancelled"
    ACTION_REQUIRED = "action_required"

    @property
    def completed(self) -> bool:
        """Whether it is a conclusion."""
        return self not in (Stage.QUEUED, Stage.IN_PROGRESS)


STAGES: Final = {
    DeploymentState.QUEUED: Stage.QUEUED,
    DeploymentState.WAITING: Stage.QUEUED,
    DeploymentState.RUNNING: Stage.IN_PROGRESS,
    DeploymentState.SUCCESS: Stage.SUCCESS,
    DeploymentState.FAILURE: Stage.FAILURE,
    DeploymentState.CANCELLED: Stage.CANCELLED,
    DeploymentState.LOST: Stage.ACTION_REQUIRED,
    DeploymentState.SUPERSEDED: Stage.QUEUED,
}
"""Nobody knows what a lost one has done: somebody has to look, and a check that is required has not passed.

A superseded one stays queued until what took its place has ended.
"""


class Action(msgspec.Struct, frozen=True):
    """A button; GitHub takes 20, 40 and 20 characters."""

    label: str
    description: str
    identifier: str


CANCEL: Final = Action("Cancel", "Stop this deployment", "cancel")
RETRY: Final = Action("Re-run", "Deploy this commit once more", "retry")
ROLL_BACK: Final = Action("Roll back", "Deploy the last good commit before it", "rollback")


class StepFacts(msgspec.Struct, frozen=True):
    """What is told of a step."""

    name: str
    state: StepState
    took: float | None
    """Seconds; None where it has not had begin and end."""


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """What a check run is made of."""

    number: int
    """Our id of the deployment."""
    name: str
    sha: str
    page: str
    """Where the deployment is looked at."""
    facts: Facts
    successor: Successor | None = None
    steps: Sequence[StepFacts] = ()
    log: bytes = b""
    """The end of its output, where that is of interest."""
    begun: int
    """When it began, or else came to be, in Unix milliseconds."""
    ended: int | None = None
    """When it, or what took its place, ended."""


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """A check run."""

    name: str
    sha: str
    number: int
    page: str
    stage: Stage
    title: str
    summary: str
    text: str
    annotations: Sequence[Place]
    actions: Sequence[Action]
    begun: int
    ended: int | None


def run(subject: Subject) -> Run:
    """The check run of a deployment."""
    lines = last_lines(subject.log)
    now = stage(subject.facts, subject.successor)
    failed = subject.facts.state is DeploymentState.FAILURE
    return Run(
        name=subject.name,
        sha=subject.sha,
        number=subject.number,
        page=subject.page,
        stage=now,
        title=title(subject),
        summary=_summary(subject),
        text=_fenced(lines) if lines else "",
        annotations=places.found(lines) if failed else (),
        actions=_actions(subject.facts, now),
        begun=subject.begun,
        ended=subject.ended if now.completed else None,
    )


def stage(facts: Facts, successor: Successor | None) -> Stage:
    """What a deployment is as a check run; a superseded one is what took its place becomes in the end."""
    if facts.state is DeploymentState.SUPERSEDED and successor is not None:
        then = STAGES[successor.facts.state]
        return then if then.completed else Stage.QUEUED
    return STAGES[facts.state]


def title(subject: Subject) -> str:
    """One line: what a commit status says, and how many of the steps are done."""
    told = texts.status(subject.facts, subject.successor).description
    if subject.facts.state is not DeploymentState.RUNNING or not subject.steps:
        return told
    done = sum(step.state in (StepState.SUCCESS, StepState.SKIPPED, StepState.FAILURE) for step in subject.steps)
    return texts.fitting(f"{told} · {done} of {len(subject.steps)} steps")


def last_lines(log: bytes) -> list[str]:
    """The last lines of an output, as they would look on a terminal in the end."""
    kept: list[str] = []
    room = LONGEST_TEXT
    for line in reversed(loglines.tail(log, MOST_LINES)):
        room -= len(line.encode()) + 1
        if room < 0:
            break
        kept.insert(0, line)
    return kept


def created(run: Run) -> dict[str, Any]:
    """The check run, as GitHub is to create it."""
    which = {"name": run.name, "head_sha": run.sha, "external_id": str(run.number), "details_url": run.page}
    return which | updated(run)


def updated(run: Run) -> dict[str, Any]:
    """The check run, as GitHub is to change it."""
    output: dict[str, Any] = {"title": run.title, "summary": run.summary}
    if run.text:
        output["text"] = run.text
    if run.annotations:
        output["annotations"] = [_annotation(each) for each in run.annotations]
    body: dict[str, Any] = {
        "status": "completed" if run.stage.completed else run.stage,
        "started_at": _time(run.begun),
        "output": output,
        "actions": [msgspec.structs.asdict(each) for each in run.actions],
    }
    if run.stage.completed:
        body |= {"conclusion": run.stage, "completed_at": _time(max(run.begun, run.ended or run.begun))}
    return body


def _summary(subject: Subject) -> str:
    """A line on the whole, and one a step, in GitHub's Markdown."""
    told = texts.status(subject.facts, subject.successor).description
    head = f"{_code(told)}\n\n[Deployment {subject.number}]({subject.page})\n"
    rows = [f"| {_code(step.name)} | {step.state} | {_took(step)} |" for step in subject.steps]
    if not rows:
        return head
    table = f"{head}\n| Step | State | Took |\n|---|---|---|\n"
    kept: list[str] = []
    room = LONGEST_SUMMARY - len(table)
    for row in rows:
        room -= len(row.encode()) + 1
        if room < 0:
            return f"{table}{''.join(kept)}\nand {len(rows) - len(kept)} more steps\n"
        kept.append(f"{row}\n")
    return table + "".join(kept)


def _took(step: StepFacts) -> str:
    return "" if step.took is None else texts.duration(step.took)


def _code(text: str) -> str:
    """A text as code, of which nothing is taken for Markdown, HTML, a table's border, a mention or a link."""
    line = " ".join("".join(each if each.isprintable() else " " for each in text).split())
    escaped = "".join(each if each.isalnum() or each == " " else f"&#{ord(each)};" for each in line)
    return f"<code>{escaped}</code>"


def _fenced(lines: Sequence[str]) -> str:
    """Lines as they are, between fences that none of them can end."""
    text = "\n".join(lines)
    longest = max((len(each) for each in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"The last lines of its output:\n\n{fence}text\n{text}\n{fence}\n"


def _actions(facts: Facts, now: Stage) -> Sequence[Action]:
    if now.completed:
        return (RETRY, ROLL_BACK)
    return () if facts.state is DeploymentState.SUPERSEDED or facts.cancelling else (CANCEL,)


def _annotation(place: Place) -> dict[str, Any]:
    return {
        "path": place.path,
        "start_line": place.line,
        "end_line": place.line,
        "annotation_level": "failure",
        "message": place.message,
    }


def _time(moment: int) -> str:
    return datetime.fromtimestamp(moment // 1_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
