"""Buttons: what people ask for on a check run of ours, and whether they may have it.

GitHub tells who pressed what, but not what they may do: that it is asked each time, by a question, and who may write to
the repository gets what they asked for. Until then nothing is done.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Final

import msgspec

from fastdeploy_bot.core import clock
from fastdeploy_bot.core.commits import questions
from fastdeploy_bot.core.deploying import deployments, retries, rollbacks
from fastdeploy_bot.core.files.catalogue import Entry
from fastdeploy_bot.core.people import access
from fastdeploy_bot.core.people.access import Action
from fastdeploy_bot.core.signals.notices import Notice
from fastdeploy_bot.core.telling import changes, outbox
from fastdeploy_bot.errors import Conflict, FastdeployError, Forbidden
from fastdeploy_bot.store.models import Delivery, Deployment, Question, Report, Service
from fastdeploy_bot.words import (
    CheckRun,
    CheckSuite,
    DeploymentState,
    Person,
    Principal,
    PrincipalKind,
    QuestionKind,
    ReportKind,
    Role,
)


class Button(StrEnum):
    """What may be asked for, by the identifiers that our check runs give their buttons."""

    CANCEL = "cancel"
    RETRY = "retry"
    ROLLBACK = "rollback"


PATIENCE: Final = {
    Button.CANCEL: 30 * 60 * clock.SECOND,
    Button.RETRY: 10 * 60 * clock.SECOND,
    Button.ROLLBACK: 10 * 60 * clock.SECOND,
}
"""How long GitHub is asked for. What changes what is live may not do so when nobody reckons with it any more; a cancel
that comes late can only end the one deployment that it names."""
WRITERS: Final = frozenset({"write", "maintain", "admin"})
"""The permissions that let somebody steer deployments."""
LONGEST_ID: Final = 18
"""Digits: what a deployment's id can have at most, or less."""

_WISH: Final = {Button.CANCEL: "cancel {}", Button.RETRY: "run {} again", Button.ROLLBACK: "roll back {}"}


class Press(msgspec.Struct, frozen=True, kw_only=True):
    """Who pressed what: all that is kept of it until GitHub has answered."""

    button: Button
    login: str
    person: int
    """GitHub's id of them: a name may be somebody else's by then."""
    peer: str
    """From where GitHub told of it."""
    sha: str
    deployments: tuple[int, ...]
    whole: bool = False
    """Whether all check runs of the commit were meant, and not just the one of a deployment."""

    @property
    def told(self) -> str:
        """What was asked for, and by whom."""
        what = f"all of {self.sha[:7]}" if self.whole else f"deployment {self.deployments[0]}"
        return f"{self.login} asked to {_WISH[self.button].format(what)}"


def press(notice: Notice) -> str:
    """A button of a check run was pressed; answers what comes of it. Inside the write that keeps the event."""
    about = notice.webhook.about
    return _ask_for_one(notice, about.pressed if isinstance(about, CheckRun) else "")


def run_again(notice: Notice) -> str:
    """A check run is to run again: its deployment is deployed again. Inside the write that keeps the event."""
    return _ask_for_one(notice, Button.RETRY)


def run_all_again(notice: Notice) -> str:
    """All check runs of ours for a commit are to run again. Inside the write that keeps the event."""
    try:
        who, repository_id, sha = _judged(notice)
        meant = _last_of(repository_id, sha, covers=notice.covers)
    except FastdeployError as refused:
        return _nothing(str(refused))
    return _ask(notice, _press(notice, Button.RETRY, who, sha, meant, whole=True))


def settle(question: Question, permission: str, person: int | None, entries: Mapping[str, Entry], *, now: int) -> None:
    """GitHub has said what somebody may do. To be called inside the write that keeps the answer."""
    asked = msgspec.json.decode(question.data, type=Press)
    try:
        _require_writer(asked, permission, person)
        done = _do(asked, entries, now)
    except FastdeployError as refused:
        done = _refused(asked.button, asked.deployments, str(refused), now)
    _tell(question, f"{asked.told}; {done}")


def give_up(question: Question, why: str, *, now: int) -> None:
    """GitHub did not say what somebody may do. To be called inside the write that keeps this."""
    asked = msgspec.json.decode(question.data, type=Press)
    done = _refused(asked.button, asked.deployments, f"GitHub did not say whether they may: {why}", now)
    _tell(question, f"{asked.told}; {done}")


def _ask_for_one(notice: Notice, identifier: str) -> str:
    try:
        who, repository_id, sha = _judged(notice)
        button = _button(identifier)
        deployment = _deployment(notice, repository_id, sha)
    except FastdeployError as refused:
        return _nothing(str(refused))
    return _ask(notice, _press(notice, button, who, sha, [deployment.id]))


def _judged(notice: Notice) -> tuple[Person, int, str]:
    """Who asks, and of which repository and commit. Raises Conflict where it is none of our business."""
    webhook = notice.webhook
    if not isinstance(webhook.about, CheckRun | CheckSuite) or webhook.repository_id is None or webhook.sha is None:
        raise Conflict("its payload says too little")
    if not notice.ours:
        raise Conflict("this bot has no GitHub App, so the check run is another's")
    if not webhook.about.app & notice.ours:
        raise Conflict("the check run is another GitHub App's")
    if webhook.sender is None:
        raise Conflict("GitHub does not say who asks")
    if webhook.sender.bot:
        raise Conflict(f"{webhook.sender.login} is a bot, and buttons are for people")
    return webhook.sender, webhook.repository_id, webhook.sha


