"""Newest: the newest push of what a service deploys, and why it is not live, in one sentence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, cast

import msgspec
from peewee import JOIN, fn

from fastdeploy_bot import store
from fastdeploy_bot.core import clock
from fastdeploy_bot.core.pushes.matching import SHORT
from fastdeploy_bot.store.models import Delivery, Deployment, Service, Verdict
from fastdeploy_bot.words import ZERO_SHA, DeploymentState, VerdictKind

_NEWER: Final = Verdict.select(Verdict.id).join(Delivery)
_NOTE: Final = store.Prepared[Service](
    lambda verdict, service, pushed_at: Service.update(newest=verdict).where(
        Service.id == service,
        ~fn.EXISTS(_NEWER.where(Verdict.id == Service.newest, Delivery.pushed_at > pushed_at)),
    )
)
_WAITS: Final = "waits"


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """The newest deployment of a push's commit since it came."""

    id: int
    state: DeploymentState
    reason: str
    finished: int | None


class Push(msgspec.Struct, frozen=True, kw_only=True):
    """The newest push of a ref that a service deploys; times are Unix milliseconds."""

    guid: str
    """Of its delivery."""
    repository: str
    """`owner/name` as GitHub spelt it then."""
    default_branch: str | None
    ref: str
    sha: str
    """The commit that it wants to be live; zeros where it deleted the ref."""
    at: int
    verdict: VerdictKind
    reason: str
    run: Run | None


class Why(msgspec.Struct, frozen=True, kw_only=True):
    """Why a push is not live, in words that go on from `main is at 77ab01c: `."""

    word: str
    at: int | None = None
    """Since when."""
    more: str = ""
    """What follows on that: the reason, which may name people."""
    run: int | None = None
    """The deployment that tells more; None where the delivery does."""


def note(verdict: int, service: int, pushed_at: int | None) -> None:
    """A push was decided that says what a ref names now. To be called inside a write."""
    _NOTE.run(verdict, service, pushed_at)


def of(services: Sequence[int]) -> dict[int, Push]:
    """The newest push of each of these services; in one query, however many there were."""
    same = Deployment.alias()
    last = same.select(fn.MAX(same.id)).where(
        same.service == Service.id, same.sha == Delivery.commit, same.created >= Delivery.received
    )
    run = (Deployment.id, Deployment.state, Deployment.reason, Deployment.finished)
    push = (Delivery.guid, Delivery.repository, Delivery.default_branch, Delivery.ref, Delivery.commit)
    rows = (
        Service.select(Service.id, *push, Delivery.pushed_at, Delivery.received, Verdict.verdict, Verdict.reason, *run)
        .join(Verdict, on=(Verdict.id == Service.newest))
        .join(Delivery, on=(Delivery.id == Verdict.delivery))
        .join(Deployment, JOIN.LEFT_OUTER, on=(Deployment.id == last))
        .where(Service.id.in_(list(services)))
        .tuples()
    )
    return {row[0]: _push(*row[1:]) for row in cast("list[tuple[Any, ...]]", list(rows))}  # it knows only models


def why(push: Push, *, live: str | None, held_back: str | None = None, held_back_by: str = "") -> Why | None:
    """Why a push is not live; None where it is. Pure.

    `live` is the commit that is, `held_back` the one that its service was rolled back from.
    """
    if push.sha == live:
        return None
    if push.run is None:
        return _without_run(push)
    if push.run.state is not DeploymentState.SUCCESS:
        return _of_run(push.run)
    if push.sha == held_back:
        return Why(word="rolled back", more=f" by {held_back_by}, and held back since", run=push.run.id)
    more = f"; since then {live[:SHORT]} went live" if live else ""
    return Why(word="deployed", at=push.run.finished, more=more, run=push.run.id)


def _without_run(push: Push) -> Why:
    more = f": {push.reason}" if push.reason else ""
    if push.verdict is VerdictKind.WAIT:
        return Why(word=_WAITS, more=more)
    if push.verdict is VerdictKind.DEPLOY:
        return Why(word="decided", more=", but its deployment is no longer kept")
    return Why(word="ignored" if push.verdict is VerdictKind.IGNORE else push.verdict, more=more)


def _of_run(run: Run) -> Why:
    more = f": {run.reason}" if run.reason else ""
    if run.state is DeploymentState.WAITING:
        goes_on = run.reason.startswith(_WAITS)
        return Why(word=_WAITS, more=run.reason.removeprefix(_WAITS) if goes_on else f", {run.reason}", run=run.id)
    if run.state is DeploymentState.QUEUED:
        return Why(word="queued", more=more, run=run.id)
    if run.state is DeploymentState.RUNNING:
        return Why(word="being deployed", run=run.id)
    return Why(word=run.state, at=run.finished, more=more, run=run.id)


def _push(
    guid: str,
    repository: str | None,
    default_branch: str | None,
    ref: str | None,
    sha: str | None,
    pushed_at: int | None,
    received: int,
    verdict: str,
    reason: str,
    *run: Any,  # a deployment's columns, all of them empty where there is none
) -> Push:
    return Push(
        guid=guid,
        repository=repository or "",
        default_branch=default_branch,
        ref=ref or "",
        sha=sha or ZERO_SHA,
        at=received if pushed_at is None else min(received, pushed_at * clock.SECOND),
        verdict=VerdictKind(verdict),
        reason=reason,
        run=_run(*run),
    )


def _run(number: int | None, state: str, reason: str, finished: int | None) -> Run | None:
    if number is None:
        return None
    return Run(id=number, state=DeploymentState(state), reason=reason, finished=finished)