def _button(identifier: str) -> Button:
    """The button of that identifier. Raises Conflict where ours have none."""
    if identifier not in list(Button):
        raise Conflict(f"the check run has no button {identifier[:40]!r} of ours")
    return Button(identifier)


def _deployment(notice: Notice, repository_id: int, sha: str) -> Deployment:
    """The deployment that a check run tells of. Raises NotFound, Conflict where it cannot be that one's."""
    about = notice.webhook.about
    name = about.external_id if isinstance(about, CheckRun) else ""
    if not (name.isascii() and name.isdigit() and len(name) <= LONGEST_ID):
        raise Conflict(f"the check run names no deployment: its external id is {name[:40]!r}")
    deployment = deployments.find(int(name))
    service = deployment.service
    if service.repository_id != repository_id or not notice.covers(service.repository):
        raise Conflict(f"deployment {name} is of another repository")
    if deployment.sha != sha:
        raise Conflict(f"deployment {name} is of another commit")
    return deployment


def _last_of(repository_id: int, sha: str, *, covers: Callable[[str], bool]) -> list[int]:
    """Of each service the last deployment of a commit that has a check run. Raises Conflict where there is none."""
    rows = (
        Deployment.select(Deployment, Service)
        .join(Service)
        .switch(Deployment)
        .join(Report)
        .where(Report.kind == ReportKind.CHECK, Report.external > 0)
        .where(Deployment.sha == sha, Service.repository_id == repository_id, Service.removed.is_null())
    )
    last = {row.service_id: row.id for row in rows.order_by(Deployment.id) if covers(row.service.repository)}
    if not last:
        raise Conflict(f"no check run of ours stands at {sha[:7]}")
    return list(last.values())


def _press(
    notice: Notice, button: Button, who: Person, sha: str, meant: Sequence[int], *, whole: bool = False
) -> Press:
    return Press(
        button=button,
        login=who.login,
        person=who.id,
        peer=notice.delivery.peer,
        sha=sha,
        deployments=tuple(meant),
        whole=whole,
    )


def _ask(notice: Notice, asked: Press) -> str:
    questions.ask(
        QuestionKind.MAY_WRITE,
        notice.webhook.repository or "",
        asked,
        until=notice.now + PATIENCE[asked.button],
        now=notice.now,
        delivery=notice.delivery.id,
    )
    return f"{asked.told}; GitHub is asked whether they may"


def _require_writer(asked: Press, permission: str, person: int | None) -> None:
    """Raise Forbidden unless they may write to the repository."""
    if person is not None and person != asked.person:
        raise Forbidden(f"{asked.login} is somebody else by now")
    if permission not in WRITERS:
        raise Forbidden(f"that takes permission to write to the repository, and theirs is {permission!r}")


def _do(asked: Press, entries: Mapping[str, Entry], now: int) -> str:
    """Do what somebody who may write asked for; answers what was done. Raises NotFound, Conflict."""
    # No user of the bot can have such a name.
    name = f"{asked.login} on GitHub"
    who = Principal(kind=PrincipalKind.USER, name=name, role=Role.DEPLOYER, peer=asked.peer)
    access.authorize(who, Action.STEER)
    if asked.whole:
        return "; ".join(_retried(number, entries, who, now) for number in asked.deployments)
    [number] = asked.deployments
    match asked.button:
        case Button.CANCEL:
            return _cancel(number, who, now)
        case Button.RETRY:
            return _retry(number, entries, who, now)
        case Button.ROLLBACK:
            row = rollbacks.undo(number, entries, by=who, now=now)
            return f"{row.sha[:7]} is deployed again, as deployment {row.id}"


def _cancel(number: int, who: Principal, now: int) -> str:
    deployments.call_off(number, by=who, now=now)
    state = deployments.find(number).state
    return "it is told to stop" if state == DeploymentState.RUNNING else "it was cancelled before it began"


def _retry(number: int, entries: Mapping[str, Entry], who: Principal, now: int) -> str:
    again = retries.retry(number, entries, by=who, now=now)
    return f"{again.sha[:7]} is deployed again, as deployment {again.id}"


def _retried(number: int, entries: Mapping[str, Entry], who: Principal, now: int) -> str:
    """What becomes of one of several; an old commit does not come back only because its checks are run again."""
    try:
        row = deployments.find(number)
        newest = Deployment.select().where(Deployment.service == row.service_id).order_by(Deployment.id.desc()).get()
        if newest.sha != row.sha:
            raise Conflict(f"{newest.sha[:7]} came after it; to deploy it all the same, retry deployment {number}")
        return f"{row.service.name}: {_retry(number, entries, who, now)}"
    except FastdeployError as refused:
        return f"deployment {number}: {_refused(Button.RETRY, [number], str(refused), now)}"


def _refused(button: Button, meant: Sequence[int], why: str, now: int) -> str:
    """Nothing is done; what GitHub has put back to queued by its own Re-run, it is told to have ended as before."""
    if button is Button.RETRY:
        outbox.owe_anew(meant, now=now)
    return f"refused: {why}"


def _nothing(why: str) -> str:
    return f"nothing is done: {why}"


def _tell(question: Question, reason: str) -> None:
    """Write down what came of it, where its delivery is still kept."""
    if question.delivery_id is not None:
        Delivery.update(reason=reason).where(Delivery.id == question.delivery_id).execute()
        changes.of_delivery(question.delivery_id)
